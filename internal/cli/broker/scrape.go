package broker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read of an admin listener, whatever answers there.
const (
	scrapeTimeout = 15 * time.Second
	scrapeMax     = 256 << 20
)

// series is one line of a scrape: a metric with its labels, and its value.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// scrape is what a broker told of itself at one moment.
type scrape struct {
	at  time.Time
	all []series
}

// value is the sum of a metric's series, and whether there is one.
func (s scrape) value(name string) (sum float64, ok bool) {
	for _, one := range s.all {
		if one.name == name {
			sum, ok = sum+one.value, true
		}
	}
	return sum, ok
}

// by sums a metric's series by the values of some labels, which are put together with a tab.
func (s scrape) by(name string, labels ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, one := range s.all {
		if one.name != name {
			continue
		}
		var key []string
		for _, l := range labels {
			key = append(key, one.labels[l])
		}
		sums[strings.Join(key, "\t")] += one.value
	}
	return sums
}

// get asks an admin listener for a path.
func get(ctx context.Context, address, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask http://%s%s: %w", address, path, err)
	}
	// Its own transport: proxies of the environment have no business between an operator and a broker.
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, nil, err // it names the address
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, scrapeMax))
	return resp.StatusCode, body, err
}

// take takes a scrape.
func take(ctx context.Context, address string) (scrape, error) {
	status, body, err := get(ctx, address, "/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("ask http://%s/metrics: status %d: %.200s", address, status, bytes.TrimSpace(body))
	}
	if err != nil {
		return scrape{}, err
	}
	s := scrape{at: time.Now()}
	if s.all, err = parse(body); err != nil {
		return scrape{}, fmt.Errorf("read http://%s/metrics: %w", address, err)
	}
	return s, nil
}

// parse reads Prometheus' text format as far as brokers write it: comments, and lines of a name, labels and a value.
func parse(text []byte) ([]series, error) {
	var all []series
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		one, err := parseLine(line)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, lines.Err()
}

func parseLine(line string) (series, error) {
	bad := fmt.Errorf("no metric: %.100q", line)
	one := series{labels: map[string]string{}}
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return one, bad
	}
	one.name = line[:end]
	rest := line[end:]
	if rest[0] == '{' {
		for rest = rest[1:]; ; {
			if strings.HasPrefix(rest, "}") {
				rest = rest[1:]
				break
			}
			name, quoted, ok := strings.Cut(rest, "=")
			if !ok {
				return one, bad
			}
			value, err := strconv.QuotedPrefix(quoted)
			if err != nil {
				return one, bad
			}
			if one.labels[name], err = strconv.Unquote(value); err != nil {
				return one, bad
			}
			rest = strings.TrimPrefix(quoted[len(value):], ",")
		}
	}
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a time may follow
	var err error
	if one.value, err = strconv.ParseFloat(value, 64); err != nil {
		return one, bad
	}
	return one, nil
}
