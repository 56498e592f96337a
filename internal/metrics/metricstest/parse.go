// Package metricstest reads Prometheus' text format for tests, as strictly as Prometheus does and a little more: what it takes, every
// scraper takes. It owns no metric, and the program never uses it.
package metricstest

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// Samples maps a series as it stands in the text, such as up{job="x"}, to its value.
type Samples map[string]float64

// Sum adds up the series whose text begins with prefix.
func (s Samples) Sum(prefix string) (sum float64) {
	for series, v := range s {
		if strings.HasPrefix(series, prefix) {
			sum += v
		}
	}
	return sum
}

// Has says whether a series of the metric is there.
func (s Samples) Has(metric string) bool {
	for series := range s {
		name, _, _ := strings.Cut(series, "{")
		if name == metric || name == metric+"_count" {
			return true
		}
	}
	return false
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)+\})? (\S+)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$`)
	helpLine   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$`)
	bucket     = regexp.MustCompile(`,?le="([^"]*)"`)
)

// Parse reads a scrape. Each metric must be one block that begins with its help and type, no series may come twice, and the buckets of
// a histogram must be there, grow, and agree with its count.
func Parse(text string) (Samples, error) {
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the last line has no end")
	}
	samples, kinds := Samples{}, map[string]string{}
	help, metric := "", ""
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if m := helpLine.FindStringSubmatch(line); m != nil {
			help = m[1]
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if m[1] != help || kinds[m[1]] != "" {
				return nil, fmt.Errorf("line %d: %s has no help before its type, or comes again", n+1, m[1])
			}
			metric, kinds[m[1]] = m[1], m[2]
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d is no sample: %s", n+1, line)
		}
		name := m[1]
		if kinds[metric] == "histogram" {
			name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		}
		if name != metric {
			return nil, fmt.Errorf("line %d: %s stands in the block of %s", n+1, m[1], metric)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		series := m[1] + m[2]
		if _, again := samples[series]; again {
			return nil, fmt.Errorf("line %d: %s comes twice", n+1, series)
		}
		samples[series] = v
	}
	return samples, samples.histograms(kinds)
}

// histograms checks the buckets of every histogram.
func (s Samples) histograms(kinds map[string]string) error {
	type step struct{ le, n float64 }
	all := map[string][]step{}
	for series, v := range s {
		name, _, _ := strings.Cut(series, "{")
		base, is := strings.CutSuffix(name, "_bucket")
		if !is || kinds[base] != "histogram" {
			continue
		}
		le, err := strconv.ParseFloat(bucket.FindStringSubmatch(series)[1], 64)
		if err != nil {
			return fmt.Errorf("%s: %w", series, err)
		}
		rest := strings.Replace(bucket.ReplaceAllString(strings.TrimPrefix(series, name), ""), "{}", "", 1)
		all[base+"_count"+rest] = append(all[base+"_count"+rest], step{le, v})
	}
	for count, steps := range all {
		sort.Slice(steps, func(i, j int) bool { return steps[i].le < steps[j].le })
		for i := range steps[1:] {
			if steps[i].n > steps[i+1].n {
				return fmt.Errorf("%s: the buckets do not grow", count)
			}
		}
		if n, ok := s[count]; !ok || n != steps[len(steps)-1].n {
			return fmt.Errorf("%s is %v, its last bucket %v", count, n, steps[len(steps)-1].n)
		}
		if _, ok := s[strings.Replace(count, "_count", "_sum", 1)]; !ok {
			return fmt.Errorf("%s has no sum", count)
		}
	}
	return nil
}
