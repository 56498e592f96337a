package cluster

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
)

// report is the state of a cluster. Its names are read by programs.
type report struct {
	Cluster    string         `json:"cluster"`
	Controller int32          `json:"controller"` // the node that leads the quorum, -1 while none is known
	Brokers    []brokerState  `json:"brokers"`
	Quorum     *quorumState   `json:"quorum,omitempty"` // none: nobody knows who leads it, or there is none
	Topics     int            `json:"topics"`
	Partitions counts         `json:"partitions"`
	Problems   []illPartition `json:"problems"`

	notes []string
}

type brokerState struct {
	ID         int32  `json:"id"`
	Host       string `json:"host,omitempty"`
	Port       int32  `json:"port,omitempty"`
	Rack       string `json:"rack,omitempty"`
	State      string `json:"state"`
	Controller bool   `json:"controller"`
	Leads      int    `json:"leads"`    // partitions
	Replicas   int    `json:"replicas"` // of partitions, that it hosts
	InSync     int    `json:"inSync"`   // of them
}

// States of a broker.
const (
	serving = "serving"
	fenced  = "fenced"
	gone    = "gone" // it hosts partitions, and the cluster does not name it
)

type quorumState struct {
	Leader    int32        `json:"leader"`
	Epoch     int32        `json:"epoch"`
	Committed int64        `json:"committed"` // end of what is, as an offset of the metadata log
	Voters    []memberView `json:"voters"`
	Observers []memberView `json:"observers"` // brokers that do not vote
}

type memberView struct {
	ID       int32  `json:"id"`
	Address  string `json:"address,omitempty"` // as a controller
	End      int64  `json:"end"`
	Lag      int64  `json:"lag"`        // behind the leader
	Heard    int64  `json:"heardMs"`    // when the leader last heard of it, in milliseconds since 1970; -1: never, or it is the leader
	CaughtUp int64  `json:"caughtUpMs"` // when it was last level with the leader
}

// counts are of partitions. One that is offline counts as under-replicated and under min ISR too.
type counts struct {
	Total           int `json:"total"`
	UnderReplicated int `json:"underReplicated"`
	UnderMinISR     int `json:"underMinIsr"`
	Offline         int `json:"offline"`
}

type illPartition struct {
	Problem      string  `json:"problem"` // the worst
	Topic        string  `json:"topic"`
	Partition    int32   `json:"partition"`
	Leader       int32   `json:"leader"`
	Replicas     []int32 `json:"replicas"`
	ISR          []int32 `json:"isr"`
	MinISR       int     `json:"minIsr,omitempty"`
	ELR          []int32 `json:"elr,omitempty"`
	LastKnownELR []int32 `json:"lastKnownElr,omitempty"`
}

// Problems of a partition, the worst first.
var problems = []string{offline, underMinISR, underReplicated}

const (
	offline         = "offline"
	underMinISR     = "under-min-isr"
	underReplicated = "under-replicated"
)

func newReport(a *answers) *report {
	r := &report{Cluster: value(a.metadata.ClusterID), Controller: a.metadata.ControllerID, Brokers: []brokerState{}, Problems: []illPartition{}}
	if a.cluster != nil {
		r.Cluster, r.Controller = a.cluster.ClusterID, a.cluster.ControllerID
		for _, b := range a.cluster.Brokers {
			state := serving
			if b.IsFenced {
				state = fenced
			}
			r.Brokers = append(r.Brokers, brokerState{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: value(b.Rack), State: state})
		}
	} else {
		for _, b := range a.metadata.Brokers {
			r.Brokers = append(r.Brokers, brokerState{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: value(b.Rack), State: serving})
		}
	}
	switch {
	case a.quorum != nil:
		r.quorum(a.quorum) // a broker that is asked for the controller may name any other broker, as Kafka's do
		r.Controller = r.Quorum.Leader
	case client.NotServed(a.noQuorum):
		r.notes = append(r.notes, "no voters are shown: the cluster does not know the request, it may have none")
	default:
		r.Controller = -1
		r.notes = append(r.notes, fmt.Sprintf("no voters are shown: no broker knows who leads the quorum of the metadata: %v", a.noQuorum))
	}
	r.partitions(a)
	for i := range r.Brokers {
		r.Brokers[i].Controller = r.Brokers[i].ID == r.Controller
	}
	slices.SortFunc(r.Brokers, func(a, b brokerState) int { return cmp.Compare(a.ID, b.ID) })
	return r
}

func (r *report) quorum(from *kmsg.DescribeQuorumResponse) {
	p := from.Topics[0].Partitions[0]
	addresses := map[int32]string{}
	for _, n := range from.Nodes {
		if len(n.Listeners) > 0 {
			addresses[n.NodeID] = fmt.Sprintf("%s:%d", n.Listeners[0].Host, n.Listeners[0].Port)
		}
	}
	q := &quorumState{Leader: p.LeaderID, Epoch: p.LeaderEpoch, Committed: p.HighWatermark}
	end := p.HighWatermark
	for _, m := range slices.Concat(p.CurrentVoters, p.Observers) {
		if m.ReplicaID == p.LeaderID {
			end = m.LogEndOffset
		}
	}
	view := func(members []kmsg.DescribeQuorumResponseTopicPartitionReplicaState) []memberView {
		all := []memberView{}
		for _, m := range members {
			v := memberView{m.ReplicaID, addresses[m.ReplicaID], m.LogEndOffset, max(end-m.LogEndOffset, 0), m.LastFetchTimestamp, m.LastCaughtUpTimestamp}
			if m.ReplicaID == p.LeaderID {
				v.Heard, v.CaughtUp = -1, -1 // it does not hear of itself, whatever it says
			}
			all = append(all, v)
		}
		slices.SortFunc(all, func(a, b memberView) int { return cmp.Compare(a.ID, b.ID) })
		return all
	}
	q.Voters, q.Observers = view(p.CurrentVoters), view(p.Observers)
	r.Quorum = q
}

func (r *report) partitions(a *answers) {
	at := map[int32]int{}
	for i, b := range r.Brokers {
		at[b.ID] = i
	}
	broker := func(id int32) *brokerState {
		i, known := at[id]
		if !known {
			i = len(r.Brokers)
			at[id] = i
			r.Brokers = append(r.Brokers, brokerState{ID: id, State: gone})
		}
		return &r.Brokers[i]
	}
	for _, t := range a.metadata.Topics {
		if t.Topic == nil {
			continue
		}
		r.Topics++
		for _, p := range t.Partitions {
			r.Partitions.Total++
			for _, id := range p.Replicas {
				broker(id).Replicas++
			}
			for _, id := range p.ISR {
				broker(id).InSync++
			}
			led := p.Leader >= 0
			if led {
				b := broker(p.Leader)
				b.Leads++
				led = b.State == serving
			}
			r.judge(a, *t.Topic, p, led)
		}
	}
	slices.SortFunc(r.Problems, func(a, b illPartition) int {
		return cmp.Or(cmp.Compare(slices.Index(problems, a.Problem), slices.Index(problems, b.Problem)), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// judge counts what is wrong with a partition.
func (r *report) judge(a *answers, topic string, p kmsg.MetadataResponseTopicPartition, led bool) {
	one := illPartition{Topic: topic, Partition: p.Partition, Leader: p.Leader, Replicas: p.Replicas, ISR: p.ISR, MinISR: a.minISR[topic]}
	if may, ok := a.elr[topic][p.Partition]; ok {
		one.ELR, one.LastKnownELR = may.eligible, may.lastKnown
	}
	if !led || len(p.ISR) < len(p.Replicas) {
		r.Partitions.UnderReplicated++
		one.Problem = underReplicated
	}
	// More replicas than there are to be are not waited for. With an ELR the controller's min.insync.replicas is not met, whatever the broker that was asked has.
	if !led || len(p.ISR) < min(one.MinISR, len(p.Replicas)) || len(one.ELR) > 0 {
		r.Partitions.UnderMinISR++
		one.Problem = underMinISR
	}
	if !led {
		r.Partitions.Offline++
		one.Problem = offline
	}
	if one.Problem != "" {
		r.Problems = append(r.Problems, one)
	}
}
