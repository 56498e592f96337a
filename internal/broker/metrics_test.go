package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/metrics/metricstest"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

const adminOn = "admin.listener=127.0.0.1:9644\n"

// http asks the admin listener.
func (n *node) http(path string) (int, string) {
	n.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, addr string) (network.Conn, error) { return n.net.Dial(ctx, addr) }}}
	resp, err := client.Get("http://127.0.0.1:9644" + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (n *node) scraped() metricstest.Samples {
	n.t.Helper()
	status, text := n.http("/metrics")
	if status != 200 {
		n.t.Fatalf("scrape: %d %s", status, text)
	}
	samples, err := metricstest.Parse(text)
	if err != nil {
		n.t.Fatalf("%v in\n%s", err, text)
	}
	return samples
}

// eventually scrapes until a series is as it should be.
func (n *node) eventually(series string, good func(float64) bool) {
	n.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		v, ok := n.scraped()[series]
		if ok && good(v) {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s is %v (there: %v)", series, v, ok)
		}
	}
}

// TestMetricsMove does what clients do and sees every metric of the table move as it should.
func TestMetricsMove(t *testing.T) {
	n := start(t, vfs.NewMem(), adminOn+"log.cleaner.backoff.ms=5\nlog.retention.check.interval.ms=5\noffsets.topic.num.partitions=3\ngroup.initial.rebalance.delay.ms=0\n")
	text := func(s string) *string { return &s }
	n.create("orders", 4, nil)
	n.create("table", 1, map[string]*string{"cleanup.policy": text("compact"), "internal.segment.bytes": text("2000"), "min.cleanable.dirty.ratio": text("0")})
	n.create("old", 1, map[string]*string{"internal.segment.bytes": text("2000"), "retention.bytes": text("1")})

	before := n.scraped()
	for _, m := range metrics.Table {
		if !before.Has(m.Name) && !strings.HasPrefix(m.Name, "process_") && m != metrics.GroupLag {
			t.Errorf("%s is not in the first scrape", m.Name)
		}
	}
	client := n.client(kgo.ProducerBatchMaxBytes(1200), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	const records = 100
	for i := range records {
		for _, topic := range []string{"orders", "table", "old"} {
			r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "%0100d", i)}
			if err := client.ProduceSync(n.context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := len(n.consume("orders", 0, records)); got != records {
		t.Fatal(got)
	}
	// A group that has committed 30 of the 100 records, and no members.
	adm := kadm.NewClient(n.client())
	var offsets kadm.Offsets
	offsets.AddOffset("orders", 0, 30, -1)
	if err := adm.CommitAllOffsets(n.context(), "readers", offsets); err != nil {
		t.Fatal(err)
	}
	// A request for a topic that does not exist, and one that closes its connection.
	missing := kmsg.NewPtrMetadataRequest()
	missing.Topics = []kmsg.MetadataRequestTopic{{Topic: text("nowhere")}}
	missing.AllowAutoTopicCreation = false
	if _, err := n.client().Request(n.context(), missing); err != nil {
		t.Fatal(err)
	}
	conn, err := n.net.Dial(n.context(), "127.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	// DescribeCluster in a version that there is not, correlation id 7, no client id.
	if _, err := conn.Write([]byte{0, 0, 0, 10, 0, 60, 0, 99, 0, 0, 0, 7, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	conn.Close()

	atLeast := func(low float64) func(float64) bool { return func(v float64) bool { return v >= low } }
	exactly := func(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
	for series, good := range map[string]func(float64) bool{
		`moldau_ready`:                                                                           exactly(1),
		`moldau_start_time_seconds`:                                                              atLeast(1.7e9),
		`moldau_topics`:                                                                          exactly(4),
		`moldau_partitions`:                                                                      exactly(9),
		`moldau_partitions_led`:                                                                  exactly(9),
		`moldau_partitions_under_replicated`:                                                     exactly(0),
		`moldau_partitions_under_min_isr`:                                                        exactly(0),
		`moldau_partitions_offline`:                                                              exactly(0),
		`moldau_partitions_off_preferred_leader`:                                                 exactly(0),
		`moldau_partitions_reassigning`:                                                          exactly(0),
		`moldau_topic_partitions{topic="orders"}`:                                                exactly(4),
		`moldau_topic_produced_records_total{topic="orders"}`:                                    exactly(records),
		`moldau_topic_produced_records_total{topic="__consumer_offsets"}`:                        atLeast(1),
		`moldau_topic_produced_bytes_total{topic="orders"}`:                                      atLeast(records * 150),
		`moldau_topic_fetched_bytes_total{topic="orders"}`:                                       atLeast(records * 150),
		`moldau_topic_fetched_bytes_total{topic="old"}`:                                          exactly(0),
		`moldau_topic_size_bytes{topic="orders"}`:                                                atLeast(records * 150),
		`moldau_topic_segments{topic="orders"}`:                                                  exactly(1),
		`moldau_log_size_bytes`:                                                                  atLeast(records * 150),
		`moldau_produced_records_total`:                                                          exactly(3 * records),
		`moldau_produced_batches_total`:                                                          exactly(3 * records),
		`moldau_produced_bytes_total`:                                                            atLeast(3 * records * 150),
		`moldau_fetched_partitions_total`:                                                        atLeast(1),
		`moldau_fetched_bytes_total`:                                                             atLeast(records * 150),
		`moldau_groups{state="Empty"}`:                                                           exactly(1),
		`moldau_groups{state="Stable"}`:                                                          exactly(0),
		`moldau_group_lag_records{group="readers",topic="orders"}`:                               exactly(70),
		`moldau_coordinators_loading`:                                                            exactly(0),
		`moldau_retention_deleted_segments_total{reason="size"}`:                                 atLeast(1),
		`moldau_cleaner_passes_total{result="done"}`:                                             atLeast(1),
		`moldau_cleaner_removed_records_total`:                                                   atLeast(50),
		`moldau_cleaner_removed_bytes_total`:                                                     atLeast(50 * 100),
		`moldau_cleaner_read_bytes_total`:                                                        atLeast(50 * 100),
		`moldau_cleaner_written_bytes_total`:                                                     atLeast(100),
		`moldau_directory_state{directory="data",state="online"}`:                                exactly(1),
		`moldau_directory_state{directory="data",state="offline"}`:                               exactly(0),
		`moldau_directory_free_bytes{directory="data"}`:                                          atLeast(1),
		`moldau_journal_commit_duration_seconds_count{directory="data"}`:                         atLeast(1),
		`moldau_request_duration_seconds_count{api="Produce"}`:                                   exactly(3 * records),
		`moldau_connections_accepted_total`:                                                      atLeast(3),
		`moldau_connections_closed_total{reason="error"}`:                                        exactly(1),
		`moldau_request_memory_limit_bytes`:                                                      atLeast(100 << 20),
		`moldau_requests_total{api="DescribeCluster",version="other",error="CONNECTION_CLOSED"}`: exactly(1),
	} {
		n.eventually(series, good)
	}
	after := n.scraped()
	for prefix, low := range map[string]float64{
		`moldau_requests_total{api="Produce",`: 3 * records, `moldau_requests_total{api="Fetch",`: 1, `moldau_connections{`: 1,
	} {
		if got := after.Sum(prefix); got < low {
			t.Errorf("%s is %v", prefix, got)
		}
	}
	unknown := 0.0
	for series, v := range after {
		if strings.HasPrefix(series, `moldau_requests_total{api="Metadata"`) && strings.Contains(series, `error="UNKNOWN_TOPIC_OR_PARTITION"`) {
			unknown += v
		}
	}
	if unknown != 1 {
		t.Errorf("%v requests for a topic that does not exist", unknown)
	}
	for _, m := range []*metrics.Metric{metrics.ReceivedBytes, metrics.SentBytes, metrics.AllocBytes} {
		if after[m.Name] <= before[m.Name] {
			t.Errorf("%s does not grow: %v, %v", m.Name, before[m.Name], after[m.Name])
		}
	}
	for _, m := range metrics.Table {
		if !after.Has(m.Name) && !strings.HasPrefix(m.Name, "process_") { // this disk is in memory, and has no /proc
			t.Errorf("%s has no sample", m.Name)
		}
	}

	// A consumer that waits is a request in flight.
	waiting := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {1: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(20*time.Second))
	go waiting.PollFetches(n.context())
	n.eventually("moldau_requests_in_flight", atLeast(1))
	n.eventually("moldau_request_memory_bytes", atLeast(1))
	waiting.Close()
	n.eventually(`moldau_connections_closed_total{reason="disconnected"}`, atLeast(1))
}

// A broker with more topics and groups than may have series says so, and its sums hold all.
func TestScrapeIsBounded(t *testing.T) {
	n := start(t, vfs.NewMem(), adminOn+"admin.metrics.series.max=2\noffsets.topic.num.partitions=1\n")
	for i := range 4 {
		n.create(fmt.Sprintf("topic-%d", i), 1, nil)
	}
	n.produce("topic-3", 10)
	adm := kadm.NewClient(n.client())
	var offsets kadm.Offsets
	offsets.AddOffset("topic-0", 0, 0, -1)
	offsets.AddOffset("topic-1", 0, 0, -1)
	for i := range 3 {
		if err := adm.CommitAllOffsets(n.context(), fmt.Sprintf("group-%d", i), offsets); err != nil {
			t.Fatal(err)
		}
	}
	n.eventually(`moldau_groups{state="Empty"}`, func(v float64) bool { return v == 3 })
	s := n.scraped()
	count := func(metric string) (n int) {
		for series := range s {
			if strings.HasPrefix(series, metric+"{") {
				n++
			}
		}
		return n
	}
	if got := count("moldau_topic_size_bytes"); got != 2 {
		t.Errorf("%d topics", got)
	}
	if got := count("moldau_group_lag_records"); got != 2 {
		t.Errorf("%d pairs of group and topic", got)
	}
	// __consumer_offsets and topic-0 have series. group-0 has two, group-1 would have two more, group-2 was not asked.
	if topics, groups := s[`moldau_scrape_left_out{what="topics"}`], s[`moldau_scrape_left_out{what="groups"}`]; topics != 3 || groups != 3 {
		t.Errorf("left out: %v topics, %v groups", topics, groups)
	}
	if s["moldau_topics"] != 5 || s["moldau_partitions"] != 5 || s["moldau_log_size_bytes"] <= s[`moldau_topic_size_bytes{topic="__consumer_offsets"}`] {
		t.Errorf("the sums lack what has no series")
	}
}

func TestReadiness(t *testing.T) {
	n := start(t, vfs.NewMem(), adminOn)
	if status, body := n.http("/readyz"); status != 200 || body != "ready\n[+] registered\n[+] groups loaded\n[+] disk writable\n" {
		t.Errorf("%d %q", status, body)
	}
	if status, body := n.http("/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("%d %q", status, body)
	}
	if got := n.AdminAddress(); got != "127.0.0.1:9644" {
		t.Errorf("address %q", got)
	}
	open := configuration(t, adminOn)
	open.Listeners[0].Host = "0.0.0.0"
	other := &node{t: t, net: network.NewMem()}
	var err error
	if other.Broker, err = Start(Options{Config: open, FS: vfs.NewMem(), Network: other.net}); err != nil {
		t.Fatal(err)
	}
	if status, body := other.http("/readyz"); status != 200 || !strings.Contains(body, "[+] listener PLAINTEXT://0.0.0.0:9092: open to other machines, with neither TLS nor SASL\n") {
		t.Errorf("%d %q", status, body)
	}
	other.stop()
	n.up.Store(false)
	if status, body := n.http("/readyz"); status != 503 || !strings.Contains(body, "[-] registered: the broker is starting") {
		t.Errorf("while it starts: %d %q", status, body)
	}
	if s := n.scraped(); s["moldau_ready"] != 0 || s.Has("moldau_topics") {
		t.Errorf("while it starts: %v", s)
	}
	n.up.Store(true)
	n.stopping.Store(true)
	if status, body := n.http("/readyz"); status != 503 || !strings.Contains(body, "the broker is stopping") {
		t.Errorf("while it stops: %d %q", status, body)
	}
	n.stopping.Store(false)
	n.fail(fmt.Errorf("the quorum is gone"))
	if status, body := n.http("/healthz"); status != 503 || !strings.Contains(body, "the quorum is gone") {
		t.Errorf("after a failure: %d %q", status, body)
	}
	if status, _ := n.http("/readyz"); status != 503 {
		t.Errorf("ready after a failure: %d", status)
	}
}

// Without the setting nothing is opened.
func TestNoAdminListenerByDefault(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	if n.AdminAddress() != "" {
		t.Errorf("open at %s", n.AdminAddress())
	}
	if c, err := n.net.Dial(n.context(), "127.0.0.1:9644"); err == nil {
		c.Close()
		t.Error("something answers")
	}
}

// An address of the configuration that is taken stops the start, before anything on the disk is touched.
func TestAdminListenerTaken(t *testing.T) {
	net, disk := network.NewMem(), vfs.NewMem()
	if _, err := net.Listen(context.Background(), "127.0.0.1:9644"); err != nil {
		t.Fatal(err)
	}
	_, err := Start(Options{Config: configuration(t, adminOn), FS: disk, Network: net})
	if err == nil || !strings.Contains(err.Error(), "admin.listener") {
		t.Fatalf("%v", err)
	}
	if entries, err := disk.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
}

// TestFullDiskIsNotReady: a load balancer that asks finds a broker whose only disk is full, and then has space again.
func TestFullDiskIsNotReady(t *testing.T) {
	mem := vfs.NewMem()
	n := start(t, mem, adminOn)
	n.create("topic", 1, nil)
	mem.SetCapacity(mem.Used())
	for i := 0; n.produceOnce("topic") != protocol.StorageError; i++ {
		if i > 10_000 {
			t.Fatal("the disk is never full")
		}
	}
	if status, body := n.http("/readyz"); status != 503 || !strings.Contains(body, "[-] disk writable: data is full") {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := n.http("/healthz"); status != 200 {
		t.Errorf("a full disk is no reason to start anew: %d", status)
	}
	if s := n.scraped(); s[`moldau_directory_state{directory="data",state="full"}`] != 1 || s["moldau_ready"] != 0 {
		t.Errorf("%v", s)
	}
	mem.SetCapacity(0)
	n.eventually("moldau_ready", func(v float64) bool { return v == 1 })
}

// TestLogNamesClientAPIAndTopic: the log answers why a request was refused, in one line however often it is sent, and whatever the
// client calls itself.
func TestLogNamesClientAPIAndTopic(t *testing.T) {
	told := make(lines, 1000)
	n := &node{t: t, net: network.NewMem()}
	var err error
	n.Broker, err = Start(Options{Config: configuration(t, ""), FS: vfs.NewMem(), Network: n.net, Log: slog.New(slog.NewJSONHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	n.create("orders", 1, nil)
	evil := "me\n\"level\":\"ERROR\"" + strings.Repeat("x", 200)
	client := n.client(kgo.ClientID(evil)).SeedBrokers()[0]
	for range 50 {
		req := kmsg.NewPtrProduceRequest()
		req.Acks = 1
		req.Version = 9
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", TopicID: n.publisher.Image().Topic("orders").ID,
			Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: []byte("no records at all, and long enough to be looked at: 61 bytes or more")}}}}
		if _, err := client.Request(n.context(), req); err != nil {
			t.Fatal(err)
		}
	}
	n.stop()
	close(told)
	found := 0
	for line := range told {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if l["api"] != "Produce" {
			continue
		}
		found++
		if l["topic"] != "orders" || l["client"] == "" || l["client_id"] != evil[:64]+"..." || l["error"] == "" || l["reason"] == "" || l["version"] == nil {
			t.Errorf("%s", line)
		}
	}
	if found != 1 {
		t.Errorf("%d lines for 50 requests", found)
	}
}
