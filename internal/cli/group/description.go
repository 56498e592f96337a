package group

import (
	"cmp"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// description is what there is to know of a group.
type description struct {
	Group        string   `json:"group"`
	State        string   `json:"state"`
	Type         string   `json:"type"`
	ProtocolType string   `json:"protocolType"`
	Assignor     string   `json:"assignor"`
	Coordinator  broker   `json:"coordinator"`
	Members      []member `json:"members"`
	Offsets      []offset `json:"offsets"`
	Lag          int64    `json:"lag"`     // of all partitions whose lag is known
	Unknown      int      `json:"unknown"` // partitions without a committed offset
}

type broker struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
}

type member struct {
	ID         string     `json:"memberId"`
	InstanceID *string    `json:"instanceId"`
	ClientID   string     `json:"clientId"`
	Host       string     `json:"host"`
	Assignment []assigned `json:"assignment"`
}

type assigned struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// offset is how far the group is with a partition. What is not known is null: the committed offset of a partition that was
// assigned but never committed, the end of one that nobody leads.
type offset struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Committed *int64  `json:"committed"`
	Metadata  string  `json:"metadata,omitempty"`
	Start     *int64  `json:"start"`
	End       *int64  `json:"end"`
	Lag       *int64  `json:"lag"`
	MemberID  *string `json:"memberId"`
	Error     string  `json:"error,omitempty"`
}

// measure fills in what is committed or assigned, and how far it is from the end.
func (d *description) measure(committed kadm.OffsetResponses, of func(topic string, partition int32) (start, end int64, err error)) {
	type place struct {
		topic     string
		partition int32
	}
	found := map[place]*offset{}
	at := func(topic string, partition int32) *offset {
		o := found[place{topic, partition}]
		if o == nil {
			o = &offset{Topic: topic, Partition: partition}
			found[place{topic, partition}] = o
		}
		return o
	}
	committed.Each(func(r kadm.OffsetResponse) {
		o := at(r.Topic, r.Partition)
		o.Committed, o.Metadata = &r.At, r.Metadata
	})
	for i := range d.Members {
		for _, t := range d.Members[i].Assignment {
			for _, p := range t.Partitions {
				at(t.Topic, p).MemberID = &d.Members[i].ID
			}
		}
	}
	for _, o := range found {
		start, end, err := of(o.Topic, o.Partition)
		if err != nil {
			o.Error = errorText(err)
		} else if o.Start, o.End = &start, &end; o.Committed != nil {
			lag := max(end-*o.Committed, 0) // a replica may know of a commit before it knows of the end
			o.Lag = &lag
			d.Lag += lag
		}
		if o.Committed == nil {
			d.Unknown++
		}
		d.Offsets = append(d.Offsets, *o)
	}
	slices.SortFunc(d.Offsets, func(a, b offset) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// errorText is the name of a broker's answer.
func errorText(err error) string {
	var code *kerr.Error
	if errors.As(err, &code) {
		return code.Message
	}
	return err.Error()
}
