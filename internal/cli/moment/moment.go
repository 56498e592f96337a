// Package moment reads times and durations as people and Kafka's tools write them. It owns the notations and never asks for
// the time of day.
package moment

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What the notations are, for messages.
const (
	Times     = "a time such as 2026-01-31T15:04:05Z, or milliseconds since 1970"
	Durations = "how long, such as 90s, 2h, 7d or P1DT2H"
)

// Ways to write a time; without a zone it is local.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// Time reads a time, or milliseconds since 1970.
func Time(text string, local *time.Location) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return time.UnixMilli(ms), nil
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("want " + Times)
}

// iso is the ISO 8601 notation of Kafka's tools: days, hours, minutes and seconds.
var iso = regexp.MustCompile(`^P(?:(\d{1,5})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?$`)

// Duration reads Go's notation (1h30m), days (7d), or ISO 8601 (PT1H30M). A day has 24 hours. It is never negative.
func Duration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if parts := iso.FindStringSubmatch(text); parts != nil && !strings.HasSuffix(text, "P") && !strings.HasSuffix(text, "T") {
		var sum float64
		for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
			if n, err := strconv.ParseFloat(parts[i+1], 64); err == nil {
				sum += n * float64(unit)
			}
		}
		if sum <= float64(1<<63-1024) {
			return time.Duration(sum), nil
		}
	}
	return 0, errors.New("want " + Durations)
}
