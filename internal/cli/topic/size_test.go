package topic

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/output"
)

// answered are two topics: small with a partition on two brokers, one of which is moving it, and large.
func answered() (kadm.TopicDetails, kadm.ListedOffsets, kadm.ListedOffsets, kadm.DescribedAllLogDirs) {
	topics := kadm.TopicDetails{
		"small": {Topic: "small", Partitions: kadm.PartitionDetails{0: {Topic: "small"}, 1: {Topic: "small", Partition: 1}}},
		"large": {Topic: "large", Partitions: kadm.PartitionDetails{0: {Topic: "large"}}},
	}
	at := func(topic string, partition int32, offset int64, err error) kadm.ListedOffset {
		return kadm.ListedOffset{Topic: topic, Partition: partition, Offset: offset, Err: err}
	}
	starts := kadm.ListedOffsets{"small": {0: at("small", 0, 5, nil), 1: at("small", 1, 0, errors.New("away"))}, "large": {0: at("large", 0, 0, nil)}}
	ends := kadm.ListedOffsets{"small": {0: at("small", 0, 9, nil), 1: at("small", 1, 3, nil)}, "large": {0: at("large", 0, 70, nil)}}
	dirs := kadm.DescribedAllLogDirs{
		1: {"/a": {Broker: 1, Dir: "/a", Topics: kadm.DescribedLogDirTopics{"small": {0: {Size: 100}}, "large": {0: {Size: 3000}}}},
			"/b": {Broker: 1, Dir: "/b", Topics: kadm.DescribedLogDirTopics{"small": {0: {Size: 7, IsFuture: true}}}}},
		2: {"/a": {Broker: 2, Dir: "/a", Topics: kadm.DescribedLogDirTopics{"small": {0: {Size: 90}}}}},
	}
	return topics, starts, ends, dirs
}

func TestSizes(t *testing.T) {
	found := sum(answered())
	for _, c := range []struct {
		format     output.Format
		partitions bool
		want       string
	}{
		{output.Table, false, "TOPIC  PARTITIONS  RECORDS  ON DISK\nlarge  1           70       2.9 KiB\nsmall  2           4        190 B\n"},
		{output.Plain, false, "large\t1\t70\t3000\nsmall\t2\t4\t190\n"},
		{output.Plain, true, "large\t0\t70\t3000\t1\t/a\nsmall\t0\t4\t100\t1\t/a\nsmall\t0\t4\t90\t2\t/a\nsmall\t1\t0\t0\t-\t-\n"},
	} {
		var b bytes.Buffer
		if err := printSizes(&b, c.format, found, c.partitions); err != nil || b.String() != c.want {
			t.Errorf("%s:\n%s, %v", c.format, b.String(), err)
		}
	}
	got, err := json.Marshal(found[1])
	want := `{"name":"small","records":4,"bytes":190,"partitions":[{"partition":0,"records":4,"bytes":190,"replicas":[{"broker":1,"directory":"/a","bytes":100},` +
		`{"broker":2,"directory":"/a","bytes":90}]},{"partition":1,"records":0,"bytes":0,"replicas":[]}]}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	var b strings.Builder
	if err := printSizes(&b, output.JSON, sum(nil, nil, nil, nil), false); err != nil || b.String() != "[]\n" {
		t.Errorf("no topics: %q, %v", b.String(), err)
	}
}
