package broker

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/vfs"
)

// counts is what the broker itself counts.
type counts struct {
	retainedStart, retainedSize, retainedAge metrics.Counter // segments that retention has deleted
	cleaned, failed                          metrics.Counter // passes of the cleaner
	cleanerRead, cleanerWritten              metrics.Counter // bytes
	recordsRemoved                           metrics.Counter
	bytesRemoved                             metrics.Counter
	scrubbed                                 metrics.Counter // bytes
}

// scrape reads all that the parts of the broker count. What concerns groups has until ctx ends. Its cost grows with the partitions that
// this broker hosts and the groups that it coordinates, and nobody waits for it: it takes no lock that a request holds for long.
func (b *Broker) scrape(ctx context.Context) []byte {
	s := metrics.NewScrape()
	s.Runtime()
	s.Process(metrics.Files{Read: b.readAll, Count: b.countEntries})
	s.Value(metrics.StartTime, float64(b.startedAt.UnixMilli())/1000)
	ready := int64(1)
	for _, c := range b.ready() {
		if c.Err != nil {
			ready = 0
		}
	}
	s.Count(metrics.Ready, ready)
	if !b.up.Load() {
		return s.Text()
	}
	img := b.publisher.Image()
	s.Count(metrics.NodeInfo, 1, img.ClusterID(), strconv.Itoa(int(b.opts.Config.NodeID)))
	b.scrapeRequests(s)
	b.scrapeTopics(s, img)
	b.scrapeDisks(s)
	b.scrapeGroups(ctx, s, img)
	return s.Text()
}

func (b *Broker) scrapeRequests(s *metrics.Scrape) {
	stats := b.server.Stats()
	stats.Requests.Counts(func(key, version, code int16, n int64) {
		name, number := protocol.ErrorCode(code).String(), strconv.Itoa(int(version))
		if code == metrics.Closed {
			name = "CONNECTION_CLOSED"
		}
		if version == metrics.OtherVersion {
			number = "other"
		}
		s.Count(metrics.RequestCount, n, protocol.APIKey(key).String(), number, name)
	})
	stats.Requests.Durations(func(key int16, h *metrics.Histogram) {
		s.Histogram(metrics.RequestDuration, h, protocol.APIKey(key).String())
	})
	s.Count(metrics.StateUsed, b.memory.State())
	s.Count(metrics.StateLimit, max(0, b.opts.Config.StateMaxBytes))
	s.Count(metrics.ReceivedBytes, stats.Received.Load())
	s.Count(metrics.SentBytes, stats.Sent.Load())
	s.Count(metrics.Accepted, stats.Accepted.Load())
	for i := range stats.Closed {
		s.Count(metrics.ClosedCount, stats.Closed[i].Load(), server.CloseReason(i))
	}
	m := b.server.Moment()
	for _, l := range b.listeners {
		s.Count(metrics.Connections, int64(m.Connections[l.Name]), l.Name)
	}
	for _, k := range quota.Kinds() {
		held := b.quotas.Stats()
		s.Count(metrics.ThrottledRequests, held.Throttled[k].Load(), k.String())
		s.Value(metrics.ThrottleTime, float64(held.ThrottledMs[k].Load())/1000, k.String())
	}
	s.Count(metrics.QuotaMeasures, int64(b.quotas.Measures()))
	s.Count(metrics.InFlight, int64(m.InFlight))
	s.Count(metrics.QueuedBytes, m.QueuedBytes)
	s.Count(metrics.MemoryUsed, m.Memory)
	s.Count(metrics.MemoryLimit, m.MemoryLimit)
	s.Count(metrics.MemoryWaiting, int64(m.Waiting))

	h := b.handler.Stats()
	s.Count(metrics.ProducedRecords, h.ProducedRecords.Load())
	s.Count(metrics.ProducedBatches, h.ProducedBatches.Load())
	s.Count(metrics.ProducedBytes, h.ProducedBytes.Load())
	s.Count(metrics.FetchedRuns, h.FetchedRuns.Load())
	s.Count(metrics.FetchedBytes, h.FetchedBytes.Load())
}

// topicSums are the sums over the partitions of one topic that this broker hosts.
type topicSums struct {
	partitions, led, size, segments int64
	under, underMin                 int64
	recordsIn, bytesIn, bytesOut    int64
}

// clusterSums are sums over all partitions of the cluster.
type clusterSums struct{ offline, notPreferred, reassigning int64 }

func (c *clusterSums) count(p *metadata.Partition) {
	if p.Leader == metadata.NoLeader {
		c.offline++
	} else if p.Leader != p.Replicas[0] {
		c.notPreferred++
	}
	if p.Reassignment != nil {
		c.reassigning++
	}
}

func (b *Broker) scrapeTopics(s *metrics.Scrape, img *metadata.Image) {
	var all topicSums
	var is clusterSums
	left, out := b.opts.Config.Admin().SeriesMax, int64(0)
	for t := range img.Topics() {
		sums := b.replicas.sums(t)
		all.partitions += sums.partitions
		all.led += sums.led
		all.size += sums.size
		all.under += sums.under
		all.underMin += sums.underMin
		for _, p := range t.Partitions {
			is.count(p)
		}
		switch {
		case sums.partitions == 0:
		case left == 0:
			out++
		default:
			left--
			s.Count(metrics.TopicPartitions, sums.partitions, t.Name)
			s.Count(metrics.TopicSize, sums.size, t.Name)
			s.Count(metrics.TopicSegments, sums.segments, t.Name)
			s.Count(metrics.TopicRecordsIn, sums.recordsIn, t.Name)
			s.Count(metrics.TopicBytesIn, sums.bytesIn, t.Name)
			s.Count(metrics.TopicBytesOut, sums.bytesOut, t.Name)
		}
	}
	s.Count(metrics.Topics, int64(img.TopicCount()))
	b.scrapeCluster(s, img)
	s.Count(metrics.Partitions, all.partitions)
	s.Count(metrics.Led, all.led)
	s.Count(metrics.UnderReplicated, all.under)
	s.Count(metrics.UnderMinISR, all.underMin)
	s.Count(metrics.Offline, is.offline)
	s.Count(metrics.NotPreferred, is.notPreferred)
	s.Count(metrics.Reassigning, is.reassigning)
	s.Count(metrics.LogSize, all.size)
	s.Count(metrics.LeftOut, out, "topics")
}

func toInt(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// scrapeCluster shows who is in the cluster.
func (b *Broker) scrapeCluster(s *metrics.Scrape, img *metadata.Image) {
	leader := b.state.Leader()
	s.Count(metrics.ActiveController, toInt(leader == b.opts.Config.NodeID))
	s.Count(metrics.KnowsController, toInt(leader >= 0))
	states := map[string]int64{"serving": 0, "fenced": 0, "leaving": 0}
	for _, r := range img.Brokers() {
		switch {
		case r.Fenced:
			states["fenced"]++
		case r.ControlledShutdown:
			states["leaving"]++
		default:
			states["serving"]++
		}
	}
	for state, n := range states {
		s.Count(metrics.Brokers, n, state)
	}
}

// sums adds up the replicas of a topic.
func (r *replicas) sums(t *metadata.Topic) (sums topicSums) {
	h, ok := r.topics.Load(t.ID)
	if !ok {
		return sums
	}
	for _, p := range *h.(*hostedTopic).partitions.Load() {
		if p.Partition == nil {
			continue
		}
		traffic := p.Traffic()
		sums.partitions++
		if _, leads := p.State(); leads {
			sums.led++
			under, underMin := p.Under()
			sums.under += toInt(under)
			sums.underMin += toInt(underMin)
		}
		sums.size += p.Log().Size()
		sums.segments += int64(p.Log().Segments())
		sums.recordsIn += traffic.RecordsIn.Load()
		sums.bytesIn += traffic.BytesIn.Load()
		sums.bytesOut += traffic.BytesOut.Load()
	}
	return sums
}

func (b *Broker) scrapeDisks(s *metrics.Scrape) {
	repairs := b.repairs.Stats()
	s.Count(metrics.Damaged, repairs.Damaged.Load())
	s.Count(metrics.Repaired, repairs.Repaired.Load())
	s.Count(metrics.RepairedBytes, repairs.RepairedBytes.Load())
	s.Count(metrics.RepairsWaiting, int64(b.repairs.Waiting()))
	s.Count(metrics.Scrubbed, b.counts.scrubbed.Load())
	state := func(path string, now logdir.Condition) {
		for _, c := range logdir.Conditions {
			is := int64(0)
			if c == now {
				is = 1
			}
			s.Count(metrics.DirState, is, path, string(c))
		}
	}
	for _, a := range b.absent {
		state(a.path, logdir.Offline)
	}
	for _, d := range b.dirs {
		state(d.Path(), d.Condition())
		if free, total, err := d.Space(); err == nil { // a disk that is gone has none
			s.Value(metrics.DirFree, float64(free), d.Path())
			s.Value(metrics.DirSize, float64(total), d.Path())
		}
		s.Value(metrics.DirWaits, d.Waiting().Seconds(), d.Path())
		s.Count(metrics.DirSlow, d.SlowSyncs(), d.Path())
		s.Histogram(metrics.Commit, &d.Stats().Commits, d.Path())
		s.Histogram(metrics.SyncTime, &d.Stats().Syncs, d.Path())
	}
	s.Count(metrics.RetentionSegments, b.counts.retainedStart.Load(), "start")
	s.Count(metrics.RetentionSegments, b.counts.retainedSize.Load(), "size")
	s.Count(metrics.RetentionSegments, b.counts.retainedAge.Load(), "age")
	s.Count(metrics.CleanerPasses, b.counts.cleaned.Load(), "done")
	s.Count(metrics.CleanerPasses, b.counts.failed.Load(), "failed")
	s.Count(metrics.CleanerRead, b.counts.cleanerRead.Load())
	s.Count(metrics.CleanerWritten, b.counts.cleanerWritten.Load())
	s.Count(metrics.CleanerRecords, b.counts.recordsRemoved.Load())
	s.Count(metrics.CleanerRemoved, b.counts.bytesRemoved.Load())
}

// groupStates are the states of groups, which have a sample each even where there is none.
var groupStates = []group.State{group.Empty, group.PreparingRebalance, group.CompletingRebalance, group.Stable, group.Dead}

func (b *Broker) scrapeGroups(ctx context.Context, s *metrics.Scrape, img *metadata.Image) {
	s.Count(metrics.Loading, int64(b.groups.Loading()))
	listed, known := b.listGroups(ctx)
	if !known {
		return // some are being loaded: half of the groups would look like a loss
	}
	states := map[string]int64{}
	names := make([]string, 0, len(listed))
	for _, g := range listed {
		states[g.State]++
		names = append(names, g.Group)
	}
	for _, state := range groupStates {
		s.Count(metrics.Groups, states[state.String()], state.String())
	}
	slices.Sort(names)
	left := b.opts.Config.Admin().SeriesMax
	asked := names[:min(len(names), left)]
	out := int64(len(names) - len(asked))
	offsets, unanswered := b.committed(ctx, asked)
	out += int64(unanswered)
	for _, name := range asked {
		topics := offsets[name]
		for i := range topics {
			lag, any := b.lag(&topics[i], img)
			switch {
			case !any:
			case left == 0:
				out++
			default:
				left--
				s.Count(metrics.GroupLag, lag, name, topics[i].Topic)
			}
		}
	}
	s.Count(metrics.LeftOut, out, "groups")
}

// listGroups returns the groups of all shards; known is false where one cannot tell, or not in time.
func (b *Broker) listGroups(ctx context.Context) (groups []group.ListedGroup, known bool) {
	type result struct {
		responses []any
		err       error
	}
	answer := make(chan result, 1)
	b.groups.All(&group.ListRequest{}, func(responses []any, err error) { answer <- result{responses, err} })
	select {
	case <-ctx.Done():
		return nil, false
	case r := <-answer:
		for _, response := range r.responses {
			groups = append(groups, response.(*group.ListResponse).Groups...)
		}
		return groups, r.err == nil
	}
}

// committed asks for all offsets of the groups at once: each answer waits for what its machine has to make durable.
func (b *Broker) committed(ctx context.Context, names []string) (offsets map[string][]group.FetchedTopic, unanswered int) {
	type result struct {
		name   string
		topics []group.FetchedTopic
		ok     bool
	}
	answers := make(chan result, len(names)) // nobody who answers late has to wait
	for _, name := range names {
		b.groups.Do(name, &group.FetchRequest{Group: name, MemberEpoch: -1, All: true}, func(response any, err error) {
			r := result{name: name}
			if f, ok := response.(*group.FetchResponse); ok && err == nil && f.Code == protocol.None {
				r.topics, r.ok = f.Topics, true
			}
			answers <- r
		})
	}
	offsets = make(map[string][]group.FetchedTopic, len(names))
	for left := len(names); left > 0; left-- {
		select {
		case <-ctx.Done():
			return offsets, unanswered + left
		case r := <-answers:
			if !r.ok {
				unanswered++
				continue
			}
			slices.SortFunc(r.topics, func(x, y group.FetchedTopic) int { return strings.Compare(x.Topic, y.Topic) })
			offsets[r.name] = r.topics
		}
	}
	return offsets, unanswered
}

// lag adds up how far a group is behind in one topic; any is false where this broker leads none of the partitions it has offsets of.
func (b *Broker) lag(t *group.FetchedTopic, img *metadata.Image) (lag int64, any bool) {
	topic := img.Topic(t.Topic)
	if topic == nil {
		return 0, false
	}
	for _, p := range t.Partitions {
		part := b.replicas.Partition(topic.ID, p.Partition)
		if part == nil || p.Offset < 0 || p.Code != protocol.None {
			continue
		}
		if _, leads := part.State(); leads {
			any = true
			lag += max(0, part.HighWatermark()-p.Offset)
		}
	}
	return lag, any
}

// procMax bounds what is read of a file in /proc.
const procMax = 1 << 20

// readAll reads a file whose size the system does not tell.
func (b *Broker) readAll(name string) ([]byte, error) {
	f, err := b.opts.FS.OpenFile(name, vfs.ReadOnly, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, procMax))
}

func (b *Broker) countEntries(dir string) (int, error) {
	entries, err := b.opts.FS.ReadDir(dir)
	return len(entries), err
}
