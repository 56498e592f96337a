package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRepair flips bits in the segments of one broker after another while it is down, under load, and then has every broker read from the start, as leader and as
// follower. None gives a batch that is not whole; within the bound all give everything; and at the end all files are the same again.
func TestRepair(t *testing.T) {
	if *kafka {
		t.Log("NOT TESTED HERE: Apache Kafka repairs nothing")
		return
	}
	t.Logf("seed %d", *seed)
	tr := newTrial(t, *seed, true)
	flipped := 0
	for round := range brokers {
		<-time.After(3 * time.Second) // of load
		n := tr.nodes[(round+int(*seed%brokers+brokers))%brokers]
		if round == 0 {
			n.kill()
		} else {
			n.stop()
		}
		var where []string
		for _, topic := range []string{tr.load.idempotent, tr.load.plain} {
			folders, err := filepath.Glob(filepath.Join(n.data, topic+"-*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, folder := range folders {
				at, err := flipBits(tr.random, folder)
				if err != nil {
					t.Fatal(err)
				}
				where = append(where, at...)
			}
		}
		flipped += len(where)
		t.Logf("broker %d: flipped %d bits, the first at %s", n.id, len(where), list(where[:min(3, len(where))]))
		tr.struck["flip"]++
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
		if err := n.answers(bound); err != nil {
			t.Fatalf("broker %d does not answer: %v", n.id, err)
		}
		if _, ok := tr.inSync(time.Now(), bound); !ok {
			break
		}
		began := time.Now()
		for _, n := range tr.nodes {
			if err := n.servesAll(tr.load.idempotent, tr.load.plain); err != nil {
				t.Errorf("broker %d, %v after its start: %v", n.id, time.Since(began).Round(time.Millisecond), err)
			}
		}
		t.Logf("broker %d: all is served again %v after all was in sync", n.id, time.Since(began).Round(time.Millisecond))
	}
	repaired := 0
	for _, n := range tr.nodes {
		b, err := os.ReadFile(n.log.Name())
		if err != nil {
			t.Fatal(err)
		}
		repaired += strings.Count(string(b), "a damaged part of a log was repaired from another replica")
	}
	t.Logf("%d bits flipped, %d places repaired", flipped, repaired)
	if flipped == 0 || repaired == 0 {
		t.Error("nothing was damaged and repaired")
	}
	tr.conclude(t)
}

// flipBits flips a bit in about every third batch of the first half of each segment file of a partition, and says where.
func flipBits(random *rand.Rand, folder string) (where []string, err error) {
	segments, err := filepath.Glob(filepath.Join(folder, "*.log"))
	if err != nil {
		return nil, err
	}
	for _, name := range segments {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for at, half := 0, len(b)/2; at < half && len(where) < 5; {
			size := 12 + int(binary.BigEndian.Uint32(b[at+8:]))
			if size < 61 || size > half-at {
				break
			}
			if random.Intn(3) == 0 {
				pos := at + 17 + random.Intn(size-17) // the CRC, and what it covers
				if _, err := f.WriteAt([]byte{b[pos] ^ 1<<random.Intn(8)}, int64(pos)); err != nil {
					return nil, err
				}
				where = append(where, fmt.Sprintf("%s/%s:%d", filepath.Base(folder), filepath.Base(name), pos))
			}
			at += size
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	return where, nil
}

// servesAll reads topics from one broker, from the start to the high watermark of that, whatever it is to the partitions. What it refuses is asked for again until
// the bound is over.
func (n *node) servesAll(topics ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.addr), kgo.DisableFetchSessions())
	if err != nil {
		return err
	}
	defer cl.Close()
	metadata := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(topic)})
	}
	answer, err := ask(ctx, cl, metadata)
	if err != nil {
		return err
	}
	for _, topic := range answer.(*kmsg.MetadataResponse).Topics {
		for _, p := range topic.Partitions {
			if err := n.serves(ctx, cl, topic.TopicID, p.Partition); err != nil {
				return fmt.Errorf("%s-%d: %w", *topic.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

func (n *node) serves(ctx context.Context, cl *kgo.Client, topic [16]byte, partition int32) error {
	for next, end := int64(0), int64(1); next < end; {
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes, req.ReplicaID, req.SessionEpoch = 1<<20, -1, -1
		t, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, next, 1<<20
		t.TopicID, t.Partitions = topic, append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		answer, err := ask(ctx, cl, req)
		if err != nil {
			return fmt.Errorf("fetch at %d: %w", next, err)
		}
		resp := answer.(*kmsg.FetchResponse)
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return fmt.Errorf("fetch at %d: an answer of %d topics, error %v", next, len(resp.Topics), kerr.ErrorForCode(resp.ErrorCode))
		}
		got := resp.Topics[0].Partitions[0]
		if got.ErrorCode != 0 {
			select {
			case <-ctx.Done():
				return fmt.Errorf("fetch at %d: %w", next, kerr.ErrorForCode(got.ErrorCode))
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		end = got.HighWatermark
		for b := got.RecordBatches; len(b) > 0; {
			var batch kmsg.RecordBatch
			if err := batch.ReadFrom(b); err != nil {
				return fmt.Errorf("fetch at %d: %w", next, err)
			}
			size := 12 + int(batch.Length)
			if sum := castagnoli(b[21:size]); sum != uint32(batch.CRC) {
				return fmt.Errorf("the batch at %d is served with CRC %x, and has %x", batch.FirstOffset, uint32(batch.CRC), sum)
			}
			next, b = batch.FirstOffset+int64(batch.LastOffsetDelta)+1, b[size:]
		}
	}
	return nil
}

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
