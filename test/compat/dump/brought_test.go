package dump

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/test/compat/broker"
)

// moldauServes puts Kafka's segments of offsets in the place of Moldau's and starts it: it must serve what Kafka served.
//
// Commits name the id of their topic, and Moldau's topics have other ids, so those are exchanged: an offset of another
// topic of the same name is not served.
func moldauServes(t *testing.T, kafka string, want []string) {
	t.Helper()
	dir := t.TempDir()
	p := broker.MoldauIn(t, dir)
	admin := kadm.NewClient(broker.ClientOf(t, p.Addr))
	broker.Create(t, admin, "groups-a", 3)
	broker.Create(t, admin, "groups-b", 1)
	admin.FindGroupCoordinators(broker.Context(t), "any") // creates the topic of offsets
	var topics kadm.TopicDetails
	broker.Eventually(t, "the topic of offsets is there", func() bool {
		var err error
		topics, err = admin.ListTopicsWithInternal(broker.Context(t))
		return err == nil && len(topics[offsetsTopic].Partitions) == 50
	})
	ids := map[[16]byte][16]byte{}
	for _, topic := range []string{"groups-a", "groups-b"} {
		ids[topicID(t, kafka, topic+"-0")] = topics[topic].ID
	}
	id := topics[offsetsTopic].ID
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.Data, ".kafka_cleanshutdown")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	segments := 0
	for n := range 50 {
		to := filepath.Join(p.Data, fmt.Sprintf("%s-%d", offsetsTopic, n))
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, "partition.metadata"), fmt.Appendf(nil, "version: 0\ntopic_id: %s", base64.RawURLEncoding.EncodeToString(id[:])))
		logs, err := filepath.Glob(filepath.Join(kafka, fmt.Sprintf("%s-%d", offsetsTopic, n), "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			body, err := os.ReadFile(l)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(to, filepath.Base(l)), exchange(t, body, ids))
			segments++
		}
	}
	bringCheckpoint(t, kafka, p.Data)
	p = broker.MoldauIn(t, dir)
	admin = kadm.NewClient(broker.ClientOf(t, p.Addr))
	broker.Eventually(t, "the groups are loaded", func() bool {
		gs, err := admin.ListGroups(broker.Context(t))
		return err == nil && len(gs) > 40
	})
	got := served(t, p.Addr)
	compare(t, "Moldau serves", got, want)
	commit(t, admin, "simple-7", "groups-a", 0, 4711, -1, "of Moldau")
	os, err := admin.FetchOffsets(broker.Context(t), "simple-7")
	if o, ok := os.Lookup("groups-a", 0); err != nil || !ok || o.At != 4711 {
		t.Errorf("a new commit in a group of Kafka's: %+v %v", o, err)
	}
	t.Logf("Moldau serves %d lines of groups, members and offsets from %d segments of Kafka's", len(want), segments)
}

// bringCheckpoint adds the recovery points of Kafka's partitions of offsets to Moldau's. Compacted segments do not join:
// above a recovery point that would be a loss.
func bringCheckpoint(t *testing.T, kafka, moldau string) {
	t.Helper()
	const name = "recovery-point-offset-checkpoint"
	var lines []string
	for i, data := range []string{kafka, moldau} {
		body, err := os.ReadFile(filepath.Join(data, name))
		if err != nil && i == 0 {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(body)) {
			if fields := strings.Fields(line); len(fields) == 3 && (fields[0] == offsetsTopic) == (i == 0) {
				lines = append(lines, line)
			}
		}
	}
	write(t, filepath.Join(moldau, name), fmt.Appendf(nil, "0\n%d\n%s", len(lines), strings.Join(lines, "")))
}

// topicID reads the id that a partition's folder names.
func topicID(t *testing.T, data, partition string) (id [16]byte) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(data, partition, "partition.metadata"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^topic_id: (\S{22})$`).FindSubmatch(body)
	if m == nil {
		t.Fatalf("no topic id in %q", body)
	}
	if _, err := base64.RawURLEncoding.Decode(id[:], m[1]); err != nil {
		t.Fatal(err)
	}
	return id
}

// exchange puts ids in the place of others in a segment, and gives its batches the checksums that this takes. A batch
// begins with its offset and its length, and its checksum, of all that follows, lies 17 bytes after that.
func exchange(t *testing.T, segment []byte, ids map[[16]byte][16]byte) []byte {
	t.Helper()
	segment = bytes.Clone(segment)
	for rest := segment; len(rest) > 0; {
		if len(rest) < 61 {
			t.Fatalf("%d bytes at the end of a segment", len(rest))
		}
		size := 12 + int(binary.BigEndian.Uint32(rest[8:]))
		batch := rest[:size]
		for from, to := range ids {
			copy(batch[21:], bytes.ReplaceAll(batch[21:], from[:], to[:]))
		}
		binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
		rest = rest[size:]
	}
	return segment
}

func write(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.WriteFile(name, body, 0o644); err != nil {
		t.Fatal(err)
	}
}
