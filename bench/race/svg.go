package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// drawing collects the elements of an SVG. Charts are drawn in black, white and grey with lines and hatching, so that they
// can be printed, and without a style or script.
type drawing struct {
	width, height float64
	body          strings.Builder
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.body, format+"\n", args...) }

func (d *drawing) text(x, y float64, anchor, s string) {
	d.add(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(s))
}

func (d *drawing) line(x1, y1, x2, y2, width float64, dash string) {
	if dash != "" {
		dash = ` stroke-dasharray="` + dash + `"`
	}
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="black" stroke-width="%.1f"%s/>`, x1, y1, x2, y2, width, dash)
}

func (d *drawing) box(x, y, w, h float64, fill string) {
	d.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" stroke="black" stroke-width="0.7"/>`, x, y, max(w, 0), h, fill)
}

func (d *drawing) svg(title string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" font-family="sans-serif" font-size="12">
<title>%s</title>
<defs><pattern id="h" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="4" height="4" fill="white"/><line x1="0" y1="0" x2="0" y2="4" stroke="black" stroke-width="1"/></pattern></defs>
<rect width="%.0f" height="%.0f" fill="white"/>
%s</svg>
`, d.width, d.height, d.width, d.height, html.EscapeString(title), d.width, d.height, d.body.String())
}

const (
	margin    = 12.0
	nameWidth = 170.0
	rowHeight = 24.0
	dark      = "#777"
	hatched   = "url(#h)"
)

// mark is a bar of a ratio chart: a broker's ratio in a row.
type mark struct {
	q    ratio
	fill string
}

// ratioRow is a scenario in a ratio chart.
type ratioRow struct {
	name  string
	marks []mark
	asked float64 // where the bar of the table lies; none when 0
}

// panel draws rows of ratios to the right of x, on a scale that ends at the greatest of them, with a line at 1.
func (d *drawing) panel(x, width, y float64, title string, rows []ratioRow) {
	top := 1.2
	for _, row := range rows {
		top = max(top, row.asked)
		for _, m := range row.marks {
			top = max(top, m.q.high)
		}
	}
	step := 0.25
	for _, s := range []float64{0.25, 0.5, 1, 2, 5, 10, 20, 50} {
		if step = s; top/s <= 7 {
			break
		}
	}
	top = math.Ceil(top/step) * step
	at := func(v float64) float64 { return x + v/top*width }
	d.text(x, y+12, "start", title)
	y += 20
	end := y + rowHeight*float64(len(rows))
	for v := 0.0; v <= top+1e-9; v += step {
		d.line(at(v), end, at(v), end+4, 0.7, "")
		d.text(at(v), end+16, "middle", fmt.Sprintf("%g", v))
	}
	d.line(x, end, x+width, end, 0.7, "")
	for i, row := range rows {
		if len(row.marks) == 0 {
			continue
		}
		h := (rowHeight - 8) / float64(len(row.marks))
		for k, m := range row.marks {
			if m.q.rounds == 0 {
				continue
			}
			upper := y + rowHeight*float64(i) + 4 + h*float64(k)
			d.box(x, upper, at(m.q.value)-x, h, m.fill)
			if m.q.rounds > 1 {
				middle := upper + h/2
				d.line(at(m.q.low), middle, at(m.q.high), middle, 1.2, "")
				d.line(at(m.q.low), middle-3, at(m.q.low), middle+3, 1.2, "")
				d.line(at(m.q.high), middle-3, at(m.q.high), middle+3, 1.2, "")
			}
		}
		if row.asked > 0 {
			d.line(at(row.asked), y+rowHeight*float64(i)+1, at(row.asked), y+rowHeight*float64(i+1)-1, 3, "")
		}
	}
	d.line(at(1), y, at(1), end, 1, "3 3")
}

// ratioChart has a panel for rates and one for CPU.
func ratioChart(title, legend string, rates, cpus []ratioRow) string {
	d := &drawing{width: 760, height: 82 + rowHeight*float64(len(rates))}
	d.text(margin, 18, "start", title)
	d.text(margin, 34, "start", legend)
	for i, row := range rates {
		d.text(nameWidth-6, 40+20+rowHeight*float64(i)+rowHeight/2+4, "end", row.name)
	}
	half := (d.width - nameWidth - margin*3) / 2
	d.panel(nameWidth, half, 40, "rate, times Kafka's: longer is better", rates)
	d.panel(nameWidth+half+margin*2, half, 40, "broker CPU per GB, times Kafka's: shorter is better", cpus)
	return d.svg(title)
}

// latencyRow is a broker's latencies in a scenario, in microseconds.
type latencyRow struct {
	scenario, broker string
	p50, p99         float64
	fill             string
}

// latencyChart draws p50 and p99 on a logarithmic scale.
func latencyChart(title string, rows []latencyRow) string {
	low, high := math.Inf(1), 0.0
	for _, row := range rows {
		low, high = min(low, row.p50), max(high, row.p99)
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	const x = 250.0
	d := &drawing{width: 760, height: 90 + rowHeight*float64(len(rows))}
	width := d.width - x - margin*3
	at := func(us float64) float64 { return x + (math.Log10(us)-from)/(to-from)*width }
	d.text(margin, 18, "start", title)
	d.text(margin, 34, "start", "from p50 (left end) to p99 (right end); shorter and further left is better; the scale is logarithmic")
	y := 46.0
	end := y + rowHeight*float64(len(rows))
	for e := from; e <= to; e++ {
		for _, k := range []float64{1, 2, 5} {
			if us := k * math.Pow(10, e); e < to || k == 1 {
				d.line(at(us), end, at(us), end+4, 0.7, "")
				d.text(at(us), end+16, "middle", latency(us))
			}
		}
		d.line(at(math.Pow(10, e)), y, at(math.Pow(10, e)), end, 0.5, "2 4")
	}
	d.line(x, end, x+width, end, 0.7, "")
	before := ""
	for i, row := range rows {
		top := y + rowHeight*float64(i)
		if row.scenario != before {
			if before != "" {
				d.line(margin, top, x+width, top, 0.4, "")
			}
			d.text(margin, top+rowHeight/2+4, "start", row.scenario)
			before = row.scenario
		}
		d.text(x-6, top+rowHeight/2+4, "end", row.broker)
		d.box(at(row.p50), top+6, at(row.p99)-at(row.p50), rowHeight-12, row.fill)
	}
	return d.svg(title)
}
