package group

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/output"
)

func number(n int64) *int64 { return &n }

// billing has two members, a partition without an offset, and one whose topic is gone.
func billing() *description {
	instance := "one"
	d := &description{Group: "billing", State: "Stable", Type: "Classic", ProtocolType: "consumer", Assignor: "range",
		Coordinator: broker{1, "h", 9092}, Offsets: []offset{}, Members: []member{
			{"m1", &instance, "c1", "10.0.0.1", []assigned{{"orders", []int32{0, 1}}}},
			{"m2", nil, "c2", "10.0.0.2", []assigned{}},
		}}
	committed := kadm.OffsetResponses{}
	committed.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "orders", Partition: 0, At: 7, Metadata: "x"}})
	committed.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "gone", Partition: 2, At: 1}})
	committed.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "orders", Partition: 2, At: 10}})
	d.measure(committed, func(topic string, _ int32) (int64, int64, error) {
		if topic == "gone" {
			return -1, -1, kerr.UnknownTopicOrPartition
		}
		return 2, 9, nil
	})
	return d
}

func TestMeasure(t *testing.T) {
	d := billing()
	if d.Lag != 2 || d.Unknown != 1 || len(d.Offsets) != 4 {
		t.Fatalf("%+v", d)
	}
	if o := d.Offsets[0]; o.Topic != "gone" || o.Error != "UNKNOWN_TOPIC_OR_PARTITION" || o.Lag != nil || o.End != nil || *o.Committed != 1 {
		t.Errorf("of a topic that is gone: %+v", o)
	}
	if o := d.Offsets[2]; o.Committed != nil || o.Lag != nil || *o.End != 9 || *o.MemberID != "m1" {
		t.Errorf("without an offset: %+v", o)
	}
	if o := d.Offsets[3]; *o.Committed != 10 || *o.Lag != 0 || o.MemberID != nil {
		t.Errorf("ahead of the end that is known: %+v", o)
	}
}

func TestPrintDescription(t *testing.T) {
	for format, want := range map[output.Format]string{
		output.Table: "\nGROUP    STATE   TYPE     PROTOCOL  ASSIGNOR  COORDINATOR  MEMBERS  LAG\n" +
			"billing  Stable  Classic  consumer  range     1 (h:9092)   2        2\n\n" +
			"MEMBER  INSTANCE  CLIENT  HOST      ASSIGNMENT\n" +
			"m1      one       c1      10.0.0.1  orders:0,1\n" +
			"m2      -         c2      10.0.0.2  -\n\n" +
			"TOPIC   PARTITION  COMMITTED  END                         LAG  MEMBER\n" +
			"gone    2          1          UNKNOWN_TOPIC_OR_PARTITION  -    -\n" +
			"orders  0          7          9                           2    m1\n" +
			"orders  1          -          9                           -    m1\n" +
			"orders  2          10         9                           0    -\n",
		output.Plain: "group\tbilling\tStable\tClassic\tconsumer\trange\t1\n" +
			"member\tbilling\tm1\tone\tc1\t10.0.0.1\torders:0,1\nmember\tbilling\tm2\t-\tc2\t10.0.0.2\t-\n" +
			"offset\tbilling\tgone\t2\t1\tUNKNOWN_TOPIC_OR_PARTITION\t-\t-\noffset\tbilling\torders\t0\t7\t9\t2\tm1\n" +
			"offset\tbilling\torders\t1\t-\t9\t-\tm1\noffset\tbilling\torders\t2\t10\t9\t0\t-\n",
	} {
		var b bytes.Buffer
		if err := billing().print(&b, format, true); err != nil || b.String() != want {
			t.Errorf("%s: %s, %v", format, b.String(), err)
		}
	}
	var b bytes.Buffer
	empty := &description{Group: "g", State: "Empty", Type: "Classic", Coordinator: broker{1, "h", 9}}
	want := "GROUP  STATE  TYPE     PROTOCOL  ASSIGNOR  COORDINATOR  MEMBERS  LAG\ng      Empty  Classic  -         -         1 (h:9)      0        -\n"
	if err := empty.print(&b, output.Table, false); err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestPrintLag(t *testing.T) {
	found := []lagged{billing().lag()}
	for format, want := range map[output.Format]string{
		output.Table: "GROUP    TOPIC   PARTITION  COMMITTED  END                         LAG\n" +
			"billing  gone    2          1          UNKNOWN_TOPIC_OR_PARTITION  -\n" +
			"billing  orders  0          7          9                           2\n" +
			"billing  orders  1          -          9                           -\n" +
			"billing  orders  2          10         9                           0\n\n" +
			"GROUP    STATE   LAG\nbilling  Stable  2\n",
		output.Plain: "partition\tbilling\tgone\t2\t1\tUNKNOWN_TOPIC_OR_PARTITION\t-\npartition\tbilling\torders\t0\t7\t9\t2\n" +
			"partition\tbilling\torders\t1\t-\t9\t-\npartition\tbilling\torders\t2\t10\t9\t0\ntotal\tbilling\tStable\t2\n",
	} {
		var b bytes.Buffer
		if err := printLag(&b, format, found); err != nil || b.String() != want {
			t.Errorf("%s: %s, %v", format, b.String(), err)
		}
	}
	for format, want := range map[output.Format]string{output.Table: "GROUP  STATE  LAG\n", output.Plain: "", output.JSON: "[]\n"} {
		var b bytes.Buffer
		if err := printLag(&b, format, []lagged{}); err != nil || b.String() != want {
			t.Errorf("nothing as %s: %q, %v", format, b.String(), err)
		}
	}
}

func TestTooFar(t *testing.T) {
	known := lagged{Group: "a", Lag: 5}
	broken := lagged{Group: "b", Partitions: []laggedAtPlace{{Topic: "t", Partition: 1, Error: "LEADER_NOT_AVAILABLE"}}}
	for _, c := range []struct {
		found  []lagged
		most   int64
		status int
		text   string
	}{
		{[]lagged{known}, -1, 0, ""},
		{[]lagged{known}, 5, 0, ""},
		{[]lagged{known}, 4, 2, "group a is 5 records behind in all, --max-lag is 4"},
		{[]lagged{broken}, -1, 0, ""},
		{[]lagged{broken}, 9, 1, "group b: how far it is behind in partition 1 of topic t is not known: LEADER_NOT_AVAILABLE"},
		{[]lagged{broken, known}, 0, 2, "group a is 5 records behind in all, --max-lag is 0\ngroup b: how far it is behind in partition 1 of topic t is not known: LEADER_NOT_AVAILABLE"},
	} {
		err := tooFar(c.found, c.most)
		status := 0
		if err != nil {
			status = 1
			var own interface{ ExitStatus() int }
			if errors.As(err, &own) {
				status = own.ExitStatus()
			}
			if err.Error() != c.text {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if status != c.status {
			t.Errorf("%+v: status %d", c, status)
		}
	}
}

// TestJSON holds the names that programs read. Changing one breaks them.
func TestJSON(t *testing.T) {
	for _, c := range []struct {
		document any
		want     string
	}{
		{listed{"g", "Stable", "Classic", "consumer", 1}, `{"group":"g","state":"Stable","type":"Classic","protocolType":"consumer","coordinator":1}`},
		{billing(), `{"group":"billing","state":"Stable","type":"Classic","protocolType":"consumer","assignor":"range","coordinator":{"id":1,"host":"h","port":9092},` +
			`"members":[{"memberId":"m1","instanceId":"one","clientId":"c1","host":"10.0.0.1","assignment":[{"topic":"orders","partitions":[0,1]}]},` +
			`{"memberId":"m2","instanceId":null,"clientId":"c2","host":"10.0.0.2","assignment":[]}],` +
			`"offsets":[{"topic":"gone","partition":2,"committed":1,"start":null,"end":null,"lag":null,"memberId":null,"error":"UNKNOWN_TOPIC_OR_PARTITION"},` +
			`{"topic":"orders","partition":0,"committed":7,"metadata":"x","start":2,"end":9,"lag":2,"memberId":"m1"},` +
			`{"topic":"orders","partition":1,"committed":null,"start":2,"end":9,"lag":null,"memberId":"m1"},` +
			`{"topic":"orders","partition":2,"committed":10,"start":2,"end":9,"lag":0,"memberId":null}],"lag":2,"unknown":1}`},
		{lagged{"g", "Empty", 2, 0, []laggedAtPlace{{"t", 0, number(1), number(3), number(2), ""}}},
			`{"group":"g","state":"Empty","lag":2,"unknown":0,"partitions":[{"topic":"t","partition":0,"committed":1,"end":3,"lag":2}]}`},
		{resetAnswer{"g", true, []change{{"t", 0, nil, 3, 1, 3, "n"}}}, `{"group":"g","dryRun":true,"changes":[{"topic":"t","partition":0,"before":null,"after":3,"start":1,"end":3,"note":"n"}]}`},
		{deleteAnswer{false, []deleted{{"g", "Empty", 3}}}, `{"dryRun":false,"groups":[{"group":"g","state":"Empty","offsets":3}]}`},
		{deleteOffsetsAnswer{"g", true, []deletedOffset{{"t", 1, 5}}}, `{"group":"g","dryRun":true,"offsets":[{"topic":"t","partition":1,"committed":5}]}`},
	} {
		got, err := json.Marshal(c.document)
		if err != nil || string(got) != c.want {
			t.Errorf("%T: %s, %v", c.document, got, err)
		}
	}
}

func TestFilters(t *testing.T) {
	got, err := oneOf("state", []string{"stable", " PREPARINGREBALANCE"}, states)
	if err != nil || !slices.Equal(got, []string{"Stable", "PreparingRebalance"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := oneOf("type", []string{"classic", "old"}, types); err == nil || !strings.HasPrefix(err.Error(), "--type old: want some of Classic, ") {
		t.Error(err)
	}
	g := listed{State: "Empty", Type: "Classic"}
	if !g.among(nil, nil) || !g.among([]string{"Stable", "Empty"}, []string{"Classic"}) || g.among([]string{"Stable"}, nil) || g.among(nil, []string{"Share"}) {
		t.Error("the filters of the command line are wrong")
	}
	if typeName("") != "Classic" || typeName("consumer") != "Consumer" || typeName("Streams") != "Streams" {
		t.Error("types are spelled otherwise")
	}
}
