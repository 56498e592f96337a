// Package fetchsession is the cache of incremental fetch sessions (KIP-227): which partitions a consumer reads, and what it was
// last told of each, so that requests and responses name only what changed. It owns sessions and their epochs; it reads no
// records and encodes nothing.
package fetchsession

import (
	"container/list"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// Session ids and epochs with a meaning of their own.
const (
	NoSession  = 0  // session id: none
	FirstEpoch = 0  // a full fetch that may open a session
	FinalEpoch = -1 // a full fetch that opens none, and closes the one it names
)

// evictAfter is how long a session must be idle before any newcomer may take its slot, and how long a new one is safe from
// larger newcomers (Kafka's min.incremental.fetch.session.eviction.ms).
const evictAfter = 2 * time.Minute

// maxParts bounds the partitions of all sessions together: a quarter of a KiB each, whatever their names say. A fetch that would be beyond
// is served without a session.
const maxParts = 400_000

// Key names a partition as the requests of a session do: by topic id from version 13 on, by name before. The other is empty.
type Key struct {
	Topic     string
	ID        uuid.UUID
	Partition int32
}

// Position is what a fetch request says of one partition.
type Position struct {
	Offset           int64
	MaxBytes         int32
	LeaderEpoch      int32
	LastFetchedEpoch int32
}

// Cache holds the sessions of one broker.
type Cache struct {
	clock  clock.Clock
	random random.Source
	slots  int

	// mu guards the sessions and everything in them. Lookups are short: reading happens outside.
	mu struct {
		sync.Mutex
		sessions map[int32]*session
		parts    int        // of all sessions
		lru      *list.List // of *session, least recently used first
	}
}

type session struct {
	id       int32
	epoch    int32 // of the next request
	byID     bool
	created  time.Time
	lastUsed time.Time
	place    *list.Element

	// parts holds *part in the order in which they are served: one that had records goes to the end, so that all get
	// their turn under the size limits.
	parts *list.List
	index map[Key]*list.Element
}

type part struct {
	key           Key
	name          string // of the topic, where the key has only its id; "" until it was known
	position      Position
	highWatermark int64 // as last told; -1 after an error, so that the recovery is told
	logStart      int64
}

// New returns a cache with room for slots sessions; with none, every fetch is sessionless.
func New(c clock.Clock, r random.Source, slots int) *Cache {
	cache := &Cache{clock: c, random: r, slots: slots}
	cache.mu.sessions = map[int32]*session{}
	cache.mu.lru = list.New()
	return cache
}

// Len returns the number of sessions.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.sessions)
}

// Partitions returns how many partitions a session has; none if there is no such session.
func (c *Cache) Partitions(id int32) int {
	if id == NoSession {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.mu.sessions[id]; s != nil {
		return s.parts.Len()
	}
	return 0
}

func (c *Cache) removeLocked(s *session) {
	c.mu.parts -= s.parts.Len()
	delete(c.mu.sessions, s.id)
	c.mu.lru.Remove(s.place)
}

// roomLocked makes room for a session of size partitions if that is fair, and returns whether there is some: a session idle
// for long goes first; otherwise a smaller one that had its time makes place for a larger one.
func (c *Cache) roomLocked(size int, now time.Time) bool {
	if c.slots == 0 || size > maxParts {
		return false
	}
	for c.mu.parts+size > maxParts {
		oldest := c.mu.lru.Front().Value.(*session)
		if now.Sub(oldest.lastUsed) <= evictAfter {
			return false
		}
		c.removeLocked(oldest)
	}
	if len(c.mu.sessions) < c.slots {
		return true
	}
	oldest := c.mu.lru.Front().Value.(*session)
	if now.Sub(oldest.lastUsed) > evictAfter {
		c.removeLocked(oldest)
		return true
	}
	var smallest *session
	for e := c.mu.lru.Front(); e != nil; e = e.Next() {
		s := e.Value.(*session)
		if now.Sub(s.created) > evictAfter && (smallest == nil || s.parts.Len() < smallest.parts.Len()) {
			smallest = s
		}
	}
	if smallest == nil || size <= smallest.parts.Len() {
		return false
	}
	c.removeLocked(smallest)
	return true
}

func (c *Cache) newIDLocked() int32 {
	for {
		id := int32(c.random.Uint64() & 0x7fffffff)
		if _, taken := c.mu.sessions[id]; id != NoSession && !taken {
			return id
		}
	}
}

func nextEpoch(epoch int32) int32 {
	switch {
	case epoch < 0:
		return FinalEpoch
	case epoch == 0x7fffffff:
		return 1
	}
	return epoch + 1
}

// Part is one partition to read.
type Part struct {
	Key      Key
	Position Position
	// Name is the name that the topic of an id had when the session last read it, "" if it never did.
	Name string
}

// Request is the part of a Fetch request that concerns its session. Keys and their strings are copied where they are kept.
type Request struct {
	SessionID int32
	Epoch     int32
	ByID      bool // version 13 and later
	Parts     []Part
	Forget    []Key
}

// Fetch is one request in its session, from Begin to End.
type Fetch struct {
	cache   *Cache
	session *session // nil: sessionless or full
	open    bool     // a full fetch that asks for a session
	byID    bool
	epoch   int32 // the session's epoch while this fetch is served
}

// Begin finds the session of a request, updates it, and appends the partitions to read to dst, in order. The code is an error
// for the whole response.
func (c *Cache) Begin(r Request, dst []Part) (f Fetch, parts []Part, code protocol.ErrorCode) {
	f = Fetch{cache: c, byID: r.ByID}
	if r.Epoch == FirstEpoch || r.Epoch == FinalEpoch {
		if r.SessionID != NoSession {
			c.mu.Lock()
			if s := c.mu.sessions[r.SessionID]; s != nil {
				c.removeLocked(s)
			}
			c.mu.Unlock()
		}
		f.open = r.Epoch == FirstEpoch && c.slots > 0
		return f, append(dst, r.Parts...), protocol.None
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.sessions[r.SessionID]
	switch {
	case s == nil:
		return f, dst, protocol.FetchSessionIDNotFound
	case s.epoch != r.Epoch:
		return f, dst, protocol.InvalidFetchSessionEpoch
	case s.byID != r.ByID:
		return f, dst, protocol.FetchSessionTopicIDError
	case c.mu.parts+len(r.Parts) > maxParts && c.mu.parts+s.unknown(r.Parts) > maxParts: // the client begins anew, and is served without a session
		c.removeLocked(s)
		return f, dst, protocol.FetchSessionIDNotFound
	}
	before := s.parts.Len()
	defer func() {
		if c.mu.sessions[s.id] == s {
			c.mu.parts += s.parts.Len() - before
		}
	}()
	for _, p := range r.Parts {
		if e := s.index[p.Key]; e != nil {
			e.Value.(*part).position = p.Position
		} else {
			s.add(p, -1, -1)
		}
	}
	for _, k := range r.Forget {
		if e := s.index[k]; e != nil {
			s.parts.Remove(e)
			delete(s.index, k)
		}
	}
	if s.parts.Len() == 0 {
		c.mu.parts -= before
		c.removeLocked(s)
		return f, append(dst, r.Parts...), protocol.None
	}
	s.lastUsed = c.clock.Now()
	c.mu.lru.MoveToBack(s.place)
	s.epoch = nextEpoch(s.epoch)
	f.session, f.epoch = s, s.epoch
	for e := s.parts.Front(); e != nil; e = e.Next() {
		p := e.Value.(*part)
		dst = append(dst, Part{Key: p.key, Position: p.position, Name: p.name})
	}
	return f, dst, protocol.None
}

// unknown is how many of the parts the session does not have yet.
func (s *session) unknown(parts []Part) (n int) {
	for _, p := range parts {
		if s.index[p.Key] == nil {
			n++
		}
	}
	return n
}

func (s *session) add(p Part, highWatermark, logStart int64) {
	p.Key.Topic = string(append([]byte(nil), p.Key.Topic...)) // the request's memory is not ours
	s.index[p.Key] = s.parts.PushBack(&part{p.Key, p.Name, p.Position, highWatermark, logStart})
}

// Result is what a response has to say of one partition.
type Result struct {
	Part          Part
	HighWatermark int64
	LogStart      int64
	HasRecords    bool
	MustTell      bool // an error, a diverging epoch or a preferred replica
	Failed        bool // MustTell because of an error
}

// End closes the round: it returns the session id for the response and, in an incremental fetch, clears tell[i] for each result
// that the client knows already. The code is an error for the whole response.
func (f *Fetch) End(results []Result, tell []bool) (sessionID int32, code protocol.ErrorCode) {
	for i := range tell {
		tell[i] = true
	}
	c := f.cache
	if f.open {
		now := c.clock.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.roomLocked(len(results), now) {
			return NoSession, protocol.None
		}
		s := &session{id: c.newIDLocked(), epoch: 1, byID: f.byID, created: now, lastUsed: now,
			parts: list.New(), index: make(map[Key]*list.Element, len(results))}
		for _, r := range results {
			s.add(r.Part, r.HighWatermark, r.LogStart)
		}
		s.place = c.mu.lru.PushBack(s)
		c.mu.sessions[s.id] = s
		c.mu.parts += s.parts.Len()
		return s.id, protocol.None
	}
	if f.session == nil {
		return NoSession, protocol.None
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	s := f.session
	if s.epoch != f.epoch {
		return s.id, protocol.InvalidFetchSessionEpoch // another request of the same session overtook this one
	}
	for i, r := range results {
		e := s.index[r.Part.Key]
		if e == nil {
			continue
		}
		p := e.Value.(*part)
		tell[i] = p.differs(r)
		p.highWatermark, p.logStart, p.name = r.HighWatermark, r.LogStart, r.Part.Name
		if r.Failed {
			p.highWatermark = -1
		}
		if r.HasRecords {
			s.parts.MoveToBack(e)
		}
	}
	return s.id, protocol.None
}

// Look says what End would tell, and changes nothing.
func (f *Fetch) Look(results []Result, tell []bool) {
	for i := range tell {
		tell[i] = true
	}
	s := f.session
	if s == nil {
		return
	}
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	for i, r := range results {
		if e := s.index[r.Part.Key]; e != nil {
			tell[i] = e.Value.(*part).differs(r)
		}
	}
}

// Skip closes the round without telling anything: the response is empty, and what it would have told is told by a later one. A full fetch opens
// no session then, as in Kafka: its client has to begin anew.
func (f *Fetch) Skip() (sessionID int32, code protocol.ErrorCode) {
	s := f.session
	if s == nil {
		return NoSession, protocol.None
	}
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if s.epoch != f.epoch {
		return s.id, protocol.InvalidFetchSessionEpoch
	}
	return s.id, protocol.None
}

// differs says whether the client has to be told.
func (p *part) differs(r Result) bool {
	return r.HasRecords || r.MustTell || p.highWatermark != r.HighWatermark || p.logStart != r.LogStart
}
