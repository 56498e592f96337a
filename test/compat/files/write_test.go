package files

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/test/compat/broker"
)

// topic is one of those that are written. There is one of each kind for each codec.
type topic struct {
	name, kind string
	codec      kgo.CompressionCodec
	configs    []string
}

func topics() (all []topic) {
	for _, c := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
	} {
		for _, k := range []struct {
			kind    string
			configs []string
		}{
			{"plain", []string{"segment.bytes=1048576"}},
			{"compacted", []string{"cleanup.policy=compact", "segment.bytes=1048576", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=86400000"}},
			{"deleted", []string{"segment.bytes=1048576"}},
			{"stamped", []string{"message.timestamp.type=LogAppendTime"}},
		} {
			all = append(all, topic{"files-" + c.name + "-" + k.kind, k.kind, c.codec, k.configs})
		}
	}
	return all
}

// producer is an idempotent producer whose batches are made here, so that it can go on at another broker.
type producer struct {
	id    int64
	epoch int16
	next  int32 // sequence
	last  int64 // offset of its last record
}

// writer writes the topics.
type writer struct {
	producers map[string]*producer
	mark      int // of the record that is sent next
}

// fill writes the first part: by producers of a client, idempotent and not, and by ours.
func (w *writer) fill(t *testing.T, addr string) {
	t.Helper()
	w.producers = map[string]*producer{}
	for _, topic := range topics() {
		w.write(t, addr, topic)
		resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(broker.Context(t), broker.ClientOf(t, addr))
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			t.Fatalf("get a producer id: %v", err)
		}
		w.producers[topic.name] = &producer{id: resp.ProducerID, epoch: resp.ProducerEpoch}
		for range 3 {
			w.append(t, addr, topic.name)
		}
		if topic.kind == "deleted" {
			w.delete(t, addr, topic.name, 15)
		}
	}
}

// more writes the second part, in a later leader epoch.
func (w *writer) more(t *testing.T, addr string) {
	t.Helper()
	for _, topic := range topics() {
		w.write(t, addr, topic)
		w.append(t, addr, topic.name)
		if topic.kind == "deleted" {
			w.delete(t, addr, topic.name, 35)
		}
	}
}

// write has a client write 60 records with few keys, headers, null values and times of the past, half of them by an idempotent producer.
func (w *writer) write(t *testing.T, addr string, topic topic) {
	t.Helper()
	for _, opts := range [][]kgo.Opt{nil, {kgo.DisableIdempotentWrite()}} {
		cl := broker.ClientOf(t, addr, append(opts, kgo.DefaultProduceTopic(topic.name), kgo.ProducerBatchCompression(topic.codec))...)
		for range 3 {
			var records []*kgo.Record
			for i := range 10 {
				w.mark++
				noise := make([]byte, 16_000) // which no codec makes smaller, so that all topics have several segments
				rand.New(rand.NewSource(int64(w.mark))).Read(noise)
				r := &kgo.Record{
					Key: fmt.Appendf(nil, "key-%d", i), Timestamp: time.UnixMilli(time.Now().UnixMilli() - int64(100_000-w.mark*7%1000)),
					Value:   fmt.Appendf(nil, "value-%d-%s", w.mark, noise),
					Headers: []kgo.RecordHeader{{Key: "mark", Value: fmt.Append(nil, w.mark)}, {Key: "empty", Value: []byte{}}},
				}
				if i == 7 {
					r.Value = nil
				}
				records = append(records, r)
			}
			if err := cl.ProduceSync(broker.Context(t), records...).FirstErr(); err != nil {
				t.Fatalf("produce to %s: %v", topic.name, err)
			}
		}
		cl.Close()
	}
}

// delete moves the start of a topic.
func (w *writer) delete(t *testing.T, addr, topic string, before int64) {
	t.Helper()
	os := kadm.Offsets{}
	os.Add(kadm.Offset{Topic: topic, At: before, LeaderEpoch: -1})
	resps, err := kadm.NewClient(broker.ClientOf(t, addr)).DeleteRecords(broker.Context(t), os)
	if err == nil {
		err = resps.Error()
	}
	if err != nil {
		t.Fatalf("delete records of %s: %v", topic, err)
	}
}

// settle waits until the broker has compacted all that it will of the topics that it is to compact: up to the active segment.
func settle(t *testing.T, p *broker.Process) {
	t.Helper()
	for _, topic := range topics() {
		if topic.kind != "compacted" {
			continue
		}
		broker.Eventually(t, topic.name+" is compacted", func() bool {
			logs, err := filepath.Glob(filepath.Join(p.Data, topic.name+"-0", "*.log"))
			if err != nil || len(logs) < 2 {
				return false
			}
			active, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(logs[len(logs)-1]), ".log"), 10, 64)
			if err != nil {
				return false
			}
			body, err := os.ReadFile(filepath.Join(p.Data, "cleaner-offset-checkpoint"))
			return err == nil && strings.Contains(string(body), fmt.Sprintf("%s 0 %d\n", topic.name, active))
		})
	}
}

// append sends our producer's next batch, of two records.
func (w *writer) append(t *testing.T, addr, topic string) {
	t.Helper()
	p := w.producers[topic]
	offset, err := send(t, addr, topic, batch(p, p.next))
	if err != nil {
		t.Fatalf("%s: our producer's sequence %d: %v", topic, p.next, err)
	}
	p.next, p.last = p.next+2, offset+1
}

// goOn has our producers go on: the last batch again is a duplicate, a gap is refused, the next one is taken. Then a client writes.
func (w *writer) goOn(t *testing.T, addr string) {
	t.Helper()
	for _, topic := range topics() {
		p := w.producers[topic.name]
		if offset, err := send(t, addr, topic.name, batch(p, p.next-2)); err != nil || offset != p.last-1 {
			t.Errorf("%s: our producer's last batch, at %d, again: %d %v", topic.name, p.last-1, offset, err)
		}
		if _, err := send(t, addr, topic.name, batch(p, p.next+2)); err != kerr.OutOfOrderSequenceNumber {
			t.Errorf("%s: a gap of our producer: %v", topic.name, err)
		}
		w.append(t, addr, topic.name)
		cl := broker.ClientOf(t, addr, kgo.DefaultProduceTopic(topic.name), kgo.ProducerBatchCompression(topic.codec))
		if err := cl.ProduceSync(broker.Context(t), &kgo.Record{Key: []byte("later"), Value: []byte("later")}).FirstErr(); err != nil {
			t.Errorf("%s: a new producer: %v", topic.name, err)
		}
		cl.Close()
	}
}

// send produces one batch and returns the offset of its first record.
func send(t *testing.T, addr, topic string, records []byte) (int64, error) {
	t.Helper()
	cl := broker.ClientOf(t, addr)
	defer cl.Close()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = records
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{part}
	found, err := kadm.NewClient(cl).ListTopics(broker.Context(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	rt.TopicID = found[topic].ID
	req.Topics = []kmsg.ProduceRequestTopic{rt}
	resp, err := cl.SeedBrokers()[0].Request(broker.Context(t), req)
	if err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
	p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return p.BaseOffset, kerr.ErrorForCode(p.ErrorCode)
}

// batch is our producer's batch of two records with that sequence.
func batch(p *producer, sequence int32) []byte {
	var records []byte
	for i := range int32(2) {
		r := kmsg.Record{OffsetDelta: i, Key: fmt.Appendf(nil, "ours-%d", (sequence+i)%3), Value: fmt.Appendf(nil, "sequence-%d", sequence+i)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // of all behind the length, which is one byte for so short a record
		records = r.AppendTo(records)
	}
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: 1, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: p.id, ProducerEpoch: p.epoch, FirstSequence: sequence, NumRecords: 2, Records: records,
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}
