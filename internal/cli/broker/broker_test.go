package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/output"
)

func TestParse(t *testing.T) {
	got, err := parse([]byte("# HELP a b\n\nup 1\nn{a=\"x\",b=\"say \\\"hi\\\", \\\\ \\n }\"} 2.5e3 1700000000\nempty{} +Inf\n"))
	if err != nil || len(got) != 3 || got[0].name != "up" || got[0].value != 1 || got[1].labels["a"] != "x" || got[1].labels["b"] != "say \"hi\", \\ \n }" ||
		got[1].value != 2500 || got[2].name != "empty" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"nothing", "{a=\"b\"} 1", "n{a=\"b\" 1", "n{a=b} 1", "n{a} 1", "n 1.2.3", "<html>", "n{"} {
		if got, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

// scrapeOf is a scrape of a broker that was started 90 seconds ago.
func scrapeOf(t *testing.T, at time.Time, text string) scrape {
	t.Helper()
	all, err := parse([]byte(fmt.Sprintf("moldau_start_time_seconds %d\n", at.Unix()-90) + text))
	if err != nil {
		t.Fatal(err)
	}
	return scrape{at, all}
}

func reported(t *testing.T) *report {
	t.Helper()
	at := time.Unix(1_700_000_000, 0)
	r := newReport(scrapeOf(t, at, `moldau_requests_total{api="Produce",version="13",error="NONE"} 10
moldau_requests_total{api="Fetch",version="18",error="NONE"} 5
moldau_request_duration_seconds_sum{api="Produce"} 1
moldau_request_duration_seconds_count{api="Produce"} 10
moldau_topic_produced_records_total{topic="orders"} 100
moldau_topic_produced_bytes_total{topic="orders"} 1000
moldau_topic_produced_bytes_total{topic="quiet"} 1000
moldau_topic_produced_bytes_total{topic="made anew"} 5000
moldau_received_bytes_total 100
`), scrapeOf(t, at.Add(2*time.Second), `moldau_requests_total{api="Produce",version="13",error="NONE"} 40
moldau_requests_total{api="Produce",version="9",error="INVALID_RECORD"} 2
moldau_requests_total{api="Produce",version="13",error="INVALID_RECORD"} 2
moldau_requests_total{api="Fetch",version="18",error="NONE"} 5
moldau_requests_total{api="JoinGroup",version="9",error="MEMBER_ID_REQUIRED"} 3
moldau_requests_total{api="Metadata",version="13",error="UNKNOWN_TOPIC_OR_PARTITION"} 7
moldau_request_duration_seconds_sum{api="Produce"} 1.0051
moldau_request_duration_seconds_count{api="Produce"} 44
moldau_topic_produced_records_total{topic="orders"} 130
moldau_topic_produced_bytes_total{topic="orders"} 5096
moldau_topic_produced_bytes_total{topic="quiet"} 1000
moldau_topic_produced_bytes_total{topic="made anew"} 20
moldau_topic_fetched_bytes_total{topic="read"} 20
moldau_received_bytes_total 300
moldau_connections{listener="A"} 2
moldau_connections{listener="B"} 3
moldau_directory_state{directory="/d",state="online"} 0
moldau_directory_state{directory="/d",state="full"} 1
moldau_directory_free_bytes{directory="/d"} 1024
moldau_directory_size_bytes{directory="/d"} 4096
process_resident_memory_bytes 1048576
`))
	r.Broker, r.Ready = "1", true
	return r
}

func TestReport(t *testing.T) {
	r := reported(t)
	var b bytes.Buffer
	want := `BROKER  STATE  UP     CONNECTIONS  IN FLIGHT  GROUPS  MEMORY   CPUS  RECEIVED/S  SENT/S
1       ready  1m30s  5            0          0       1.0 MiB  0.0   100 B       0 B

DIRECTORY  STATE  FREE     SIZE
/d         full   1.0 KiB  4.0 KiB

REQUEST  A SECOND  MEAN TIME  ERRORS/S
Produce  17        150µs      2.0

TOPIC   RECORDS IN/S  IN/S     FETCHED/S
orders  15            2.0 KiB  0 B

REFUSED SINCE THE START  ERROR                       REQUESTS
Metadata                 UNKNOWN_TOPIC_OR_PARTITION  7
Produce                  INVALID_RECORD              4
`
	if err := r.print(&b, output.Table, 10); err != nil || b.String() != want {
		t.Errorf("%s, %v\nwant\n%s", b.String(), err, want)
	}
	b.Reset()
	r.Ready, r.Checks = false, []string{"[-] disk writable: no space left"}
	if err := r.print(&b, output.Table, 0); err != nil || !strings.Contains(b.String(), "1       not ready  1m30s") ||
		!strings.Contains(b.String(), "\n[-] disk writable: no space left\n") || strings.Contains(b.String(), "orders") {
		t.Errorf("not ready: %s, %v", b.String(), err)
	}
	b.Reset()
	if err := r.print(&b, output.Plain, 10); err != nil || !strings.Contains(b.String(), "request\tProduce\t17\t150µs\t2.0\n") || !strings.HasPrefix(b.String(), "broker\t1\tnot ready\t") {
		t.Errorf("plain: %s, %v", b.String(), err)
	}
}

// TestJSON holds the names that programs read. Changing one breaks them.
func TestJSON(t *testing.T) {
	r := reported(t)
	got, err := json.Marshal(r)
	want := `{"broker":"1","ready":true,"checks":[],"upSeconds":90,"connections":5,"inFlight":0,"memoryBytes":1048576,"groups":0,` +
		`"directories":[{"path":"/d","state":"full","freeBytes":1024,"sizeBytes":4096}],"seconds":2,"receivedBytes":100,"sentBytes":0,"cpus":0,` +
		`"requests":[{"api":"Produce","perSecond":17,"meanSeconds":0.00015,"errors":2}],` +
		`"topics":[{"topic":"orders","records":15,"bytesIn":2048,"bytesFetched":0}],` +
		`"refused":[{"api":"Metadata","error":"UNKNOWN_TOPIC_OR_PARTITION","requests":7},{"api":"Produce","error":"INVALID_RECORD","requests":4}]}`
	text := strings.Replace(string(got), fmt.Sprint(r.Requests[0].MeanSeconds), "0.00015", 1) // which is not exact
	if err != nil || text != want {
		t.Errorf("%s, %v\nwant\n%s", text, err, want)
	}
	rack := "r"
	m := kadm.Metadata{Controller: 2, Brokers: kadm.BrokerDetails{{NodeID: 1, Host: "a", Port: 9}, {NodeID: 2, Host: "b", Port: 8, Rack: &rack}},
		Topics: kadm.TopicDetails{"t": {Partitions: kadm.PartitionDetails{0: {Leader: 2}, 1: {Leader: 2, Partition: 1}, 2: {Leader: -1, Partition: 2}}}}}
	list := brokersOf(m)
	got, err = json.Marshal(list.Document)
	want = `[{"id":1,"host":"a","port":9,"controller":false,"leads":0},{"id":2,"host":"b","port":8,"rack":"r","controller":true,"leads":2}]`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	var b bytes.Buffer
	if err := list.Print(&b, output.Plain); err != nil || b.String() != "1\ta:9\t-\t-\t0\n2\tb:8\tr\tyes\t2\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestWhere(t *testing.T) {
	brokers := kadm.BrokerDetails{{NodeID: 3, Host: "c"}, {NodeID: 1, Host: "a"}}
	if b, err := choose(brokers, []string{"1"}); err != nil || b.Host != "a" {
		t.Errorf("%+v, %v", b, err)
	}
	if b, err := choose(brokers[:1], nil); err != nil || b.Host != "c" {
		t.Errorf("the only one: %+v, %v", b, err)
	}
	for want, args := range map[string][]string{"which broker? There are 1, 3": nil, "there is no broker 2; the brokers are 1, 3": {"2"}} {
		if _, err := choose(brokers, args); err == nil || err.Error() != want {
			t.Errorf("%v: %v", args, err)
		}
	}
	for listener, want := range map[string]string{"127.0.0.1:9": "127.0.0.1:9", ":9": "h:9", "0.0.0.0:9": "h:9", "[::]:9": "h:9", "x.y:9": "x.y:9"} {
		if got, err := reachable(listener, "h", 1); err != nil || got != want {
			t.Errorf("%s: %s, %v", listener, got, err)
		}
	}
	for listener, want := range map[string]string{"": "start it with", "nowhere": "is no address", "127.0.0.1:0": "takes any port"} {
		if got, err := reachable(listener, "h", 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v", listener, got, err)
		}
	}
}

func TestLook(t *testing.T) {
	asked := 0
	status, body := http.StatusServiceUnavailable, "moldau_node_info{cluster=\"c\",node=\"4\"} 1\nmoldau_received_bytes_total %d\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			w.WriteHeader(status)
			fmt.Fprint(w, "not ready\n[-] groups loaded: 3 left\n[+] registered\n")
		case "/metrics":
			asked++
			fmt.Fprintf(w, body, 1000*asked)
		}
	}))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	r, err := look(t.Context(), address, time.Millisecond)
	if err != nil || r.Broker != "4" || r.Ready || len(r.Checks) != 2 || asked != 2 || r.ReceivedBytes <= 0 {
		t.Errorf("%+v, %v, %d scrapes", r, err, asked)
	}
	body = "no metrics %d {"
	if _, err := look(t.Context(), address, time.Millisecond); err == nil || !strings.Contains(err.Error(), "read http://"+address+"/metrics: no metric:") {
		t.Errorf("something else answers: %v", err)
	}
	body = "n %d\n"
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := look(ctx, address, time.Hour); err == nil {
		t.Error("an interrupted look has an end")
	}
	s.Close()
	if _, err := look(t.Context(), address, time.Millisecond); err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "is the broker running?") {
		t.Errorf("nobody answers: %v", err)
	}
}
