package main

import (
	"fmt"
	"io"
	"time"
)

// bar is what Moldau may take at most.
const (
	barStart      = 25 * time.Millisecond
	barIdleCPU    = 0.2 // per cent of a core
	barIdleRSS    = 25e6
	barConnection = 8 << 10
	barAll        = 100e6 // the whole process with 10,000 of them
)

// printTable prints the figures with the bars beside them, and returns how many bars Moldau misses.
func printTable(w io.Writer, o options, columns []*figures) (missed int) {
	row := func(what, bar string, met func(*figures) bool, cell func(*figures) string) {
		fmt.Fprintf(w, "| %s | %s |", what, bar)
		for i, f := range columns {
			text := cell(f)
			if i == 0 && met != nil && !met(f) {
				missed++
				text += " MISSED"
			}
			fmt.Fprintf(w, " %s |", text)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "| | bar |")
	for _, f := range columns {
		fmt.Fprintf(w, " %s |", f.name)
	}
	fmt.Fprint(w, "\n| --- | --- |")
	for range columns {
		fmt.Fprint(w, " --- |")
	}
	fmt.Fprintln(w)
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	each := func(p perConnection) string { return fmt.Sprintf("%d B", p.bytes) }
	if o.starts > 0 {
		row("start on an empty directory to the first answer", "25 ms", func(f *figures) bool { return f.start <= barStart },
			func(f *figures) string { return fmt.Sprintf("%.1f ms%s", ms(f.start), f.starts) })
	}
	row(fmt.Sprintf("CPU when idle, over %v", o.idle), "0.2 % of a core", func(f *figures) bool { return f.idleCPU <= barIdleCPU },
		func(f *figures) string { return fmt.Sprintf("%.3f %%", f.idleCPU) })
	row("RSS when idle", "25 MB", func(f *figures) bool { return f.rss <= barIdleRSS }, func(f *figures) string { return mb(f.rss) })
	row("threads; goroutines", "", nil, func(f *figures) string {
		if f.goroutines < 0 {
			return fmt.Sprintf("%d; -", f.threads)
		}
		return fmt.Sprintf("%d; %d", f.threads, f.goroutines)
	})
	if o.connections == 0 {
		return missed
	}
	n := o.connections
	row(fmt.Sprintf("each of %d connections after ApiVersions and Metadata", n), "8 KiB", func(f *figures) bool { return f.silent.bytes <= barConnection },
		func(f *figures) string { return each(f.silent) })
	row(fmt.Sprintf("RSS with those %d", n), "100 MB with 10,000", func(f *figures) bool { return n > 10_000 || f.silent.rss <= barAll },
		func(f *figures) string { return mb(f.silent.rss) })
	row("each after a produce and a fetch too", "8 KiB", func(f *figures) bool { return f.used.bytes <= barConnection }, func(f *figures) string { return each(f.used) })
	row("RSS then", "100 MB with 10,000", func(f *figures) bool { return n > 10_000 || f.used.rss <= barAll }, func(f *figures) string { return mb(f.used.rss) })
	row("RSS when they are closed", "", nil, func(f *figures) string { return mb(f.closed) })
	return missed
}
