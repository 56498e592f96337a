package group

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	at := func(committed, start, end, timed int64) known {
		return known{place{"orders", 3}, committed, start, end, timed}
	}
	file := map[place]int64{{"orders", 3}: 8}
	for _, c := range []struct {
		name  string
		aim   aim
		known known
		after int64
		note  string
	}{
		{"earliest", aim{kind: toEarliest}, at(7, 2, 10, -1), 2, ""},
		{"latest", aim{kind: toLatest}, at(7, 2, 10, -1), 10, ""},
		{"latest, nothing committed", aim{kind: toLatest}, at(-1, 2, 10, -1), 10, ""},
		{"earliest of an empty log", aim{kind: toEarliest}, at(-1, 10, 10, -1), 10, ""},
		{"current", aim{kind: toCurrent}, at(7, 2, 10, -1), 7, ""},
		{"current, nothing committed", aim{kind: toCurrent}, at(-1, 2, 10, -1), 10, "nothing was committed"},
		{"current, which is gone", aim{kind: toCurrent}, at(1, 2, 10, -1), 1, ""},
		{"offset", aim{kind: toOffset, offset: 5}, at(7, 2, 10, -1), 5, ""},
		{"offset, nothing committed", aim{kind: toOffset, offset: 5}, at(-1, 2, 10, -1), 5, ""},
		{"offset at the start", aim{kind: toOffset, offset: 2}, at(7, 2, 10, -1), 2, ""},
		{"offset at the end", aim{kind: toOffset, offset: 10}, at(7, 2, 10, -1), 10, ""},
		{"offset past the end", aim{kind: toOffset, offset: 11}, at(7, 2, 10, -1), 10, "11 is past the end"},
		{"offset before the start", aim{kind: toOffset, offset: 1}, at(7, 2, 10, -1), 2, "1 is before the start"},
		{"negative offset", aim{kind: toOffset, offset: -5}, at(7, 2, 10, -1), 2, "-5 is before the start"},
		{"time", aim{kind: toTime, at: time.UnixMilli(1)}, at(7, 2, 10, 4), 4, ""},
		{"time without a record", aim{kind: toTime, at: time.UnixMilli(1)}, at(7, 2, 10, -1), 10, "no record is that young"},
		{"time of a deleted record", aim{kind: toTime}, at(7, 2, 10, 1), 2, "1 is before the start"},
		{"shift forward", aim{kind: shift, offset: 2}, at(7, 2, 10, -1), 9, ""},
		{"shift back", aim{kind: shift, offset: -5}, at(7, 2, 10, -1), 2, ""},
		{"shift by nothing", aim{kind: shift}, at(7, 2, 10, -1), 7, ""},
		{"shift past the end", aim{kind: shift, offset: 4}, at(7, 2, 10, -1), 10, "11 is past the end"},
		{"shift before the start", aim{kind: shift, offset: -6}, at(7, 2, 10, -1), 2, "1 is before the start"},
		{"shift past all numbers", aim{kind: shift, offset: math.MaxInt64}, at(7, 2, 10, -1), 10, "past the end"},
		{"shift before all numbers", aim{kind: shift, offset: math.MinInt64}, at(0, 2, 10, -1), 2, "-9223372036854775808 is before the start"},
		{"file", aim{kind: fromFile, file: file}, at(7, 2, 10, -1), 8, ""},
		{"file past the end", aim{kind: fromFile, file: file}, at(3, 2, 5, -1), 5, "8 is past the end"},
	} {
		got, err := c.aim.plan([]known{c.known})
		if err != nil || len(got) != 1 || got[0].After != c.after || got[0].Note != c.note {
			t.Errorf("%s: %+v, %v; want %d, %q", c.name, got, err, c.after, c.note)
			continue
		}
		g := got[0]
		if before := g.Before; (before == nil) != (c.known.committed < 0) || before != nil && *before != c.known.committed {
			t.Errorf("%s: before %v", c.name, before)
		}
		if g.Topic != "orders" || g.Partition != 3 || g.Start != c.known.start || g.End != c.known.end {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
}

func TestPlanIsWholeOrNone(t *testing.T) {
	a := aim{kind: shift, offset: 1}
	got, err := a.plan([]known{{place{"a", 0}, 5, 0, 9, -1}, {place{"a", 1}, -1, 0, 9, -1}})
	if err == nil || got != nil || !strings.HasPrefix(err.Error(), "shift partition 1 of topic a: nothing is committed") {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := a.plan(nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}
