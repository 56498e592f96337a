package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// world makes random records that fit, and keeps a plain model of what they amount to.
type world struct {
	rng     *rand.Rand
	ids     random.Source
	topics  map[string]*Topic
	brokers map[int32]*Broker
	epoch   int64
	next    int64
	configs map[Resource]map[string]string
	scram   map[ScramUser]ScramCredential
	quotas  map[QuotaEntity]map[string]float64
}

func newWorld(seed uint64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 1)), ids: random.Seeded(seed), topics: map[string]*Topic{}, brokers: map[int32]*Broker{},
		configs: map[Resource]map[string]string{}, scram: map[ScramUser]ScramCredential{}, quotas: map[QuotaEntity]map[string]float64{}}
}

func (w *world) anyTopic() *Topic {
	names := make([]string, 0, len(w.topics))
	for n := range w.topics {
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return w.topics[names[w.rng.IntN(len(names))]]
}

func (w *world) list(n int) []int32 {
	s := []int32{}
	for range n {
		s = append(s, w.rng.Int32N(5))
	}
	return s
}

func (w *world) partition() *Partition {
	p := &Partition{Replicas: w.list(1 + w.rng.IntN(3)), Leader: w.rng.Int32N(5) - 1, LeaderEpoch: w.rng.Int32N(9), PartitionEpoch: w.rng.Int32N(9),
		Recovering: w.rng.IntN(9) == 0, Directories: make([]uuid.UUID, w.rng.IntN(3))}
	p.ISR = slices.Clone(p.Replicas)
	if w.rng.IntN(3) == 0 {
		p.ISR, p.ELR, p.LastKnownELR = w.list(w.rng.IntN(2)), w.list(w.rng.IntN(3)), w.list(w.rng.IntN(3))
	}
	for i := range p.Directories {
		p.Directories[i][0] = byte(w.rng.IntN(4))
	}
	return p
}

func (w *world) step() []Record {
	switch w.rng.IntN(15) {
	case 0, 1:
		t := &Topic{Name: fmt.Sprintf("t%c%d", "._-"[w.rng.IntN(3)], w.rng.IntN(2000)), ID: uuid.New(w.ids)}
		if w.topics[t.Name] != nil {
			return nil
		}
		w.topics[t.Name] = t
		records := []Record{&TopicRecord{t.Name, t.ID}}
		for i := range 1 + w.rng.IntN(4) {
			p := w.partition()
			t.Partitions = append(t.Partitions, p)
			records = append(records, &PartitionRecord{t.ID, int32(i), *p})
		}
		return records
	case 2:
		if t := w.anyTopic(); t != nil && w.rng.IntN(2) == 0 {
			delete(w.topics, t.Name)
			return []Record{&RemoveTopicRecord{t.ID}}
		}
	case 3, 4, 5:
		t := w.anyTopic()
		if t == nil {
			return nil
		}
		number := w.rng.IntN(len(t.Partitions))
		p := t.Partitions[number]
		r := &PartitionChangeRecord{TopicID: t.ID, Number: int32(number)}
		p.PartitionEpoch++
		if w.rng.IntN(2) == 0 {
			p.Leader = w.rng.Int32N(5)
			r.Leader = new(p.Leader)
			p.LeaderEpoch++
		}
		if w.rng.IntN(5) == 0 {
			p.LeaderEpoch += 1 + w.rng.Int32N(5)
			r.LeaderEpoch = new(p.LeaderEpoch)
		}
		for _, f := range []struct{ from, to *[]int32 }{{&p.Replicas, &r.Replicas}, {&p.ISR, &r.ISR}, {&p.ELR, &r.ELR}, {&p.LastKnownELR, &r.LastKnownELR}} {
			if w.rng.IntN(3) == 0 {
				*f.from = w.list(w.rng.IntN(3))
				*f.to = slices.Clone(*f.from)
				if *f.to == nil {
					*f.to = []int32{}
				}
			}
		}
		if w.rng.IntN(4) == 0 {
			p.Directories = []uuid.UUID{{byte(w.rng.IntN(4))}}
			r.Directories = slices.Clone(p.Directories)
		}
		if w.rng.IntN(4) == 0 {
			p.Recovering = w.rng.IntN(2) == 0
			r.Recovering = new(p.Recovering)
		}
		if w.rng.IntN(4) == 0 {
			p.Chosen = w.rng.IntN(2) == 0
			r.Chosen = new(p.Chosen)
		}
		if w.rng.IntN(4) == 0 {
			r.Reassignment = &Reassignment{Adding: w.list(w.rng.IntN(3)), Removing: w.list(w.rng.IntN(2))}
			if p.Reassignment = r.Reassignment; len(p.Reassignment.Adding)+len(p.Reassignment.Removing) == 0 {
				p.Reassignment = nil
			}
		}
		return []Record{r}
	case 6, 7:
		res := Resource{Type: ResourceBroker, Name: fmt.Sprint(w.rng.IntN(3))}
		if t := w.anyTopic(); t != nil && w.rng.IntN(2) == 0 {
			res = Resource{Type: ResourceTopic, Name: t.Name}
		}
		r := &ConfigRecord{Resource: res, Name: fmt.Sprint("c", w.rng.IntN(3))}
		if w.rng.IntN(3) > 0 {
			r.Value = new(fmt.Sprint(w.rng.IntN(100)))
		}
		set := w.configs
		if res.Type == ResourceTopic {
			set = map[Resource]map[string]string{res: w.topics[res.Name].Configs}
		}
		if set[res] == nil {
			set[res] = map[string]string{}
		}
		setOrDelete(set[res], r.Name, r.Value)
		if res.Type == ResourceTopic {
			w.topics[res.Name].Configs = set[res]
		}
		return []Record{r}
	case 8:
		b := Broker{ID: w.rng.Int32N(5), Epoch: w.epoch, Incarnation: uuid.New(w.ids), Rack: fmt.Sprint(w.rng.IntN(2)), Fenced: true,
			Listeners: []Listener{{"PLAINTEXT", "h", 9092, 0}}, Directories: []uuid.UUID{uuid.New(w.ids)}}
		w.epoch++
		w.brokers[b.ID] = &b
		return []Record{&BrokerRecord{b}}
	case 9:
		for id := range int32(5) {
			if b := w.brokers[id]; b != nil && w.rng.IntN(3) == 0 {
				if w.rng.IntN(3) == 0 {
					delete(w.brokers, id)
					return []Record{&RemoveBrokerRecord{id, b.Epoch}}
				}
				b.Fenced, b.ControlledShutdown = w.rng.IntN(2) == 0, w.rng.IntN(2) == 0
				return []Record{&BrokerChangeRecord{ID: id, Epoch: b.Epoch, Fenced: new(b.Fenced), ControlledShutdown: new(b.ControlledShutdown)}}
			}
		}
	case 10:
		w.next += int64(w.rng.IntN(1000))
		return []Record{&ProducerIDsRecord{1, 2, w.next}}
	case 11:
		u := ScramUser{fmt.Sprint("u", w.rng.IntN(4)), int8(1 + w.rng.IntN(2))}
		if _, ok := w.scram[u]; ok && w.rng.IntN(2) == 0 {
			delete(w.scram, u)
			return []Record{&RemoveScramRecord{u}}
		}
		w.scram[u] = ScramCredential{"salt", "stored", fmt.Sprint(w.rng.IntN(9)), int32(w.rng.IntN(9000))}
		return []Record{&ScramRecord{u, w.scram[u]}}
	case 12, 13:
		names := []QuotaName{{}, QuotaDefault, QuotaOf("a"), QuotaOf("b"), QuotaOf("")}
		e := QuotaEntity{User: names[w.rng.IntN(5)], ClientID: names[w.rng.IntN(5)]}
		if w.rng.IntN(5) == 0 {
			e = QuotaEntity{IP: names[1+w.rng.IntN(4)]}
		}
		r := &QuotaRecord{Entity: e, Name: fmt.Sprint("q", w.rng.IntN(2))}
		if _, ok := w.quotas[e][r.Name]; ok && w.rng.IntN(2) == 0 {
			if delete(w.quotas[e], r.Name); len(w.quotas[e]) == 0 {
				delete(w.quotas, e)
			}
			return []Record{r}
		}
		if w.quotas[e] == nil {
			w.quotas[e] = map[string]float64{}
		}
		r.Value = new(w.rng.Float64() * 1000)
		w.quotas[e][r.Name] = *r.Value
		return []Record{r}
	}
	return nil
}

func (w *world) check(t *testing.T, img *Image) {
	t.Helper()
	if img.ScramCount() != len(w.scram) {
		t.Fatalf("%d credentials, want %d", img.ScramCount(), len(w.scram))
	}
	for u, want := range w.scram {
		if got, ok := img.Scram(u); !ok || got != want {
			t.Fatalf("another credential of %v", u)
		}
	}
	if got := maps.Collect(img.QuotaEntities()); img.QuotaCount() != len(w.quotas) || !reflect.DeepEqual(got, w.quotas) {
		t.Fatalf("quotas are %v, want %v", got, w.quotas)
	}
	for e, want := range w.quotas {
		if got := img.Quotas(e); !maps.Equal(got, want) {
			t.Fatalf("quotas of %v are %v, want %v", e, got, want)
		}
	}
	if img.TopicCount() != len(w.topics) || len(img.Brokers()) != len(w.brokers) || img.NextProducerID() != w.next {
		t.Fatalf("%d topics, %d brokers, next id %d; want %d, %d, %d", img.TopicCount(), len(img.Brokers()), img.NextProducerID(), len(w.topics), len(w.brokers), w.next)
	}
	last, partitions := "", 0
	for topic := range img.Topics() {
		if topic.Name <= last {
			t.Fatalf("%q after %q", topic.Name, last)
		}
		last = topic.Name
		want := w.topics[topic.Name]
		if want == nil || want.ID != topic.ID || img.Topic(topic.Name) != topic || img.TopicByID(topic.ID) != topic {
			t.Fatalf("topic %q is %+v", topic.Name, topic)
		}
		if len(want.Configs) != len(topic.Configs) || len(want.Configs) > 0 && !reflect.DeepEqual(want.Configs, topic.Configs) {
			t.Fatalf("%q has configs %v, want %v", topic.Name, topic.Configs, want.Configs)
		}
		if img.Colliding(topic.Name) == "" && topic.Name[1] != '-' {
			t.Fatalf("%q does not collide with itself", topic.Name)
		}
		for i, p := range topic.Partitions {
			if !samePartition(p, want.Partitions[i]) {
				t.Fatalf("%q-%d is %+v, want %+v", topic.Name, i, p, want.Partitions[i])
			}
		}
		partitions += len(topic.Partitions)
	}
	if img.PartitionCount() != partitions {
		t.Fatalf("%d partitions, want %d", img.PartitionCount(), partitions)
	}
	for id, b := range w.brokers {
		if !reflect.DeepEqual(img.Broker(id), b) {
			t.Fatalf("broker %+v, want %+v", img.Broker(id), b)
		}
	}
	for r, want := range w.configs {
		if got := img.Config(r); len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%v has configs %v, want %v", r, got, want)
		}
	}
}

func samePartition(a, b *Partition) bool {
	return slices.Equal(a.Replicas, b.Replicas) && slices.Equal(a.ISR, b.ISR) && slices.Equal(a.ELR, b.ELR) && slices.Equal(a.LastKnownELR, b.LastKnownELR) &&
		slices.Equal(a.Directories, b.Directories) && reflect.DeepEqual(a.Reassignment, b.Reassignment) && a.Leader == b.Leader && a.LeaderEpoch == b.LeaderEpoch && a.PartitionEpoch == b.PartitionEpoch &&
		a.Recovering == b.Recovering && a.Chosen == b.Chosen
}

func TestImageIsTheFoldOfItsRecords(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(seed)
			img := Empty
			type kept struct {
				img  *Image
				hash [32]byte
			}
			var old []kept
			var entries [][]byte
			for index := uint64(1); index <= 1500; index++ {
				var records []Record
				for range 1 + w.rng.IntN(3) {
					records = append(records, w.step()...)
				}
				entry := Encode(records)
				decoded, err := Decode(entry)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(Encode(decoded), entry) {
					t.Fatalf("entry %d encodes differently", index)
				}
				after, delta, err := Apply(img, index, decoded)
				if err != nil {
					t.Fatal(err)
				}
				if diff := Diff(img, after); !sameTopics(diff, delta) {
					t.Fatalf("entry %d: delta %+v, images differ by %+v", index, delta.Topics, diff.Topics)
				} else if !sameQuotas(diff, delta, img, after) {
					t.Fatalf("entry %d: delta %+v, images differ by %+v", index, delta.Quotas, diff.Quotas)
				}
				img = after
				entries = append(entries, entry)
				if index%100 == 0 {
					w.check(t, img)
					old = append(old, kept{img, img.Hash()})
				}
			}
			for _, k := range old { // M5, and no image was changed by what came later
				if k.img.Hash() != k.hash {
					t.Fatalf("image %d changed", k.img.Index())
				}
				from, err := DecodeSnapshot(k.img.EncodeSnapshot())
				if err != nil {
					t.Fatal(err)
				}
				p := NewPublisher()
				if err := p.Restore(k.img.Index(), k.img.EncodeSnapshot()); err != nil {
					t.Fatal(err)
				}
				if from.Hash() != k.hash || p.Image().Hash() != k.hash {
					t.Fatalf("snapshot %d gives another image", k.img.Index())
				}
				for i := k.img.Index(); i < uint64(len(entries)); i++ {
					if err := p.Apply(i+1, entries[i]); err != nil {
						t.Fatal(err)
					}
				}
				if p.Image().Hash() != img.Hash() {
					t.Fatalf("snapshot %d and the entries behind it give another image", k.img.Index())
				}
				w.check(t, p.Image())
			}
		})
	}
}

// sameTopics compares two deltas by the topics in them, order aside: Diff cannot see a topic that was touched and left equal.
func sameTopics(diff, delta *Delta) bool {
	in := func(c TopicChange) bool { return slices.Contains(delta.Topics, c) }
	return len(diff.Topics) == len(delta.Topics) && !slices.ContainsFunc(diff.Topics, func(c TopicChange) bool { return !in(c) })
}

// sameQuotas compares two deltas by whose quotas differ; a touched entity may have been left equal.
func sameQuotas(diff, delta *Delta, before, after *Image) bool {
	differ := slices.DeleteFunc(slices.Clone(delta.Quotas), func(e QuotaEntity) bool { return maps.Equal(before.Quotas(e), after.Quotas(e)) })
	return slices.Equal(diff.Quotas, differ)
}

func TestDeltaNamesPartitions(t *testing.T) {
	id := uuid.UUID{1}
	p := Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}
	img, delta, err := Apply(Empty, 1, []Record{&TopicRecord{"a", id}, &PartitionRecord{id, 0, p}, &PartitionRecord{id, 1, p}})
	if err != nil || len(delta.Topics) != 1 || delta.Topics[0].Old != nil {
		t.Fatalf("%+v %v", delta, err)
	}
	again := uuid.UUID{2}
	_, delta, err = Apply(img, 2, []Record{&PartitionChangeRecord{TopicID: id, Number: 1, Leader: new(int32(-1))}, &RemoveTopicRecord{id},
		&TopicRecord{"a", again}, &PartitionRecord{again, 0, p}})
	if err != nil || len(delta.Topics) != 2 || delta.Topics[0].New != nil || delta.Topics[1].Old != nil {
		t.Fatalf("%+v %v", delta, err)
	}
	img2, delta, err := Apply(img, 2, []Record{&PartitionChangeRecord{TopicID: id, Number: 1, Leader: new(int32(1))}})
	if err != nil {
		t.Fatal(err)
	}
	for n, pair := range delta.Topics[0].Partitions() {
		if n != 1 || pair[1].LeaderEpoch != 1 || pair[1].PartitionEpoch != 1 || pair[0].LeaderEpoch != 0 {
			t.Fatalf("partition %d: %+v %+v", n, pair[0], pair[1])
		}
	}
	if img.Partition(id, 0) != img2.Partition(id, 0) {
		t.Fatal("an untouched partition was copied")
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	id := uuid.UUID{1}
	p := Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}
	b := Broker{ID: 1, Epoch: 5, Incarnation: uuid.UUID{9}}
	img, _, err := Apply(Empty, 7, []Record{&ClusterRecord{"c"}, &TopicRecord{"a", id}, &PartitionRecord{id, 0, p}, &BrokerRecord{b}, &ProducerIDsRecord{1, 5, 1000}})
	if err != nil {
		t.Fatal(err)
	}
	b.Incarnation = uuid.UUID{8}
	for _, records := range [][]Record{
		{&ClusterRecord{"d"}},
		{&TopicRecord{"a", uuid.UUID{2}}},
		{&TopicRecord{"b", id}},
		{&RemoveTopicRecord{id}, &TopicRecord{"a", id}},
		{&RemoveTopicRecord{uuid.UUID{2}}},
		{&PartitionRecord{id, 2, p}},
		{&PartitionRecord{id, 0, p}},
		{&PartitionChangeRecord{TopicID: id, Number: 1}},
		{&PartitionChangeRecord{TopicID: id, Number: -1}},
		{&PartitionChangeRecord{TopicID: id, Number: 0, LeaderEpoch: new(int32(0))}},
		{&PartitionChangeRecord{TopicID: uuid.UUID{2}}},
		{&ConfigRecord{Resource{ResourceTopic, "b"}, "x", new("1")}},
		{&BrokerRecord{b}},
		{&BrokerChangeRecord{ID: 1, Epoch: 4}},
		{&BrokerChangeRecord{ID: 2, Epoch: 5}},
		{&RemoveBrokerRecord{1, 4}},
		{&ProducerIDsRecord{1, 5, 999}},
		{&RemoveScramRecord{ScramUser{"nobody", 1}}},
		{&QuotaRecord{Entity: QuotaEntity{User: QuotaDefault}, Name: QuotaProducerByteRate}},
	} {
		if _, _, err := Apply(img, 8, records); err == nil {
			t.Errorf("%#v was applied", records[len(records)-1])
		}
	}
	if _, _, err := Apply(img, 6, nil); err == nil {
		t.Error("an index went back")
	}
}

func FuzzDecode(f *testing.F) {
	w := newWorld(3)
	for range 40 {
		f.Add(Encode(w.step()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := Decode(Encode(records))
		if err != nil || !reflect.DeepEqual(again, records) {
			t.Fatalf("%v: %#v became %#v", err, records, again)
		}
		_, _, _ = Apply(Empty, 1, records) // errors are fine, panics are not
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	w, img := newWorld(4), Empty
	for i := range uint64(200) {
		var err error
		if img, _, err = Apply(img, i, w.step()); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(img.EncodeSnapshot())
	f.Add(Empty.EncodeSnapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := DecodeSnapshot(b)
		if err != nil {
			return
		}
		again, err := DecodeSnapshot(img.EncodeSnapshot())
		if err != nil || again.Hash() != img.Hash() {
			t.Fatalf("an image does not survive its own snapshot: %v", err)
		}
	})
}

// big makes an image of topics with partitions each, replicated three times over three brokers.
func big(b testing.TB, topics, partitions int) *Image {
	ids := random.Seeded(1)
	var dirs [3]uuid.UUID
	for i := range dirs {
		dirs[i] = uuid.New(ids)
	}
	img := Empty
	for i := range topics {
		id := uuid.New(ids)
		records := []Record{&TopicRecord{fmt.Sprintf("topic-%06d", i), id}}
		for j := range partitions {
			a := int32(j % 3)
			r := []int32{a, (a + 1) % 3, (a + 2) % 3}
			records = append(records, &PartitionRecord{id, int32(j), Partition{Replicas: r, ISR: slices.Clone(r), Leader: a,
				Directories: []uuid.UUID{dirs[r[0]], dirs[r[1]], dirs[r[2]]}}})
		}
		var err error
		if img, _, err = Apply(img, uint64(i+1), records); err != nil {
			b.Fatal(err)
		}
	}
	return img
}

func BenchmarkImage(b *testing.B) {
	for _, shape := range []struct{ topics, partitions int }{{1000, 100}, {100_000, 1}} {
		b.Run(fmt.Sprintf("%dx%d", shape.topics, shape.partitions), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			img := big(b, shape.topics, shape.partitions)
			runtime.GC()
			runtime.ReadMemStats(&after)
			perPartition := float64(after.HeapAlloc-before.HeapAlloc) / float64(img.PartitionCount())
			snapshot := img.EncodeSnapshot()
			first := img.Topic("topic-000000").ID
			b.Run("change-partition", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := Apply(img, img.index, []Record{&PartitionChangeRecord{TopicID: first, Leader: new(int32(1))}}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(perPartition, "heap-B/partition")
			})
			b.Run("create-topic", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					id := uuid.UUID{1}
					if _, _, err := Apply(img, img.index, []Record{&TopicRecord{"new", id}, &PartitionRecord{id, 0, Partition{Replicas: []int32{1}, ISR: []int32{1}}}}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("change-all-in-one", func(b *testing.B) {
				var records []Record
				for t := range img.Topics() {
					for i := range t.Partitions {
						records = append(records, &PartitionChangeRecord{TopicID: t.ID, Number: int32(i), Leader: new(int32(2))})
					}
				}
				for b.Loop() {
					if _, _, err := Apply(img, img.index, records); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(records)), "ns/change")
			})
			b.Run("snapshot-encode", func(b *testing.B) {
				for b.Loop() {
					img.EncodeSnapshot()
				}
				b.ReportMetric(float64(len(snapshot)), "bytes")
			})
			b.Run("snapshot-decode", func(b *testing.B) {
				for b.Loop() {
					if _, err := DecodeSnapshot(snapshot); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("lookup", func(b *testing.B) {
				for b.Loop() {
					if img.Topic("topic-000500") == nil {
						b.Fatal("no topic")
					}
				}
			})
		})
	}
}

// TestSubscribersFollowFirst: an image is the current one only once all subscribers have followed it.
func TestSubscribersFollowFirst(t *testing.T) {
	var p *Publisher
	var seen []uint64
	p = NewPublisher(func(_, after *Image, _ *Delta) { seen = append(seen, p.Image().Index(), after.Index()) })
	for i := range uint64(2) {
		if err := p.Apply(i+1, Encode([]Record{&TopicRecord{Name: string(rune('a' + i)), ID: uuid.UUID{byte(i + 1)}}})); err != nil {
			t.Fatal(err)
		}
	}
	if want := []uint64{0, 1, 1, 2}; !slices.Equal(seen, want) || p.Image().Index() != 2 {
		t.Errorf("the current and the told index: %v, want %v", seen, want)
	}
}

// TestOlderSnapshot reads what was written before there were credentials, and before there were quotas.
func TestOlderSnapshot(t *testing.T) {
	w, img := newWorld(5), Empty
	for i := range uint64(300) {
		records := w.step1()
		var err error
		if img, _, err = Apply(img, i, records); err != nil {
			t.Fatal(err)
		}
	}
	b := img.EncodeSnapshot()
	for version := byte(1); version <= 2; version++ {
		old := append([]byte{}, b[:len(b)-3+int(version)]...) // without the counts of quotas and of credentials
		old[4] = version
		again, err := DecodeSnapshot(old)
		if err != nil || again.Hash() != img.Hash() {
			t.Fatalf("a snapshot of version %d: %v", version, err)
		}
	}
	if _, err := DecodeSnapshot(b[:len(b)-1]); err == nil {
		t.Fatal("a snapshot without its end was taken")
	}
}

// step1 steps without credentials and quotas.
func (w *world) step1() []Record {
	for {
		w.scram = map[ScramUser]ScramCredential{}
		w.quotas = map[QuotaEntity]map[string]float64{}
		records := w.step()
		if len(w.scram) == 0 && len(w.quotas) == 0 {
			return records
		}
	}
}

func TestCredentialsAreHidden(t *testing.T) {
	r := &ScramRecord{ScramUser{"me", 1}, ScramCredential{Salt: "secret", StoredKey: "secret", ServerKey: "secret", Iterations: 4096}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, r); strings.Contains(s, "secret") {
			t.Errorf("%s shows %s", verb, s)
		}
	}
}

func TestQuotasAreNumbers(t *testing.T) {
	entry := Encode([]Record{&QuotaRecord{QuotaEntity{User: QuotaOf("me")}, QuotaProducerByteRate, new(1.5)}})
	at := len(entry) - 8
	if records, err := Decode(entry); err != nil || *records[0].(*QuotaRecord).Value != 1.5 {
		t.Errorf("1.5: %v", err)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		binary.BigEndian.PutUint64(entry[at:], math.Float64bits(v))
		if _, err := Decode(entry); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// BenchmarkQuota changes one quota among a hundred thousand entities.
func BenchmarkQuota(b *testing.B) {
	var records []Record
	for i := range 100_000 {
		records = append(records, &QuotaRecord{QuotaEntity{User: QuotaOf(fmt.Sprint("user-", i))}, QuotaProducerByteRate, new(1e6)})
	}
	img, _, err := Apply(Empty, 1, records)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Apply(img, 2, []Record{&QuotaRecord{QuotaEntity{User: QuotaOf("user-7")}, QuotaProducerByteRate, new(2e6)}}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMinISR(t *testing.T) {
	for _, c := range []struct{ set, factor, want int }{{0, 1, 1}, {0, 2, 1}, {0, 3, 2}, {0, 5, 2}, {1, 3, 1}, {2, 1, 1}, {2, 3, 2}, {3, 5, 3}, {9, 3, 3}} {
		p := Partition{Replicas: make([]int32, c.factor+1), Reassignment: &Reassignment{Adding: []int32{7}}}
		if got := p.MinISR(c.set); got != c.want {
			t.Errorf("min.insync.replicas=%d of %d replicas: %d, want %d", c.set, c.factor, got, c.want)
		}
	}
}
