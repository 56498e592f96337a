package topic

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/moldau/moldau/internal/cli/output"
)

func TestPrintDescription(t *testing.T) {
	one := description{
		Name: "orders", ID: "wpSJbESWSCyAT58D5cAwJg",
		Partitions: []partitionDescription{{Partition: 0, Leader: 1, LeaderEpoch: 4, Replicas: []int32{1, 2}, ISR: []int32{1}, Start: 5, End: 9, ELR: []int32{2}}},
		Configs:    []configDescription{{"retention.ms", "7", "DYNAMIC_TOPIC_CONFIG"}},
	}
	for format, want := range map[output.Format]string{
		output.Table: "\ntopic orders  id wpSJbESWSCyAT58D5cAwJg  partitions 1  replicas 2\n\n" +
			"PARTITION  LEADER  EPOCH  REPLICAS  ISR  START  END  ELR  LAST ELR\n0          1       4      1,2       1    5      9    2    -\n\n" +
			"SETTING       VALUE  SOURCE\nretention.ms  7      DYNAMIC_TOPIC_CONFIG\n",
		output.Plain: "partition\torders\t0\t1\t4\t1,2\t1\t5\t9\t2\t-\nconfig\torders\tretention.ms\t7\tDYNAMIC_TOPIC_CONFIG\n",
	} {
		var b bytes.Buffer
		if err := one.print(&b, format, true); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", format, b.String(), err)
		}
	}
}

// TestJSON holds the names that programs read. Changing one breaks them.
func TestJSON(t *testing.T) {
	for _, c := range []struct {
		document any
		want     string
	}{
		{listed{"orders", "wpSJbESWSCyAT58D5cAwJg", 3, 1, true}, `{"name":"orders","id":"wpSJbESWSCyAT58D5cAwJg","partitions":3,"replicationFactor":1,"internal":true}`},
		{listed{Name: "orders"}, `{"name":"orders","partitions":0,"replicationFactor":0}`},
		{created{"orders", "wpSJbESWSCyAT58D5cAwJg", 3, 1}, `{"name":"orders","id":"wpSJbESWSCyAT58D5cAwJg","partitions":3,"replicationFactor":1}`},
		{description{"orders", "id", true, []partitionDescription{{0, 1, 4, []int32{1, 2}, []int32{1}, []int32{2}, 5, 9, []int32{2}, []int32{3}}}, []configDescription{{"retention.ms", "7", "DYNAMIC_TOPIC_CONFIG"}}},
			`{"name":"orders","id":"id","internal":true,"partitions":[{"partition":0,"leader":1,"leaderEpoch":4,"replicas":[1,2],"isr":[1],"offline":[2],"start":5,"end":9,"elr":[2],"lastKnownElr":[3]}],` +
				`"configs":[{"name":"retention.ms","value":"7","source":"DYNAMIC_TOPIC_CONFIG"}]}`},
	} {
		got, err := json.Marshal(c.document)
		if err != nil || string(got) != c.want {
			t.Errorf("%T: %s, %v", c.document, got, err)
		}
	}
}

func TestParsePairs(t *testing.T) {
	got, err := parsePairs("config", []string{"a=1", "b=", "c=x=y"})
	if err != nil || *got["a"] != "1" || *got["b"] != "" || *got["c"] != "x=y" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"a", "=1"} {
		if _, err := parsePairs("config", []string{bad}); err == nil || err.Error() != "--config "+bad+": want KEY=VALUE" {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}
