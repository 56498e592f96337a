package broker

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/uuid"
)

// replicas are the partition replicas this broker hosts. They follow the metadata: a replica is opened when the metadata gives
// this broker a partition, configured when its topic's settings change, and removed with its topic, or when its partition goes to others.
type replicas struct {
	live     *liveConfig
	cfg      *config.Config // in force for the topics as they are configured; mu guards it
	brokerID int32
	dirs     []*logdir.Dir
	absent   []absentDir // that the node was started without
	log      *slog.Logger
	moves    *moves
	places   places
	isr      isrChanges
	followed followed
	host     partition.Host
	brokers  knownBrokers

	// topics maps a topic id to its partitions; readers take no lock.
	topics sync.Map // uuid.UUID to *hostedTopic
	// compacted are those of them whose logs are compacted: the cleaner looks at these time and again, and at no others.
	compacted sync.Map

	// mu guards applied and serialises changes.
	mu      sync.Mutex
	started bool
	epoch   int64 // of the broker; -1: it is not registered yet
	applied *metadata.Image
	load    []int               // replicas in each directory
	shared  *partition.Settings // that were made last
	plain   struct {            // of topics that have set nothing of their own
		of       *config.Config
		settings *partition.Settings
	}

	unopened map[commitlog.ID]uint16 // replicas whose log could not be opened, and the directory
	opening  bool                    // they are tried again soon
	closed   bool
	found    map[partitionName]uint16 // at start: which directory has the folder of a partition; nil afterwards
	less     map[partitionName]bool   // at start: a directory had more of a partition than there is
	short    []controller.LostReplica // that a start found to have less than they had, or could not open
}

// partitionName names a partition whose topic id may not be known.
type partitionName struct {
	topic  string
	number int32
}

func nameOf(id commitlog.ID) partitionName { return partitionName{id.Topic, id.Partition} }

// hostedTopic is one topic's replicas by partition number. It is replaced when it grows, so that readers take no lock.
type hostedTopic struct{ partitions atomic.Pointer[[]hosted] }

// hosted is one replica: nil where this broker has none, and the number of its directory.
type hosted struct {
	*partition.Partition
	dir uint16
}

func newReplicas(live *liveConfig, clk clock.Clock, log *slog.Logger) *replicas {
	r := &replicas{moves: newMoves(live, clk, log), places: places{wake: make(chan struct{}, 1)}, live: live, cfg: live.now(), brokerID: live.started.NodeID, log: log,
		isr: isrChanges{clock: clk, log: log, wake: make(chan struct{}, 1)}, followed: followed{wake: make(chan struct{}, 1)}, epoch: -1, applied: metadata.Empty, unopened: map[commitlog.ID]uint16{}}
	r.host = partition.Host{Broker: r.brokerID, Clock: clk, Alter: r.isr.propose}
	r.brokers.img.Store(metadata.Empty)
	return r
}

// Partition returns the replica of a partition, or nil.
func (r *replicas) Partition(topic uuid.UUID, index int32) *partition.Partition {
	p, _ := r.Placed(topic, index)
	return p
}

// Placed returns the replica of a partition and the number of its directory, or nil.
func (r *replicas) Placed(topic uuid.UUID, index int32) (*partition.Partition, int) {
	h, ok := r.topics.Load(topic)
	if !ok {
		return nil, 0
	}
	parts := *h.(*hostedTopic).partitions.Load()
	if index < 0 || int(index) >= len(parts) {
		return nil, 0
	}
	return parts[index].Partition, int(parts[index].dir)
}

// LogDirs describes the data directories in the order of the configuration, and then those that could not be opened.
func (r *replicas) LogDirs() []handler.LogDir {
	all := make([]handler.LogDir, len(r.dirs), len(r.dirs)+len(r.absent))
	for i, d := range r.dirs {
		all[i] = handler.LogDir{Path: absolute(d.Path()), Err: d.Err()}
		free, total, err := d.Space()
		if err != nil {
			r.log.Warn("look for the space of a data directory", "directory", d.Path(), "error", err)
			continue
		}
		all[i].Free, all[i].Total = free, total
	}
	for _, a := range r.absent {
		all = append(all, handler.LogDir{Path: absolute(a.path), Err: a.err})
	}
	return all
}

// absolute is the name by which clients know a data directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// all yields every replica.
func (r *replicas) all() iter.Seq[hosted] { return replicasOf(&r.topics) }

func replicasOf(topics *sync.Map) iter.Seq[hosted] {
	return func(yield func(hosted) bool) {
		topics.Range(func(_, h any) bool {
			for _, p := range *h.(*hostedTopic).partitions.Load() {
				if p.Partition != nil && !yield(p) {
					return false
				}
			}
			return true
		})
	}
}

// start takes over the metadata as it stands, once all that was committed before the start is in the image. Until then images
// are passed over: a topic that was deleted long ago is never opened on the way. Others who follow the metadata take over the same
// image in then, before any later one is published to them.
func (r *replicas) start(images interface{ Image() *metadata.Image }, then func(*metadata.Image)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	img := images.Image()
	r.started = true
	r.cfg = r.live.now()
	r.found = map[partitionName]uint16{}
	for i, d := range r.dirs {
		for _, id := range d.Logs() {
			if t := img.Topic(id.Topic); t != nil && !id.TopicID.IsZero() && id.TopicID != t.ID {
				continue // of a topic that had the name before
			}
			r.found[nameOf(id)] = uint16(i)
		}
	}
	r.less = map[partitionName]bool{}
	for i, d := range r.dirs {
		for _, id := range d.Recovery().Short {
			if at, ok := r.found[nameOf(id)]; !ok || int(at) == i { // else it went to another directory
				r.less[nameOf(id)] = true
			}
		}
	}
	r.brokers.img.Store(img)
	r.applyLocked(metadata.Diff(metadata.Empty, img))
	r.applied = img
	r.resumeMovesLocked()
	r.found, r.less = nil, nil
	r.setStraysAside(img)
	then(img)
}

// setStraysAside renames the folders of partitions that the metadata does not know. They are not removed: metadata that is missing
// is no reason to delete records. What the metadata know to be on other brokers is removed, as it would have been had this one been there.
func (r *replicas) setStraysAside(img *metadata.Image) {
	for _, d := range r.dirs {
		for _, id := range d.Logs() {
			t := img.Topic(id.Topic)
			if t != nil && (id.TopicID.IsZero() || id.TopicID == t.ID) && int(id.Partition) < len(t.Partitions) {
				if id.TopicID == t.ID && !metadata.Has(t.Partitions[id.Partition].Replicas, r.brokerID) && r.oursLocked() {
					r.log.Info("removed a replica that went to other brokers meanwhile", "directory", d.Path(), "partition", id.String())
					if err := d.Remove(id); err != nil {
						r.log.Warn("remove the log of a partition", "partition", id.String(), "error", err)
					}
				}
				continue
			}
			if err := d.Quarantine(id); err != nil {
				r.log.Warn("set the folder of an unknown partition aside", "directory", d.Path(), "partition", id.String(), "error", err)
			}
		}
	}
}

// follow is the metadata subscriber.
func (r *replicas) follow(_, after *metadata.Image, delta *metadata.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started || after.Index() <= r.applied.Index() {
		return
	}
	now := r.live.now()
	follow := now != r.cfg && !now.SameTopics(r.cfg)
	r.cfg = now
	r.brokers.img.Store(after)
	r.applyLocked(delta)
	r.meetLocked(delta.Brokers, after)
	if follow {
		r.configureLocked(after)
	}
	r.applied = after
}

// configureLocked lets all topics follow settings of the broker.
func (r *replicas) configureLocked(img *metadata.Image) {
	for t := range img.Topics() {
		h, ok := r.topics.Load(t.ID)
		if !ok {
			continue
		}
		settings := r.settingsLocked(t)
		for _, p := range *h.(*hostedTopic).partitions.Load() {
			if p.Partition != nil {
				p.Configure(settings)
			}
		}
		r.compactLocked(t, h.(*hostedTopic), settings)
	}
}

// compactLocked lets the cleaner look at a topic from now on, or not.
func (r *replicas) compactLocked(t *metadata.Topic, h *hostedTopic, settings *partition.Settings) {
	if settings.Log.Compact {
		r.compacted.Store(t.ID, h)
	} else {
		r.compacted.Delete(t.ID)
	}
}

// settingsLocked returns what the partitions of a topic act on. Topics mostly have the same settings, and then share one copy.
func (r *replicas) settingsLocked(t *metadata.Topic) *partition.Settings {
	plain := len(t.Configs) == 0 && t.Name != offsetsTopic
	if plain && r.plain.of == r.cfg {
		return r.plain.settings
	}
	s := partitionSettings(r.cfg, t.Name, t.Configs)
	if r.shared != nil {
		if *r.shared.Log == *s.Log {
			s.Log = r.shared.Log
		}
		if *r.shared == *s {
			s = r.shared
		}
	}
	if r.shared = s; plain {
		r.plain.of, r.plain.settings = r.cfg, s
	}
	return s
}

func (r *replicas) applyLocked(delta *metadata.Delta) {
	var gone []hosted
	for _, change := range delta.Topics {
		if change.New == nil {
			gone = append(gone, r.closeTopic(change.Old)...)
		}
	}
	r.discard(gone)
	for _, change := range delta.Topics {
		if change.New != nil {
			r.applyTopic(change)
		}
	}
}

// closeTopic ends the service of a topic that was deleted, and returns its replicas, which are to be discarded.
func (r *replicas) closeTopic(t *metadata.Topic) (gone []hosted) {
	h, ok := r.topics.LoadAndDelete(t.ID)
	if !ok {
		return nil
	}
	r.compacted.Delete(t.ID)
	for number, p := range *h.(*hostedTopic).partitions.Load() {
		if p.Partition == nil { // it may have a log that could not be opened
			r.giveUpLocked(commitlog.ID{Topic: t.Name, TopicID: t.ID, Partition: int32(number)})
			continue
		}
		p.Close(partition.ErrDeleted)
		gone = append(gone, p)
	}
	return gone
}

// removers remove logs at once. Each removal waits for two syncs, which several share: one after the other, those of ten thousand logs would take
// minutes on a slow disk.
const removers = 16

// discard removes what there is of replicas that are closed.
func (r *replicas) discard(gone []hosted) {
	for _, p := range gone {
		r.followed.set(p.Partition, false)
		r.load[p.dir]--
		if mv := r.moves.of(p.ID()); mv != nil {
			r.moves.cancel(mv)
		}
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(removers, len(gone)) {
		wait.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(gone); i = next.Add(1) - 1 {
				r.removeLogs(gone[i].ID())
			}
		})
	}
	wait.Wait()
}

// removeLogs removes the logs of a partition. Another directory than its replica's may have what a move left.
func (r *replicas) removeLogs(id commitlog.ID) {
	for _, d := range r.dirs {
		if err := d.Remove(id); err != nil {
			r.log.Warn("remove the log of a partition", "partition", id.String(), "error", err)
		}
	}
}

func (r *replicas) applyTopic(change metadata.TopicChange) {
	t := change.New
	h := new(hostedTopic)
	if known, ok := r.topics.Load(t.ID); ok {
		h = known.(*hostedTopic)
	}
	var parts []hosted
	if now := h.partitions.Load(); now != nil {
		parts = append(parts, *now...)
	}
	settings := r.settingsLocked(t)
	if change.Old != nil && !maps.Equal(change.Old.Configs, t.Configs) { // a change of one partition is no business of the others
		for _, p := range parts {
			if p.Partition != nil {
				p.Configure(settings)
			}
		}
	}
	for len(parts) < len(t.Partitions) {
		parts = append(parts, hosted{})
	}
	for number, pair := range change.Partitions() {
		assigned := pair[1]
		if assigned == nil || !metadata.Has(assigned.Replicas, r.brokerID) {
			if p := parts[number]; p.Partition != nil && !r.oursLocked() {
				p.Apply(&r.brokers, nil)
			} else if p.Partition != nil { // a reassignment took it out, when others had all of it
				p.Leave()
				r.discard([]hosted{p})
				parts[number] = hosted{}
				r.log.Info("removed a replica that went to other brokers", "partition", p.ID().String())
			}
			id := commitlog.ID{Topic: t.Name, TopicID: t.ID, Partition: number}
			if _, unopened := r.unopened[id]; unopened && r.oursLocked() {
				r.giveUpLocked(id)
			}
			continue
		}
		if parts[number].Partition == nil {
			id := commitlog.ID{Topic: t.Name, TopicID: t.ID, Partition: number}
			p, dir, err := r.openPlaced(id, settings, assigned)
			known := errors.Is(err, errAway) && !r.assignedDir(assigned).IsZero() // to the controller, since it was told of the directories
			if r.found != nil && (r.less[nameOf(id)] || r.dirs[dir].Short(id) || err != nil && !logdir.Passes(err) && !known) {
				r.short = append(r.short, controller.LostReplica{TopicID: id.TopicID, Number: id.Partition})
			}
			if err != nil {
				r.unopenedLocked(id, dir, err)
				continue // the partition answers that this broker does not lead it
			}
			parts[number] = hosted{p, dir}
			r.load[dir]++
			if _, late := r.unopened[id]; late {
				delete(r.unopened, id)
				r.log.Info("opened the log of a partition that could not be opened before", "partition", id.String())
			}
		}
		r.placedLocked(t.ID, number, assigned, parts[number].dir)
		r.followed.set(parts[number].Partition, len(assigned.Replicas) > 1)
		parts[number].Apply(&r.brokers, assigned)
	}
	h.partitions.Store(&parts)
	r.topics.Store(t.ID, h)
	r.compactLocked(t, h, settings)
}

// oursLocked says that the metadata are not from before this incarnation of the broker was registered, or after another one was: by such no log is removed.
func (r *replicas) oursLocked() bool {
	self := r.brokers.Broker(r.brokerID)
	return self != nil && self.Epoch == r.epoch
}

// unopenedLocked tells that a log cannot be opened. What it lacks, space or descriptors, there may be again, and no change of the metadata says so: it
// is tried again every second.
func (r *replicas) unopenedLocked(id commitlog.ID, dir uint16, err error) {
	what := "open the log of a partition"
	if logdir.Passes(err) {
		what += ": tried again until it succeeds"
		r.openSoonLocked()
	}
	if _, known := r.unopened[id]; !known {
		r.log.Error(what, "topic", id.Topic, "partition", id.Partition, "error", err)
	}
	r.unopened[id] = dir
}

func (r *replicas) openSoonLocked() {
	if !r.opening {
		r.opening = true
		r.isr.clock.AfterFunc(openPause, r.openAgain)
	}
}

// giveUpLocked forgets a replica whose log could not be opened and is not wanted any more, and removes what there is of it.
func (r *replicas) giveUpLocked(id commitlog.ID) {
	delete(r.unopened, id)
	r.removeLogs(id)
}

// openPause passes before a log that could not be opened is tried again.
const openPause = time.Second

// openAgain tries the logs again that could not be opened, those of which this broker still has a replica to be.
func (r *replicas) openAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opening = false; r.closed {
		return
	}
	topics := map[uuid.UUID]bool{}
	for id := range r.unopened {
		p := r.applied.Partition(id.TopicID, id.Partition)
		if p == nil || !metadata.Has(p.Replicas, r.brokerID) {
			if r.oursLocked() {
				r.giveUpLocked(id)
			} else { // it is not known yet whether it went to others
				r.openSoonLocked()
			}
			continue
		}
		topics[id.TopicID] = true
	}
	for id := range topics {
		r.applyTopic(metadata.TopicChange{New: r.applied.TopicByID(id)})
	}
}

// place returns the directory of a partition: the one that has its folder, else the one that was asked for, else the one with the fewest replicas of those that are not
// offline.
func (r *replicas) place(id commitlog.ID, assigned *metadata.Partition) uint16 {
	if at, ok := r.found[nameOf(id)]; ok {
		return at
	}
	if at, ok := r.unopened[id]; ok { // it may have its folder there; while that is counted on it is made nowhere else
		counted := metadata.Has(assigned.ISR, r.brokerID) || metadata.Has(assigned.ELR, r.brokerID)
		if counted || !errors.Is(r.dirs[at].Err(), commitlog.ErrOffline) {
			return at
		}
	}
	if at, ok := r.moves.preferred(id); ok && !errors.Is(r.dirs[at].Err(), commitlog.ErrOffline) {
		return at
	}
	least, usable := 0, false
	for i, n := range r.load {
		online := !errors.Is(r.dirs[i].Err(), commitlog.ErrOffline)
		if online && !usable || online == usable && n < r.load[least] {
			least, usable = i, online
		}
	}
	return uint16(least)
}

// openPlaced opens the replica of a partition in its directory, in another one if that is offline by now.
func (r *replicas) openPlaced(id commitlog.ID, settings *partition.Settings, assigned *metadata.Partition) (p *partition.Partition, dir uint16, err error) {
	if r.awayLocked(id, assigned) {
		return nil, 0, errAway
	}
	for range r.dirs {
		dir = r.place(id, assigned)
		if p, err = r.open(r.dirs[dir], id, settings, assigned); err == nil || !errors.Is(r.dirs[dir].Err(), commitlog.ErrOffline) {
			break
		}
	}
	return p, dir, err
}

// errAway is why a replica is not opened whose records are in a directory that the node was started without.
var errAway = fmt.Errorf("%w: the replica lies in a data directory that the node was started without", commitlog.ErrOffline)

// awayLocked says that a directory which is not here has the replica, or may have it: it is made nowhere else, and is there again when the directory is.
func (r *replicas) awayLocked(id commitlog.ID, assigned *metadata.Partition) bool {
	if len(r.absent) == 0 || assigned.Reassignment != nil && metadata.Has(assigned.Reassignment.Adding, r.brokerID) {
		return false
	}
	if in := r.assignedDir(assigned); !in.IsZero() {
		return !r.has(in) // a folder that is here may be what a move was about to remove
	}
	// The controller may not have been told yet. What is made from now on is made here.
	_, here := r.found[nameOf(id)]
	return r.found != nil && !here && (metadata.Has(assigned.ISR, r.brokerID) || metadata.Has(assigned.ELR, r.brokerID))
}

// assignedDir is the directory that the metadata know this broker's replica to be in; zero: they know none.
func (r *replicas) assignedDir(assigned *metadata.Partition) uuid.UUID {
	at := slices.Index(assigned.Replicas, r.brokerID)
	if at < 0 || at >= len(assigned.Directories) {
		return uuid.UUID{}
	}
	return assigned.Directories[at]
}

func (r *replicas) has(directory uuid.UUID) bool {
	return slices.ContainsFunc(r.dirs, func(d *logdir.Dir) bool { return d.ID() == directory })
}

// lose answers the producers that wait for replicas in a directory which is offline. It waits for a change of the metadata under way, which
// may be opening one there.
func (r *replicas) lose(l lostDir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.all() {
		if int(p.dir) == l.dir {
			p.Fail(fmt.Errorf("%w: %w", commitlog.ErrOffline, l.err))
		}
	}
	r.moves.lost(l.dir)
}

func (r *replicas) open(dir *logdir.Dir, id commitlog.ID, settings *partition.Settings, assigned *metadata.Partition) (*partition.Partition, error) {
	anew := r.anewLocked(assigned)
	if anew {
		var err error
		if anew, err = dir.Anew(id, assigned.PartitionEpoch); err != nil {
			return nil, err
		}
	}
	// The log may tell of synced records before the partition stands.
	var p atomic.Pointer[partition.Partition]
	log, err := dir.Log(id, settings.Log, func(end int64) {
		if p := p.Load(); p != nil {
			p.Synced(end)
		}
	})
	if err == nil && anew {
		err = log.MakeFiles()
	}
	if err != nil {
		return nil, err
	}
	highWatermark := dir.HighWatermark(id.Topic, id.Partition)
	opened := partition.New(id, &r.host, log, settings, highWatermark, r.lossy(dir, id, assigned))
	opened.Registered(r.epoch)
	p.Store(opened)
	return opened, nil
}

// anewLocked says that a log which is made now begins the replica anew. A directory that is away may have one of it, and come back; that one counts no more. It is so
// where a reassignment adds the replica, and where the metadata know it to be in a directory that is none of these any more and others lead the partition.
func (r *replicas) anewLocked(assigned *metadata.Partition) bool {
	if assigned.Reassignment != nil && metadata.Has(assigned.Reassignment.Adding, r.brokerID) {
		return true
	}
	in := r.assignedDir(assigned)
	if in.IsZero() || metadata.Has(assigned.ISR, r.brokerID) || metadata.Has(assigned.ELR, r.brokerID) {
		return false
	}
	return !r.has(in) && assigned.Leader != metadata.NoLeader
}

// lossy says whether the log lost at the start what had been synced. The controller was told of the directory at the registration, and took
// the replica out of ISR and ELR, if it knew it to be there.
func (r *replicas) lossy(dir *logdir.Dir, id commitlog.ID, assigned *metadata.Partition) bool {
	if _, late := r.unopened[id]; r.found == nil && !late || !slices.Contains(dir.Recovery().Lost, id) {
		return false
	}
	at := slices.Index(assigned.Replicas, r.brokerID)
	return at >= len(assigned.Directories) || assigned.Directories[at].IsZero() || assigned.Directories[at] == dir.ID()
}

// takeShort returns the replicas that the start found to have less than they had.
func (r *replicas) takeShort() []controller.LostReplica {
	r.mu.Lock()
	defer r.mu.Unlock()
	short := r.short
	r.short = nil
	return short
}

// ahead returns the partitions whose logs hold batches of a later leader epoch than the metadata gives them: their folders come from
// another cluster.
func (r *replicas) ahead() (all []controller.RaiseLeaderEpoch) {
	for p := range r.all() {
		a, leader := p.State()
		latest, ok := p.Log().LatestEpoch()
		if leader && ok && latest > a.LeaderEpoch && latest < math.MaxInt32 {
			id := p.ID()
			all = append(all, controller.RaiseLeaderEpoch{TopicID: id.TopicID, Number: id.Partition, Least: int32(latest) + 1})
		}
	}
	return all
}

// highWatermarks yields what the replication-offset-checkpoint of the directory with that number notes. It takes no lock: the directory
// asks for it while it removes a log, which happens under mu.
func (r *replicas) highWatermarks(dir int) iter.Seq[logdir.Offset] {
	return func(yield func(logdir.Offset) bool) {
		for p := range r.all() {
			if id := p.ID(); int(p.dir) == dir && !yield(logdir.Offset{Topic: id.Topic, Partition: id.Partition, Offset: p.HighWatermark()}) {
				return
			}
		}
	}
}

// retain deletes what retention lets go, counts the segments that went, and forgets producers that were silent for too long.
func (r *replicas) retain(now time.Time, c *counts) {
	silent := r.live.now().ProducerIDExpiration
	for p := range r.all() {
		gone, err := p.ApplyRetention(now)
		if err != nil && !errors.Is(err, commitlog.ErrClosed) {
			r.log.Warn("delete old segments", "partition", p.ID().String(), "error", err)
		}
		c.retainedStart.Add(int64(gone.BelowStart))
		c.retainedSize.Add(int64(gone.BySize))
		c.retainedAge.Add(int64(gone.ByAge))
		if gone.Segments() > 0 {
			r.log.Info("deleted old segments", "partition", p.ID().String(), "segments", gone.Segments(), "log start", p.Log().LogStart(),
				"below log start", gone.BelowStart, "beyond retention.bytes", gone.BySize, "beyond retention.ms", gone.ByAge)
		}
		p.Log().ExpireProducers(now.Add(-silent), now)
	}
}

// close ends the service of all replicas; whoever waits is answered.
func (r *replicas) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for p := range r.all() {
		p.Close(fmt.Errorf("the broker is stopping: %w", commitlog.ErrClosed))
	}
}
