package chaos

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// What may be found. A run that finds anything has failed.
const (
	lost      = "lost"       // a record that was acknowledged is not there
	doubled   = "doubled"    // a record of an idempotent producer is there twice
	reordered = "reordered"  // a record comes before one that was sent before it
	misplaced = "misplaced"  // a record is not where its acknowledgement said
	changed   = "changed"    // a reader finds another record where one was seen before
	skipped   = "skipped"    // a reader is led past an offset
	refused   = "refused"    // a client got an error that it does not retry by itself
	wentBack  = "went back"  // a committed offset is smaller than one that was acknowledged
	invented  = "invented"   // a committed offset that nobody sent
	forgotten = "forgotten"  // a broker does not know a topic that is there
	stuck     = "stuck"      // a client does not go on
	unsynced  = "not synced" // a partition that not all its replicas are in sync of
	different = "different"  // replicas with other bytes below the high watermark
	ended     = "ended"      // a broker that ended by itself, or does not end when it is asked to
)

// findings is what was found. Of each kind the first few are kept in words, all are counted.
type findings struct {
	mu    sync.Mutex
	count map[string]int
	words []string // each with its time
}

const wordsOfAKind = 8

func (f *findings) add(kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil {
		f.count = map[string]int{}
	}
	if f.count[kind]++; f.count[kind] <= wordsOfAKind {
		f.words = append(f.words, fmt.Sprintf("%s: %s: %s", time.Now().UTC().Format("15:04:05.000"), kind, fmt.Sprintf(format, args...)))
	}
}

// kinds are those that were found, sorted.
func (f *findings) kinds() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind := range f.count {
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}

// of is how many of a kind were found.
func (f *findings) of(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[kind]
}

// fail makes a test fail of them.
func (f *findings) fail(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.words {
		t.Error(line)
	}
	for kind, n := range f.count {
		if n > wordsOfAKind {
			t.Errorf("%s: %d in all", kind, n)
		}
	}
}

// entry is a record: the number that its producer gave it in its partition. The zero value is no record.
type entry struct {
	producer uint32 // from 1 on
	number   uint32
}

func (e entry) String() string { return fmt.Sprintf("record %d of producer %d", e.number, e.producer) }

// checker knows what was acknowledged, and what lies where as anybody saw it first.
type checker struct {
	findings
	mu   sync.Mutex
	logs map[string][]*partitionLog // by topic
}

// partitionLog is what clients say of a partition. checker.mu guards it.
type partitionLog struct {
	name    string
	repeats bool    // its producers are not idempotent: a record may come again
	at      []entry // by offset: what is there
	acked   []ack
}

type ack struct {
	entry
	offset int64
}

func newChecker() *checker { return &checker{logs: map[string][]*partitionLog{}} }

// topic tells of a topic before anything is said of it.
func (c *checker) topic(name string, partitions int, repeats bool) {
	for p := range partitions {
		c.logs[name] = append(c.logs[name], &partitionLog{name: fmt.Sprintf("%s-%d", name, p), repeats: repeats})
	}
}

// acknowledged is told of each record that a broker acknowledged.
func (c *checker) acknowledged(topic string, part int32, e entry, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[topic][part]
	l.acked = append(l.acked, ack{e, offset})
	if there := l.put(e, offset); there != e {
		c.add(misplaced, "%s: %v is acknowledged at offset %d, where %v is", l.name, e, offset, there)
	}
}

// saw is told of each record that anybody reads.
func (c *checker) saw(reader, topic string, part int32, e entry, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[topic][part]
	if there := l.put(e, offset); there != e {
		c.add(changed, "%s: %s reads %v at offset %d, where %v was seen or acknowledged before", l.name, reader, e, offset, there)
	}
}

// put notes what is at an offset, unless somebody knows already, and returns what is there.
func (l *partitionLog) put(e entry, offset int64) entry {
	for int64(len(l.at)) <= offset {
		l.at = append(l.at, entry{})
	}
	if l.at[offset] == (entry{}) {
		l.at[offset] = e
	}
	return l.at[offset]
}

// order follows one reader through one partition, from its beginning on.
type order struct {
	c      *checker
	reader string
	topic  string
	part   int32
	log    *partitionLog
	next   int64
	read   []entry
	last   map[uint32]int64 // by producer: its largest number that was read
	holes  map[entry]bool   // smaller ones that were not
}

func (c *checker) follow(reader, topic string, part int32) *order {
	return &order{c: c, reader: reader, topic: topic, part: part, log: c.logs[topic][part], last: map[uint32]int64{}, holes: map[entry]bool{}}
}

// take is told of each record that the reader gets.
func (o *order) take(e entry, offset int64) {
	if offset < o.next {
		o.c.add(skipped, "%s: %s goes back from offset %d to %d", o.log.name, o.reader, o.next-1, offset)
		return
	}
	if offset > o.next {
		o.c.add(skipped, "%s: %s goes from offset %d to %d", o.log.name, o.reader, o.next-1, offset)
	}
	for int64(len(o.read)) < offset {
		o.read = append(o.read, entry{})
	}
	o.read, o.next = append(o.read, e), offset+1
	o.c.saw(o.reader, o.topic, o.part, e, offset)

	last, known := o.last[e.producer]
	if !known {
		last = -1
	}
	switch number := int64(e.number); {
	case number > last:
		for n := last + 1; n < number; n++ {
			o.holes[entry{e.producer, uint32(n)}] = true
		}
		if number > last+1 {
			o.c.add(reordered, "%s: at offset %d %s reads %v after its record %d", o.log.name, offset, o.reader, e, last)
		}
		o.last[e.producer] = number
	case o.holes[e]:
		delete(o.holes, e)
		o.c.add(reordered, "%s: at offset %d %s reads %v after its record %d", o.log.name, offset, o.reader, e, last)
	case !o.log.repeats:
		o.c.add(doubled, "%s: at offset %d %s reads %v again", o.log.name, offset, o.reader, e)
	}
}

// finish expects that the reader got all that was acknowledged. It has read to the end.
func (o *order) finish() {
	o.c.mu.Lock()
	defer o.c.mu.Unlock()
	for _, a := range o.log.acked {
		switch {
		case a.offset >= o.next:
			o.c.add(lost, "%s: %v, acknowledged at offset %d, is not there: %s read to offset %d", o.log.name, a.entry, a.offset, o.reader, o.next-1)
		case o.read[a.offset] != a.entry:
			o.c.add(lost, "%s: %v, acknowledged at offset %d, is not there: %s read %v", o.log.name, a.entry, a.offset, o.reader, o.read[a.offset])
		}
	}
}

// committed compares an offset that a broker has of a group with the least and the most that it can be.
func (c *checker) committed(group string, part int32, got, least, most int64) {
	switch {
	case got < least:
		c.add(wentBack, "group %s, partition %d: the committed offset is %d, and %d was acknowledged", group, part, got, least)
	case got > most:
		c.add(invented, "group %s, partition %d: the committed offset is %d, and at most %d was sent", group, part, got, most)
	}
}

// pulse is something that has to go on: it remembers when it last did.
type pulse struct {
	name    string
	mu      sync.Mutex
	last    time.Time
	longest time.Duration // between two beats, since it was last asked for
}

func newPulse(name string) *pulse { return &pulse{name: name, last: time.Now()} }

func (p *pulse) beat() { p.beatAt(time.Now()) }

func (p *pulse) beatAt(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest, p.last = max(p.longest, now.Sub(p.last)), now
}

func (p *pulse) since(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.After(t)
}

// pause is the longest one since it was last asked for, counting the present one.
func (p *pulse) pause(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := max(p.longest, now.Sub(p.last))
	p.longest = 0
	return longest
}

// alive waits until each has gone on since a moment. Those that have not within the bound are stuck.
func (c *checker) alive(pulses []*pulse, since time.Time, bound time.Duration) bool {
	for {
		var waiting []string
		for _, p := range pulses {
			if !p.since(since) {
				waiting = append(waiting, p.name)
			}
		}
		if len(waiting) == 0 {
			return true
		}
		if time.Since(since) > bound {
			for _, name := range waiting {
				c.add(stuck, "%s: nothing for %v though nothing has been in the way", name, time.Since(since).Round(time.Millisecond))
			}
			return false
		}
		<-time.After(10 * time.Millisecond)
	}
}

// replica is what a broker has of a partition, batch by batch.
type replica struct {
	broker int
	sums   []sum
}

// sum is a batch: where it begins, and a hash of its bytes.
type sum struct {
	base int64
	hash [32]byte
}

// same expects the replicas of a partition to be the same below the high watermark.
func (c *checker) same(name string, end int64, replicas []replica) {
	first := replicas[0]
	for _, r := range replicas[1:] {
		for i := 0; ; i++ {
			a, b := batchAt(first.sums, i, end), batchAt(r.sums, i, end)
			if a != b {
				c.add(different, "%s, high watermark %d: brokers %d and %d differ in batch %d, at offset %d of the one and %d of the other", name, end, first.broker, r.broker, i, a.base, b.base)
			}
			if a != b || a.base == end {
				break
			}
		}
	}
	if end > 0 && batchAt(first.sums, 0, end).base == end {
		c.add(different, "%s, high watermark %d: broker %d has nothing", name, end, first.broker)
	}
}

// batchAt is batch i, or one at the end where there is none.
func batchAt(all []sum, i int, end int64) sum {
	if i >= len(all) || all[i].base >= end {
		return sum{base: end}
	}
	return all[i]
}
