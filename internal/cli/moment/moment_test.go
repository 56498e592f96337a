package moment

import (
	"testing"
	"time"
)

func TestTime(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	for text, want := range map[string]string{
		"0":                             "1970-01-01T00:00:00Z",
		"1700000000000":                 "2023-11-14T22:13:20Z",
		"2026-01-31T15:04:05Z":          "2026-01-31T15:04:05Z",
		"2026-01-31T15:04:05.25+01:00":  "2026-01-31T14:04:05.25Z",
		"2026-01-31T15:04:05.000000001": "2026-01-31T13:04:05.000000001Z",
		"2026-01-31 15:04:05":           "2026-01-31T13:04:05Z",
		"2026-01-31T15:04":              "2026-01-31T13:04:00Z",
		"2026-01-31":                    "2026-01-30T22:00:00Z",
	} {
		got, err := Time(text, zone)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "noon", "2026-13-01", "1.5", "2026-01-31T25:00:00Z"} {
		if got, err := Time(text, zone); err == nil || err.Error() != "want "+Times {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "0s": 0, "7d": 168 * time.Hour, "0d": 0,
		"PT5M": 5 * time.Minute, "P1D": 24 * time.Hour, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond, "PT0S": 0,
	} {
		if got, err := Duration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "-2h", "1.5d", "-1d", "P", "PT", "P1DT", "P1Y", "PT-1H", "2h ", "P99999DT9999999H999999999M999999999S"} {
		if got, err := Duration(text); err == nil || err.Error() != "want "+Durations {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
