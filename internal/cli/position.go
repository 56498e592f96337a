package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/moment"
)

// position is where reading starts, the value of --from.
type position struct {
	kind   positionKind
	offset int64     // an offset; for beforeEnd how many records before the end
	at     time.Time // for fromTime
}

type positionKind uint8

const (
	fromStart positionKind = iota
	fromEnd
	fromOffset
	beforeEnd
	fromTime
)

// parsePosition reads start, end, an offset, -N for the last N records, or after an @ a time, milliseconds since 1970 or how
// long ago. Kafka's words earliest and latest are understood too.
func parsePosition(s string, now time.Time) (position, error) {
	switch s {
	case "start", "earliest":
		return position{kind: fromStart}, nil
	case "end", "latest":
		return position{kind: fromEnd}, nil
	}
	if text, ok := strings.CutPrefix(s, "@"); ok {
		at, err := parseTime(text, now)
		return position{kind: fromTime, at: at}, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return position{}, fmt.Errorf("--from %s: want start, end, an offset, -N, @TIME or @DURATION such as @1h", s)
	case n < 0:
		return position{kind: beforeEnd, offset: -n}, nil
	}
	return position{kind: fromOffset, offset: n}, nil
}

func parseTime(text string, now time.Time) (time.Time, error) {
	if at, err := moment.Time(text, now.Location()); err == nil {
		return at, nil
	}
	if ago, err := moment.Duration(text); err == nil {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("--from @%s: want %s, or %s ago", text, moment.Times, moment.Durations)
}

// place is one partition.
type place struct {
	topic     string
	partition int32
}

// span is what to read of one partition.
type span struct{ start, end int64 }

// spans finds start and end of every partition of the topic, or of those chosen.
func (p position) spans(ctx context.Context, adm *kadm.Client, topic string, chosen []int32) (map[place]span, error) {
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	var timed kadm.ListedOffsets
	if p.kind == fromTime {
		if timed, err = adm.ListOffsetsAfterMilli(ctx, p.at.UnixMilli(), topic); err == nil {
			err = timed.Error()
		}
		if err != nil {
			return nil, err
		}
	}
	if len(chosen) == 0 {
		for partition := range starts[topic] {
			chosen = append(chosen, partition)
		}
	}
	found := make(map[place]span, len(chosen))
	for _, partition := range chosen {
		start, ok := starts.Lookup(topic, partition)
		end, _ := ends.Lookup(topic, partition)
		if !ok {
			return nil, fmt.Errorf("partition %d is not there; topic %s has 0 to %d", partition, topic, len(starts[topic])-1)
		}
		s := span{start.Offset, end.Offset}
		switch p.kind {
		case fromEnd:
			s.start = s.end
		case fromOffset:
			if p.offset > s.end {
				return nil, fmt.Errorf("offset %d of partition %d is past its end, %d", p.offset, partition, s.end)
			}
			s.start = max(p.offset, s.start)
		case beforeEnd:
			s.start = max(s.end-p.offset, s.start)
		case fromTime:
			if t, ok := timed.Lookup(topic, partition); ok && t.Offset >= 0 {
				s.start = max(t.Offset, s.start)
			} else {
				s.start = s.end
			}
		}
		found[place{topic, partition}] = s
	}
	return found, nil
}
