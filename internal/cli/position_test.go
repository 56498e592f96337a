package cli

import (
	"strings"
	"testing"
	"time"
)

func TestParsePosition(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, zone)
	at := func(text string) position {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return position{kind: fromTime, at: v}
	}
	for text, want := range map[string]position{
		"start":                    {kind: fromStart},
		"earliest":                 {kind: fromStart},
		"latest":                   {kind: fromEnd},
		"end":                      {kind: fromEnd},
		"0":                        {kind: fromOffset},
		"1234567890123":            {kind: fromOffset, offset: 1234567890123},
		"-7":                       {kind: beforeEnd, offset: 7},
		"@90s":                     at("2026-03-04T05:04:37+02:00"),
		"@2h":                      at("2026-03-04T03:06:07+02:00"),
		"@7d":                      at("2026-02-25T05:06:07+02:00"),
		"@1700000000000":           at("2023-11-14T22:13:20Z"),
		"@2026-01-31T15:04:05Z":    at("2026-01-31T15:04:05Z"),
		"@2026-01-31T15:04:05.25Z": at("2026-01-31T15:04:05.25Z"),
		"@2026-01-31 15:04:05":     at("2026-01-31T15:04:05+02:00"),
		"@2026-01-31T15:04":        at("2026-01-31T15:04:00+02:00"),
		"@2026-01-31":              at("2026-01-31T00:00:00+02:00"),
	} {
		got, err := parsePosition(text, now)
		if err != nil || got.kind != want.kind || got.offset != want.offset || !got.at.Equal(want.at) {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "begin", "1.5", "@", "@-2h", "@noon", "first", "@2026-13-01"} {
		if _, err := parsePosition(text, now); err == nil || !strings.HasPrefix(err.Error(), "--from "+text+": want ") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
