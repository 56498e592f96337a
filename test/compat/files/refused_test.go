package files

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/test/compat/broker"
)

// tree lists the names in a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestDirectoriesInUse: neither of the two starts on a directory that the other one runs on, whether the metadata lies in it or not.
func TestDirectoriesInUse(t *testing.T) {
	exe, err := broker.Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "metadata")
	t.Setenv("EXTRA_PROPERTIES", "metadata.log.dir="+elsewhere)
	p := broker.Kafka(t, *port)
	for dir, reason := range map[string]string{elsewhere: "holds the metadata log of an Apache Kafka node", p.Data: "in use by another process"} {
		before := tree(t, dir)
		out, err := exec.Command(exe, "serve", "--data", dir, "--listen", "127.0.0.1:0").CombinedOutput()
		if err == nil || !strings.Contains(string(out), reason) || !strings.Contains(string(out), dir) {
			t.Errorf("Moldau on %s: %v\n%s", dir, err, out)
		}
		if after := tree(t, dir); after != before {
			t.Errorf("%s had %s, and has %s", dir, before, after)
		}
	}
	kafka(t, "term", *port, "1")
	ended(t, *port)

	dir := t.TempDir()
	if err := os.Rename(p.Data, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	m := broker.MoldauIn(t, dir) // it begins with Kafka's directory, which is empty
	if err := os.Symlink(m.Data, p.Data); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(broker.Root(), "bench/kafka.sh"), "run", *port, "1").CombinedOutput()
	if err == nil {
		t.Errorf("Kafka starts on a directory of Moldau's")
	}
	told, err := os.ReadFile(filepath.Join(filepath.Dir(p.Data), "1.log"))
	if err != nil || !strings.Contains(string(told), "Failed to acquire lock on file .lock") {
		t.Errorf("Kafka on a directory of Moldau's: %v\n%s\n%.3000s", err, out, told)
	}
	if err := m.Stop(); err != nil {
		t.Error(err)
	}
}

// legacy is a message as brokers before Kafka 0.11 wrote it.
func legacy(magic byte, value string) []byte {
	body := []byte{magic, 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, 1_400_000_000_000)
	}
	body = binary.BigEndian.AppendUint32(body, 0xffffffff) // no key
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	body = append(body, value...)
	m := binary.BigEndian.AppendUint64(nil, 0)
	m = binary.BigEndian.AppendUint32(m, uint32(4+len(body)))
	m = binary.BigEndian.AppendUint32(m, crc32.ChecksumIEEE(body))
	return append(m, body...)
}

// TestRefusesWhatItCannotRead: logs in old formats are left as they are, and of one with a damaged batch that batch alone is: what lies around it is
// served, and appends go on behind. The reason is in the broker's log. Other topics are served.
func TestRefusesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	m := broker.MoldauIn(t, dir)
	admin := kadm.NewClient(broker.ClientOf(t, m.Addr))
	reasons := map[string]string{"old-0": "message format v0 or v1", "old-1": "message format v0 or v1", "damaged": "is damaged"}
	for _, topic := range []string{"old-0", "old-1", "damaged", "good"} {
		broker.Create(t, admin, topic, 1)
		cl := broker.ClientOf(t, m.Addr, kgo.DefaultProduceTopic(topic))
		for range 3 {
			if err := cl.ProduceSync(broker.Context(t), kgo.StringRecord("value")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	file := func(topic string) string { return filepath.Join(m.Data, topic+"-0", "00000000000000000000.log") }
	for topic, content := range map[string][]byte{"old-0": legacy(0, "of 2012"), "old-1": legacy(1, "of 2016")} {
		contents[topic] = content
		write(t, file(topic), content)
	}
	body, err := os.ReadFile(file("damaged"))
	if err != nil {
		t.Fatal(err)
	}
	body[12+int(binary.BigEndian.Uint32(body[8:]))+16] = 9 // the magic of the second batch
	contents["damaged"] = body
	write(t, file("damaged"), body)
	for topic := range reasons {
		for _, derived := range []string{"*.snapshot", "*.index", "*.timeindex"} { // which belong to what was there before
			files, err := filepath.Glob(filepath.Join(m.Data, topic+"-0", derived))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		}
	}

	m = broker.MoldauIn(t, dir)
	admin = kadm.NewClient(broker.ClientOf(t, m.Addr))
	for topic := range reasons {
		at, err := send(t, m.Addr, topic, batch(&producer{id: -1, epoch: -1}, -1))
		switch {
		case topic == "damaged" && (err != nil || at != 3):
			t.Errorf("produce behind the damage: at %d, %v", at, err)
		case topic != "damaged" && err != kerr.NotLeaderForPartition:
			t.Errorf("produce to %s: %v", topic, err)
		}
	}
	for offset, want := range []error{nil, kerr.CorruptMessage, nil, nil} {
		if err := fetch(t, m.Addr, "damaged", int64(offset)); err != want {
			t.Errorf("fetch of damaged at %d: %v instead of %v", offset, err, want)
		}
	}
	if ends, err := admin.ListEndOffsets(broker.Context(t), "good"); err != nil || ends["good"][0].Offset != 3 {
		t.Errorf("another topic: %v %v", ends, err)
	}
	if err := m.Stop(); err != nil {
		t.Error(err)
	}
	for topic, reason := range reasons {
		told := false
		for l := range strings.Lines(m.Log()) {
			told = told || strings.Contains(l, topic) && strings.Contains(l, reason)
		}
		if !told {
			t.Errorf("of %s the broker says\n%s", topic, m.Log())
		}
		if after, err := os.ReadFile(file(topic)); err != nil || !bytes.HasPrefix(after, contents[topic]) || topic != "damaged" && len(after) > len(contents[topic]) {
			t.Errorf("the file of %s was changed: %v", topic, err)
		}
	}
}

// fetch asks for what begins at that offset and returns the partition's error; without one something must be there.
func fetch(t *testing.T, addr, topic string, offset int64) error {
	t.Helper()
	cl := broker.ClientOf(t, addr)
	defer cl.Close()
	found, err := kadm.NewClient(cl).ListTopics(broker.Context(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 1000, 1, 1, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.FetchOffset, part.PartitionMaxBytes = offset, 1 // one batch, whole
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID, rt.Partitions = topic, found[topic].ID, []kmsg.FetchRequestTopicPartition{part}
	req.Topics = []kmsg.FetchRequestTopic{rt}
	resp, err := cl.SeedBrokers()[0].Request(broker.Context(t), req)
	if err != nil {
		t.Fatalf("fetch of %s: %v", topic, err)
	}
	p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode == 0 && len(p.RecordBatches) == 0 {
		t.Errorf("fetch of %s at %d: nothing", topic, offset)
	}
	return kerr.ErrorForCode(p.ErrorCode)
}
