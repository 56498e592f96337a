package handler

import (
	"fmt"
	"testing"

	"github.com/moldau/moldau/internal/protocol"
)

func TestLastEntryOfAPartitionCounts(t *testing.T) {
	entry := func(topic string, partitions ...int32) protocol.ProduceTopic {
		e := protocol.ProduceTopic{Name: topic}
		for _, p := range partitions {
			e.Partitions = append(e.Partitions, protocol.ProducePartition{Partition: p, Records: fmt.Append(nil, len(e.Partitions))})
		}
		return e
	}
	for _, c := range []struct {
		topics []protocol.ProduceTopic
		want   string
	}{
		{[]protocol.ProduceTopic{entry("a", 0, 1, 2), entry("b", 0)}, "a: 0=0 1=1 2=2; b: 0=0;"},
		{[]protocol.ProduceTopic{entry("a", 2, 0, 1)}, "a: 2=0 0=1 1=2;"},
		{[]protocol.ProduceTopic{entry("a", 0, 0)}, "a: 0=1;"},
		{[]protocol.ProduceTopic{entry("a", 1, 0, 1, 1)}, "a: 0=1 1=3;"},
		{[]protocol.ProduceTopic{entry("a", 0, 1), entry("b", 5), entry("a", 9, 0)}, "a: 1=1 9=0 0=1; b: 5=0;"},
	} {
		p := produce{req: protocol.ProduceRequest{Topics: c.topics}}
		p.keepLast()
		got := ""
		for i, topic := range p.req.Topics {
			if i > 0 {
				got += " "
			}
			got += topic.Name + ":"
			for _, part := range topic.Partitions {
				got += fmt.Sprintf(" %d=%s", part.Partition, part.Records)
			}
			got += ";"
		}
		if got != c.want {
			t.Errorf("kept %q, want %q", got, c.want)
		}
	}
}
