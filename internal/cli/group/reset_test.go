package group

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestParseChoices(t *testing.T) {
	got, err := parseChoices([]string{"orders", "a.b:0,12,3"})
	if err != nil || len(got) != 2 || got[0].topic != "orders" || got[0].partitions != nil || got[1].topic != "a.b" || !slices.Equal(got[1].partitions, []int32{0, 12, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", ":1", "a:", "a:x", "a:-1", "a:1,", "a:1:2", "a:4294967296"} {
		if _, err := parseChoices([]string{bad}); err == nil || err.Error() != "--topic "+bad+": want TOPIC or TOPIC:PARTITION[,PARTITION]" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := parseChoices([]string{"a:1", "a"}); err == nil || err.Error() != "--topic a: topic a is named twice" {
		t.Error(err)
	}
}

func TestAim(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "offsets.csv")
	if err := os.WriteFile(path, []byte("orders,0,5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	aimOf := func(args ...string) (aim, error) {
		var f resetFlags
		c := &cobra.Command{}
		f.add(c.Flags())
		c.SetIn(strings.NewReader("returns,1,6\n"))
		if err := c.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		return f.aim(c, "g", now)
	}
	for line, want := range map[string]aim{
		"--to-earliest":                  {kind: toEarliest},
		"--to-latest":                    {kind: toLatest},
		"--to-current":                   {kind: toCurrent},
		"--to-offset 0":                  {kind: toOffset},
		"--to-offset 77":                 {kind: toOffset, offset: 77},
		"--shift -3":                     {kind: shift, offset: -3},
		"--to-time 2026-01-01T00:00:00Z": {kind: toTime, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		"--to-time 1767225600000":        {kind: toTime, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		"--by-duration PT1H":             {kind: toTime, at: now.Add(-time.Hour)},
		"--by-duration 90m":              {kind: toTime, at: now.Add(-90 * time.Minute)},
		"--from-file " + path:            {kind: fromFile, file: map[place]int64{{"orders", 0}: 5}},
		"--from-file -":                  {kind: fromFile, file: map[place]int64{{"returns", 1}: 6}},
	} {
		got, err := aimOf(strings.Fields(line)...)
		if err != nil || got.kind != want.kind || got.offset != want.offset || !got.at.Equal(want.at) || len(got.file) != len(want.file) {
			t.Errorf("%s: %+v, %v; want %+v", line, got, err, want)
		}
		for at, offset := range want.file {
			if o, ok := got.file[at]; !ok || o != offset {
				t.Errorf("%s: %v", line, got.file)
			}
		}
	}
	for line, want := range map[string]string{
		"":                            "want one of --to-earliest, --to-latest, --to-current, --to-offset, --to-time, --by-duration, --shift, --from-file; there are 0",
		"--to-earliest --to-latest":   "want one of --to-earliest, --to-latest, --to-current, --to-offset, --to-time, --by-duration, --shift, --from-file; there are 2",
		"--to-earliest=false":         "--to-earliest=false: want one of",
		"--to-time noon":              "--to-time noon: want a time",
		"--by-duration 1y":            "--by-duration 1y: want how long",
		"--from-file /no/such":        "read offsets: open /no/such",
		"--from-file - --topic other": "--from-file: the file says which partitions; leave out --topic",
	} {
		if got, err := aimOf(strings.Fields(line)...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
}

func TestPick(t *testing.T) {
	committed := kadm.OffsetResponses{}
	for p := range int32(3) {
		committed.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "orders", Partition: p, At: int64(10 + p)}})
	}
	got, err := pick(committed, []choice{{topic: "orders"}})
	if err != nil || !slices.Equal(got, []deletedOffset{{"orders", 0, 10}, {"orders", 1, 11}, {"orders", 2, 12}}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = pick(committed, []choice{{"orders", []int32{2}}}); err != nil || !slices.Equal(got, []deletedOffset{{"orders", 2, 12}}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, c := range []choice{{topic: "returns"}, {"orders", []int32{1, 9}}} {
		if got, err := pick(committed, []choice{c}); err == nil || !strings.HasPrefix(err.Error(), "it has committed nothing for ") {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
}
