package log

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func verified(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := Command()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetOut(&out)
	c.SetArgs(append([]string{"verify"}, args...))
	err := c.Execute()
	return out.String(), err
}

// TestVerify checks Kafka's directory, and copies of it with a bit flipped in each file.
func TestVerify(t *testing.T) {
	const whole = "testdata/kafka-4.4.0/dump-0"
	if out, err := verified(t, whole); err != nil || !strings.Contains(out, "1 segments, 10 batches, 17 records, 1550 bytes: 0 damaged places\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	entries, err := os.ReadDir(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at   int64
		want string
	}{
		"00000000000000000000.log":       {300, "DAMAGED  "},
		"00000000000000000017.snapshot":  {20, "checksum"},
		"00000000000000000000.timeindex": {11, ""},
		"00000000000000000000.txnindex":  {1, "of another version"},
		"leader-epoch-checkpoint":        {0, ""},
	} {
		dir := filepath.Join(t.TempDir(), "dump-0")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(whole, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if e.Name() == name && int64(len(data)) > c.at {
				data[c.at] ^= 4
				found = true
			}
			if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := verified(t, filepath.Dir(dir))
		if !found {
			t.Errorf("there is no %s of more than %d bytes", name, c.at)
		}
		if err == nil || !strings.Contains(out, name) || !strings.Contains(out, c.want) || strings.Contains(out, ": 0 damaged places") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.HasSuffix(name, ".log") && !strings.Contains(out, "position ") {
			t.Errorf("%s: no position in\n%s", name, out)
		}
	}
}
