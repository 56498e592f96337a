package metrics

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moldau/moldau/internal/invariant"
)

// ContentType is that of the text format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Scrape collects the samples of one moment. They may come in any order; the text has them metric by metric, as the format demands.
type Scrape struct {
	samples [][]byte // by place in Table
}

// NewScrape returns a scrape without samples.
func NewScrape() *Scrape { return &Scrape{samples: make([][]byte, len(Table))} }

// Value adds one sample. There is one value for each label of the metric, in their order.
func (s *Scrape) Value(m *Metric, value float64, labels ...string) {
	s.sample(m, "", "", value, labels)
}

// Count is Value for an integer.
func (s *Scrape) Count(m *Metric, n int64, labels ...string) { s.Value(m, float64(n), labels...) }

// Histogram adds the samples of one histogram.
func (s *Scrape) Histogram(m *Metric, h *Histogram, labels ...string) {
	n := int64(0)
	for i := range h.buckets {
		n += h.buckets[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = format(bounds[i].Seconds())
		}
		s.sample(m, "_bucket", le, float64(n), labels)
	}
	s.sample(m, "_sum", "", time.Duration(h.nanos.Load()).Seconds(), labels)
	s.sample(m, "_count", "", float64(n), labels)
}

func (s *Scrape) sample(m *Metric, suffix, le string, value float64, labels []string) {
	invariant.Check(len(labels) == len(m.Labels), "%s has %d labels, not %d", m.Name, len(m.Labels), len(labels))
	b := append(append(s.samples[m.place], m.Name...), suffix...)
	sep := byte('{')
	label := func(name, value string) {
		b = append(append(append(b, sep), name...), `="`...)
		b = append(append(b, escapeLabel.Replace(strings.ToValidUTF8(value, "\uFFFD"))...), '"')
		sep = ','
	}
	for i, v := range labels {
		label(m.Labels[i], v)
	}
	if le != "" {
		label("le", le)
	}
	if sep == ',' {
		b = append(b, '}')
	}
	b = append(append(b, ' '), format(value)...)
	s.samples[m.place] = append(b, '\n')
}

var (
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// format prints whole numbers without an exponent, as long as they are exact.
func format(v float64) string {
	if v == float64(int64(v)) && v < 1<<53 && v > -1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Text returns all samples in the text format. A metric without a sample is left out.
func (s *Scrape) Text() []byte {
	var b []byte
	for i, m := range Table {
		if len(s.samples[i]) > 0 {
			b = fmt.Appendf(b, "# HELP %s %s\n# TYPE %s %s\n", m.Name, escapeHelp.Replace(m.Help), m.Name, m.Kind)
			b = append(b, s.samples[i]...)
		}
	}
	return b
}
