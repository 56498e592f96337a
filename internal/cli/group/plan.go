package group

import (
	"fmt"
	"time"
)

// aim is where a reset moves a group to.
type aim struct {
	kind   aimKind
	offset int64           // for toOffset; for shift how far
	at     time.Time       // for toTime
	file   map[place]int64 // for fromFile
}

type aimKind uint8

const (
	toEarliest aimKind = iota
	toLatest
	toCurrent
	toOffset
	toTime
	shift
	fromFile
)

type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("partition %d of topic %s", p.partition, p.topic) }

// known is what the plan of one partition depends on.
type known struct {
	place
	committed  int64 // -1 for none
	start, end int64 // of the log
	timed      int64 // the first record at or after the aim's time; -1 for none
}

// change is one line of the plan.
type change struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    *int64 `json:"before"`
	After     int64  `json:"after"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Note      string `json:"note,omitempty"`
}

// plan says what a reset commits. Offsets outside the log are moved to its ends, as Kafka's tool does; what is committed already is
// kept as it is.
func (a aim) plan(all []known) ([]change, error) {
	changes := make([]change, 0, len(all))
	for _, k := range all {
		after, note, err := a.target(k)
		if err != nil {
			return nil, err
		}
		switch {
		case a.kind == toCurrent:
		case after > k.end:
			note, after = fmt.Sprintf("%d is past the end", after), k.end
		case after < k.start:
			note, after = fmt.Sprintf("%d is before the start", after), k.start
		}
		c := change{Topic: k.topic, Partition: k.partition, After: after, Start: k.start, End: k.end, Note: note}
		if k.committed >= 0 {
			c.Before = &k.committed
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func (a aim) target(k known) (offset int64, note string, err error) {
	switch a.kind {
	case toEarliest:
		return k.start, "", nil
	case toLatest:
		return k.end, "", nil
	case toOffset:
		return a.offset, "", nil
	case toTime:
		if k.timed < 0 {
			return k.end, "no record is that young", nil
		}
		return k.timed, "", nil
	case fromFile:
		return a.file[k.place], "", nil
	case toCurrent:
		if k.committed < 0 {
			return k.end, "nothing was committed", nil
		}
		return k.committed, "", nil
	}
	if k.committed < 0 {
		return 0, "", fmt.Errorf("shift %v: nothing is committed to shift from; give it an offset with --to-offset, --to-earliest or --to-latest", k.place)
	}
	switch sum := k.committed + a.offset; {
	case a.offset > 0 && sum < k.committed: // past the largest number
		return k.end, "past the end", nil
	default:
		return sum, "", nil
	}
}
