package cluster

import (
	"fmt"
	"io"
	"time"

	"github.com/moldau/moldau/internal/cli/output"
)

// print prints the report; of the partitions in a bad state the worst ones, or with top 0 all.
func (r *report) print(w io.Writer, format output.Format, top int, now time.Time) error {
	if format == output.JSON {
		return output.Document(w, r)
	}
	ill := r.Problems
	if top > 0 && len(ill) > top {
		ill = ill[:top]
	}
	first := true
	for _, part := range []struct {
		word string // of a line for programs
		list output.List
	}{{"cluster", r.head()}, {"broker", r.brokerList()}, {"member", r.memberList(now)}, {"partition", illList(ill)}} {
		if len(part.list.Rows) == 0 {
			continue
		}
		if format == output.Plain {
			for i := range part.list.Rows {
				part.list.Rows[i] = append([]string{part.word}, part.list.Rows[i]...)
			}
		} else if !first {
			fmt.Fprintln(w)
		}
		first = false
		if err := part.list.Print(w, format); err != nil {
			return err
		}
	}
	if more := len(r.Problems) - len(ill); more > 0 && format == output.Table {
		fmt.Fprintf(w, "and %d more, which --top 0 shows\n", more)
	}
	return nil
}

func (r *report) head() output.List {
	bad := func(cell string) output.Style {
		if cell == "0" {
			return output.Good
		}
		return output.Bad
	}
	away := 0
	for _, b := range r.Brokers {
		if b.State != serving {
			away++
		}
	}
	p := r.Partitions
	return output.List{
		Heading: []string{"CLUSTER", "CONTROLLER", "BROKERS", "FENCED OR GONE", "TOPICS", "PARTITIONS", "UNDER-REPLICATED", "UNDER MIN ISR", "OFFLINE"},
		Rows: [][]string{{output.Text(r.Cluster), node(r.Controller), fmt.Sprint(len(r.Brokers)), fmt.Sprint(away), fmt.Sprint(r.Topics),
			fmt.Sprint(p.Total), fmt.Sprint(p.UnderReplicated), fmt.Sprint(p.UnderMinISR), fmt.Sprint(p.Offline)}},
		Styles: map[int]func(string) output.Style{3: bad, 6: bad, 7: bad, 8: bad},
	}
}

func (r *report) brokerList() output.List {
	list := output.List{Heading: []string{"BROKER", "ADDRESS", "RACK", "STATE", "CONTROLLER", "LEADS", "REPLICAS", "IN SYNC"},
		Styles: map[int]func(string) output.Style{3: func(cell string) output.Style {
			if cell == serving {
				return output.Good
			}
			return output.Bad
		}}}
	for _, b := range r.Brokers {
		address, controller := "-", "-"
		if b.Host != "" {
			address = fmt.Sprintf("%s:%d", b.Host, b.Port)
		}
		if b.Controller {
			controller = "yes"
		}
		list.Rows = append(list.Rows, []string{fmt.Sprint(b.ID), address, output.Text(b.Rack), b.State, controller, fmt.Sprint(b.Leads), fmt.Sprint(b.Replicas), fmt.Sprint(b.InSync)})
	}
	return list
}

func (r *report) memberList(now time.Time) output.List {
	list := output.List{Heading: []string{"NODE", "QUORUM", "ADDRESS", "LOG END", "LAG", "HEARD", "LEVEL"}}
	if r.Quorum == nil {
		return list
	}
	add := func(members []memberView, role string) {
		for _, m := range members {
			is := role
			if m.ID == r.Quorum.Leader {
				is = "leader"
			}
			list.Rows = append(list.Rows, []string{fmt.Sprint(m.ID), is, output.Text(m.Address), fmt.Sprint(m.End), fmt.Sprint(m.Lag), ago(m.Heard, now), ago(m.CaughtUp, now)})
		}
	}
	add(r.Quorum.Voters, "voter")
	add(r.Quorum.Observers, "observer")
	return list
}

func illList(ill []illPartition) output.List {
	list := output.List{Heading: []string{"PROBLEM", "TOPIC", "PARTITION", "LEADER", "REPLICAS", "ISR", "MIN ISR", "ELR", "LAST ELR"},
		Styles: map[int]func(string) output.Style{0: func(cell string) output.Style {
			if cell == underReplicated {
				return output.Warn
			}
			return output.Bad
		}}}
	for _, p := range ill {
		least := "-"
		if p.MinISR > 0 {
			least = fmt.Sprint(p.MinISR)
		}
		list.Rows = append(list.Rows, []string{p.Problem, p.Topic, fmt.Sprint(p.Partition), node(p.Leader), output.Numbers(p.Replicas), output.Numbers(p.ISR),
			least, output.Numbers(p.ELR), output.Numbers(p.LastKnownELR)})
	}
	return list
}

// node is an id, or "-" for none.
func node(id int32) string {
	if id < 0 {
		return "-"
	}
	return fmt.Sprint(id)
}

// ago says how long ago a time of the leader's clock is, which may differ from ours.
func ago(ms int64, now time.Time) string {
	if ms < 0 {
		return "-"
	}
	d := max(now.Sub(time.UnixMilli(ms)), 0)
	unit := time.Millisecond
	if d >= time.Minute {
		unit = time.Second
	} else if d >= time.Second {
		unit = 100 * time.Millisecond
	}
	return d.Round(unit).String() + " ago"
}
