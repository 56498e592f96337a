package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

// fake is a cluster of three brokers: 1 is dead, 2 leads the quorum.
type fake struct {
	old        bool // knows nothing that is newer than Metadata
	leaderless bool // no node leads the quorum
	waits      bool // a partition with two replicas in sync has an ELR
	broken     error
	asked      []string
}

func (f *fake) Ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return f.AskUntil(ctx, req, func(kmsg.Response) error { return nil })
}

func (f *fake) AskUntil(_ context.Context, req kmsg.Request, good func(kmsg.Response) error) (kmsg.Response, error) {
	f.asked = append(f.asked, kmsg.NameForKey(req.Key()))
	if f.broken != nil {
		return nil, f.broken
	}
	resp, err := f.answer(req)
	if err == nil {
		err = good(resp)
	}
	return resp, err
}

func (f *fake) answer(req kmsg.Request) (kmsg.Response, error) {
	rack := "r1"
	switch req := req.(type) {
	case *kmsg.MetadataRequest:
		id := "wpSJbESWSCyAT58D5cAwJg"
		m := &kmsg.MetadataResponse{ClusterID: &id, ControllerID: 3, Brokers: []kmsg.MetadataResponseBroker{{NodeID: 3, Host: "c", Port: 9}, {NodeID: 2, Host: "b", Port: 8, Rack: &rack}}}
		add := func(name string, partitions ...kmsg.MetadataResponseTopicPartition) {
			for i := range partitions {
				partitions[i].Partition = int32(i)
			}
			m.Topics = append(m.Topics, kmsg.MetadataResponseTopic{Topic: &name, Partitions: partitions})
		}
		part := func(leader int32, replicas []int32, isr ...int32) kmsg.MetadataResponseTopicPartition {
			return kmsg.MetadataResponseTopicPartition{Leader: leader, Replicas: replicas, ISR: isr}
		}
		add("well", part(2, []int32{2, 3}, 2, 3))
		add("ill", part(2, []int32{1, 2, 3}, 2, 3), part(3, []int32{3, 1, 2}, 3), part(-1, []int32{1, 2}, 1), part(4, []int32{4}, 4))
		return m, nil
	case *kmsg.DescribeConfigsRequest:
		var resp kmsg.DescribeConfigsResponse
		for _, r := range req.Resources {
			least := "2"
			resp.Resources = append(resp.Resources, kmsg.DescribeConfigsResponseResource{ResourceName: r.ResourceName,
				Configs: []kmsg.DescribeConfigsResponseResourceConfig{{Name: r.ConfigNames[0], Value: &least}}})
		}
		return &resp, nil
	}
	if f.old {
		return nil, kerr.UnsupportedVersion
	}
	switch req := req.(type) {
	case *kmsg.DescribeClusterRequest:
		return &kmsg.DescribeClusterResponse{ClusterID: "wpSJbESWSCyAT58D5cAwJg", ControllerID: 3, Brokers: []kmsg.DescribeClusterResponseBroker{
			{NodeID: 3, Host: "c", Port: 9}, {NodeID: 1, Host: "a", Port: 7, IsFenced: req.IncludeFencedBrokers}, {NodeID: 2, Host: "b", Port: 8, Rack: &rack}}}, nil
	case *kmsg.DescribeQuorumRequest:
		if f.leaderless {
			return &kmsg.DescribeQuorumResponse{ErrorCode: kerr.NotLeaderForPartition.Code}, nil
		}
		p := kmsg.DescribeQuorumResponseTopicPartition{LeaderID: 2, LeaderEpoch: 5, HighWatermark: 100,
			CurrentVoters: []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{{ReplicaID: 3, LogEndOffset: 99, LastFetchTimestamp: 58_500, LastCaughtUpTimestamp: 58_000},
				{ReplicaID: 1, LogEndOffset: 40, LastFetchTimestamp: 1_000, LastCaughtUpTimestamp: -1}, {ReplicaID: 2, LogEndOffset: 101, LastFetchTimestamp: 60_000, LastCaughtUpTimestamp: 60_000}},
			Observers: []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{{ReplicaID: 4, LogEndOffset: 101, LastFetchTimestamp: 60_100, LastCaughtUpTimestamp: 59_990}}}
		return &kmsg.DescribeQuorumResponse{Topics: []kmsg.DescribeQuorumResponseTopic{{Topic: req.Topics[0].Topic, Partitions: []kmsg.DescribeQuorumResponseTopicPartition{p}}},
			Nodes: []kmsg.DescribeQuorumResponseNode{{NodeID: 3, Listeners: []kmsg.DescribeQuorumResponseNodeListener{{Name: "CONTROLLER", Host: "c", Port: 19}}}}}, nil
	case *kmsg.DescribeTopicPartitionsRequest: // a partition a page
		name, at := req.Topics[0].Topic, int32(0)
		if req.Cursor != nil {
			at = req.Cursor.Partition
		}
		resp := &kmsg.DescribeTopicPartitionsResponse{Topics: []kmsg.DescribeTopicPartitionsResponseTopic{{Topic: &name}}}
		p := kmsg.DescribeTopicPartitionsResponseTopicPartition{Partition: at}
		if f.waits && at == 0 {
			p.EligibleLeaderReplicas = []int32{1}
		}
		if at == 1 {
			p.EligibleLeaderReplicas, p.LastKnownELR = []int32{2}, []int32{1}
		}
		resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, p)
		if at < 3 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: at + 1}
		}
		return resp, nil
	}
	return nil, errors.New("unexpected request")
}

func seen(t *testing.T, f *fake) *report {
	t.Helper()
	r, err := look(t.Context(), &client.Options{}, f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func printed(t *testing.T, r *report, format output.Format, top int) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.print(&b, format, top, time.UnixMilli(60_000)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	f := &fake{}
	want := `CLUSTER                 CONTROLLER  BROKERS  FENCED OR GONE  TOPICS  PARTITIONS  UNDER-REPLICATED  UNDER MIN ISR  OFFLINE
wpSJbESWSCyAT58D5cAwJg  2           4        2               2       5           4                 3              2

BROKER  ADDRESS  RACK  STATE    CONTROLLER  LEADS  REPLICAS  IN SYNC
1       a:7      -     fenced   -           0      3         1
2       b:8      r1    serving  yes         2      4         2
3       c:9      -     serving  -           1      3         3
4       -        -     gone     -           1      1         1

NODE  QUORUM    ADDRESS  LOG END  LAG  HEARD     LEVEL
1     voter     -        40       61   59s ago   -
2     leader    -        101      0    -         -
3     voter     c:19     99       2    1.5s ago  2s ago
4     observer  -        101      0    0s ago    10ms ago

PROBLEM           TOPIC  PARTITION  LEADER  REPLICAS  ISR  MIN ISR  ELR  LAST ELR
offline           ill    2          -       1,2       1    2        -    -
offline           ill    3          4       4         4    2        -    -
under-min-isr     ill    1          3       3,1,2     3    2        2    1
under-replicated  ill    0          2       1,2,3     2,3  2        -    -
`
	r := seen(t, f)
	if got := printed(t, r, output.Table, 0); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if !slices.Equal(f.asked, []string{"DescribeCluster", "DescribeQuorum", "Metadata", "DescribeConfigs", "DescribeTopicPartitions", "DescribeTopicPartitions", "DescribeTopicPartitions", "DescribeTopicPartitions"}) {
		t.Errorf("asked for %v", f.asked)
	}
	short := printed(t, r, output.Table, 1)
	if !strings.HasSuffix(short, "offline  ill    2          -       1,2       1    2        -    -\nand 3 more, which --top 0 shows\n") {
		t.Errorf("with --top 1: %s", short)
	}
}

// TestELR: what has one is refused acks=all, also where the broker that was asked for min.insync.replicas has a smaller one than the controller.
func TestELR(t *testing.T) {
	r := seen(t, &fake{waits: true})
	i := slices.IndexFunc(r.Problems, func(p illPartition) bool { return p.Topic == "ill" && p.Partition == 0 })
	if got := r.Problems[i]; got.Problem != underMinISR || r.Partitions.UnderMinISR != 4 {
		t.Errorf("%+v, %+v", got, r.Partitions)
	}
}

func TestPlain(t *testing.T) {
	got := printed(t, seen(t, &fake{}), output.Plain, 20)
	for _, want := range []string{"cluster\twpSJbESWSCyAT58D5cAwJg\t2\t4\t2\t2\t5\t4\t3\t2\n", "\nbroker\t1\ta:7\t-\tfenced\t-\t0\t3\t1\n",
		"\nmember\t3\tvoter\tc:19\t99\t2\t1.5s ago\t2s ago\n", "\npartition\tunder-min-isr\till\t1\t3\t3,1,2\t3\t2\t2\t1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

// TestJSON holds the names that programs read. Changing one breaks them.
func TestJSON(t *testing.T) {
	r := seen(t, &fake{})
	r.Brokers, r.Problems, r.Quorum.Voters = r.Brokers[1:2], r.Problems[2:3], r.Quorum.Voters[2:]
	got, err := json.Marshal(r)
	want := `{"cluster":"wpSJbESWSCyAT58D5cAwJg","controller":2,"brokers":[{"id":2,"host":"b","port":8,"rack":"r1","state":"serving","controller":true,"leads":2,"replicas":4,"inSync":2}],` +
		`"quorum":{"leader":2,"epoch":5,"committed":100,"voters":[{"id":3,"address":"c:19","end":99,"lag":2,"heardMs":58500,"caughtUpMs":58000}],` +
		`"observers":[{"id":4,"end":101,"lag":0,"heardMs":60100,"caughtUpMs":59990}]},"topics":2,"partitions":{"total":5,"underReplicated":4,"underMinIsr":3,"offline":2},` +
		`"problems":[{"problem":"under-min-isr","topic":"ill","partition":1,"leader":3,"replicas":[3,1,2],"isr":[3],"minIsr":2,"elr":[2],"lastKnownElr":[1]}]}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant\n%s", got, err, want)
	}
}

// TestLess is about clusters that say less: one without a leader of its quorum, and one that is older than the requests.
func TestLess(t *testing.T) {
	for _, c := range []struct {
		fake       fake
		controller int32
		states     []string
		note       string
	}{
		{fake{leaderless: true}, -1, []string{fenced, serving, serving, gone}, "no broker knows who leads the quorum"},
		{fake{old: true}, 3, []string{gone, serving, serving, gone}, "the cluster does not know the request"},
	} {
		r := seen(t, &c.fake)
		var states []string
		for _, b := range r.Brokers {
			states = append(states, b.State)
		}
		if r.Controller != c.controller || r.Quorum != nil || !slices.Equal(states, c.states) || len(r.notes) != 1 || !strings.Contains(r.notes[0], c.note) {
			t.Errorf("%+v: %+v", c.fake, r)
		}
		if got := printed(t, r, output.Table, 20); strings.Contains(got, "QUORUM") {
			t.Errorf("%+v: %s", c.fake, got)
		}
	}
	if _, err := look(t.Context(), &client.Options{Bootstrap: "a:1"}, &fake{broken: kgo.ErrClientClosed}); err == nil || !strings.HasPrefix(err.Error(), "describe the cluster on a:1: ") {
		t.Errorf("nobody answers: %v", err)
	}
}
