package cli

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What follows is called by the client's goroutine for the group; it reports to the one that polls.

func (m *member) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(m.group),
		kgo.SessionTimeout(m.session),
		kgo.HeartbeatInterval(min(m.session/3, 3*time.Second)),
		kgo.ConsumeTopics(m.topics...),
		// So that it gets on with consumers of every kind; the first that all members know is chosen.
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer()),
		kgo.BlockRebalanceOnPoll(), // no partition goes away between being printed and being marked
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(m.commits),
		kgo.AutoCommitCallback(m.committed),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // of partitions that are added meanwhile
		kgo.ConsumeResetOffset(m.where.reset()),
		kgo.AdjustFetchOffsetsFn(m.start),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			m.report(event{settled: true, awaited: len(places(added))})
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, lost map[string][]int32) {
			if err := cl.CommitMarkedOffsets(ctx); err != nil {
				m.report(event{note: m.to.Explain("commit offsets of group "+m.group, err, "").Error()})
			}
			m.report(event{unsettled: true, removed: places(lost)})
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			m.report(event{unsettled: true, removed: places(lost)})
		}),
	}
	if m.instance != "" {
		opts = append(opts, kgo.InstanceID(m.instance))
	}
	return opts
}

func places(of map[string][]int32) []place {
	var all []place
	for topic, partitions := range of {
		for _, p := range partitions {
			all = append(all, place{topic, p})
		}
	}
	return all
}

// reset is where to go on when what the group has committed lies outside the log.
func (p position) reset() kgo.Offset {
	switch p.kind {
	case fromEnd:
		return kgo.NewOffset().AtEnd()
	case beforeEnd:
		return kgo.NewOffset().AtEnd().Relative(-p.offset)
	case fromTime:
		return kgo.NewOffset().AfterMilli(p.at.UnixMilli())
	}
	return kgo.NewOffset().AtStart()
}

// start says where to read the partitions that the group has given: where it has committed, else where --from says.
func (m *member) start(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	added := map[place]span{}
	for topic, partitions := range offsets {
		for p, committed := range partitions {
			at := committed.EpochOffset().Offset
			s, known := m.found[place{topic, p}]
			switch {
			case !known: // it was added after the start
				s = span{max(at, 0), 0}
			case at < 0:
				partitions[p] = kgo.NewOffset().At(s.start)
			default:
				s.start = at
			}
			if m.follow {
				s.end = math.MaxInt64
			}
			added[place{topic, p}] = s
		}
	}
	m.report(event{added: added})
	return offsets, nil
}

// committed hears how a periodic commit went.
func (m *member) committed(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
	if err == nil && resp != nil {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		m.report(event{note: m.to.Explain("commit offsets of group "+m.group, err, "").Error()})
	}
}
