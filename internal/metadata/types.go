package metadata

import (
	"slices"

	"github.com/moldau/moldau/internal/uuid"
)

// NoLeader stands where a partition has no leader.
const NoLeader int32 = -1

// Resource types of configurations, as Kafka numbers them.
const (
	ResourceTopic         int8 = 2
	ResourceBroker        int8 = 4
	ResourceClientMetrics int8 = 16
	ResourceGroup         int8 = 32
)

// Topic is one topic. It and everything below it is shared between images: read only.
type Topic struct {
	Name       string
	ID         uuid.UUID
	Partitions []*Partition      // by partition number, no gaps
	Configs    map[string]string // overrides; nil when there is none
}

// Partition is one partition of a topic.
//
// Invariant: the leader is in the ISR; ISR and ELR are disjoint subsets of Replicas, and so are those that a reassignment adds or
// removes. The partition epoch rises by exactly one with each change, the leader epoch never falls.
type Partition struct {
	Replicas     []int32     // assignment, preferred leader first
	ISR          []int32     // in-sync replicas
	ELR          []int32     // replicas out of the ISR that still have every committed record (KIP-966)
	LastKnownELR []int32     // former members of the ELR, for an operator's eyes
	Directories  []uuid.UUID // log directory of each replica; zero: not assigned yet

	Leader         int32
	LeaderEpoch    int32
	PartitionEpoch int32
	Recovering     bool // the leader came from an unclean election and has not said that it recovered
	Chosen         bool // an operator gave it fewer replicas than its topic grows to: it is left as it is

	Reassignment *Reassignment // nil: none is under way
}

// Reassignment is what is under way with the replicas of a partition (KIP-455). They have those that are added and those that are removed,
// until all but the latter are in the ISR.
type Reassignment struct{ Adding, Removing []int32 }

// Factor is the number of replicas that the partition is to have at present: those that are being added do not count before all of them are in
// sync.
func (p *Partition) Factor() int {
	if p.Reassignment == nil {
		return len(p.Replicas)
	}
	return len(p.Replicas) - len(p.Reassignment.Adding)
}

// MinISR is how many replicas must be in sync for acks=all: as many as min.insync.replicas says of the topic, or no more than there are. 0 says that nobody
// set it: then it is two where there are three or more, and one of fewer. Leader and controller both go by the partition as it stands, so that they
// agree at each partition epoch: the ELR relies on it.
func (p *Partition) MinISR(set int) int { return MinISR(set, p.Factor()) }

// MinISR is that of a partition with so many replicas.
func MinISR(set, factor int) int {
	switch {
	case set > 0:
		return min(set, factor)
	case factor >= 3:
		return 2
	}
	return 1
}

// Listener is one address of a broker.
type Listener struct {
	Name     string
	Host     string
	Port     int32
	Protocol int16 // security protocol as Kafka numbers it: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
}

// Broker is one registered broker.
type Broker struct {
	ID                 int32
	Epoch              int64 // of this registration; never given twice in a cluster
	Incarnation        uuid.UUID
	Listeners          []Listener
	Rack               string
	Directories        []uuid.UUID // log directories that are online, sorted
	Fenced             bool        // may neither lead nor be in an ISR
	ControlledShutdown bool        // on its way out: gets no new leadership
}

// Active says whether the broker may lead and be in an ISR.
func (b *Broker) Active() bool { return b != nil && !b.Fenced && !b.ControlledShutdown }

// Online says whether a replica of the partition on the broker is in a data directory that the broker has. One of which nobody knows where it is counts.
func (p *Partition) Online(b *Broker) bool {
	if b == nil {
		return false
	}
	at := slices.Index(p.Replicas, b.ID)
	return at < 0 || at >= len(p.Directories) || p.Directories[at].IsZero() || len(b.Directories) == 0 || slices.Contains(b.Directories, p.Directories[at])
}

// Listener returns the listener of that name.
func (b *Broker) Listener(name string) (Listener, bool) {
	i := slices.IndexFunc(b.Listeners, func(l Listener) bool { return l.Name == name })
	if i < 0 {
		return Listener{}, false
	}
	return b.Listeners[i], true
}

// Directory returns the directory of a new replica on the broker: its only one, or zero where the broker has to choose.
func (b *Broker) Directory() uuid.UUID {
	if b != nil && len(b.Directories) == 1 {
		return b.Directories[0]
	}
	return uuid.UUID{}
}

// Resource names what a configuration belongs to. A broker resource with an empty name is the default of all brokers.
type Resource struct {
	Type int8
	Name string
}

// Has says whether replicas contains the broker.
func Has(replicas []int32, broker int32) bool { return slices.Contains(replicas, broker) }
