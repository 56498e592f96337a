package log

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

// dumped runs "moldau log dump" and returns what it prints.
func dumped(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := Command()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetOut(&out)
	c.SetArgs(append([]string{"dump"}, args...))
	err := c.Execute()
	return out.String(), err
}

// The directory was written by Kafka 4.4.0: a batch of each codec, one without a producer id, an aborted and a committed
// transaction.
func TestDumpKafkasPartition(t *testing.T) {
	got, err := dumped(t, "--records", "testdata/kafka-4.4.0/dump-0")
	if err != nil {
		t.Fatal(err)
	}
	got = strings.ReplaceAll(got, "\\", "/")
	const golden = "testdata/kafka-4.4.0/dump-0.golden"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s", got)
	}
}

const segmentFile = "testdata/kafka-4.4.0/dump-0/00000000000000000000.log"

// write puts a changed copy of Kafka's segment into a file.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDumpOfDamage(t *testing.T) {
	whole, err := os.ReadFile(segmentFile)
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := record.Next(whole)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name       string
		data       []byte
		out, error string
	}{
		{"zeros", append(bytes.Clone(whole), make([]byte, 100_000)...), "10 batches, 17 records, 1550 bytes\n100000 zeros follow\n", ""},
		{"few zeros", append(bytes.Clone(whole), 0, 0, 0), "3 zeros follow\n", ""},
		{"cut", whole[:1500], "stopped at position 1472, 28 bytes not read\n", "position 1472: a batch of 78 bytes, 28 bytes to the end of the file"},
		{"cut in the length", whole[:1480], "9 batches, 16 records, 1472 bytes\n", "position 1472: no batch"},
		{"flipped bit", flipped, "control  DAMAGED: ", "position 1472: "},
		{"offset goes back", append(bytes.Clone(whole), first...), "DAMAGED: offset 0 after 16\n", "position 1550: offset 0 after 16"},
		{"no log", []byte("what is this, a text of a hundred letters? no, of less, but it has to be long enough"), "stopped at position 0", "position 0: "},
		{"empty", nil, "0 batches, 0 records, 0 bytes\n", ""},
	} {
		out, err := dumped(t, write(t, "00000000000000000000.log", c.data))
		if !strings.Contains(out, c.out) {
			t.Errorf("%s: printed %s", c.name, out)
		}
		if (err == nil) != (c.error == "") || err != nil && !strings.Contains(err.Error(), c.error) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func TestDumpOfOtherDamage(t *testing.T) {
	snapshot, err := os.ReadFile("testdata/kafka-4.4.0/dump-0/00000000000000000017.snapshot")
	if err != nil {
		t.Fatal(err)
	}
	snapshot[len(snapshot)-1] ^= 1
	for name, c := range map[string]struct {
		data  []byte
		error string
	}{
		"00000000000000000017.snapshot":         {snapshot, "checksum"},
		"00000000000000000000.index":            {[]byte{0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 0, 3, 0, 0, 2, 0}, "breaks the rules"},
		"00000000000000000000.timeindex":        {[]byte{1, 2, 3}, "breaks the rules"},
		"0.index":                               {nil, "not an offset of 20 digits"},
		"00000000000000000000.txnindex":         {[]byte{0, 1}, "entry 0 is cut"},
		"leader-epoch-checkpoint":               {[]byte("0\n2\n1 5\n"), "line 2 says \"2\" entries, there are 1"},
		"0.journal":                             {make([]byte, 8192), "not a journal"},
		"picture":                               {[]byte{1, 0, 2}, "not a file of a log"},
		"00000000000000000017.snapshot.deleted": {snapshot, "checksum"},
	} {
		if _, err := dumped(t, write(t, name, c.data)); err == nil || !strings.Contains(err.Error(), c.error) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := dumped(t, filepath.Join(t.TempDir(), "nothing.log")); err == nil || !strings.HasPrefix(err.Error(), "dump: stat ") {
		t.Errorf("error %v", err)
	}
}

// What the journal's own writer wrote is read by the second decoder here.
func TestDumpOfJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	directory := uuid.UUID{1, 2, 3}
	scan, err := journal.Open(vfs.OS, dir, directory)
	if err != nil {
		t.Fatal(err)
	}
	w := journal.NewWriter(journal.Options{FS: vfs.OS, Clock: clock.Real, Dir: dir, Directory: directory}, scan)
	b := record.NewBuilder(record.Compression{})
	b.BaseOffset = 7
	b.Append(record.Record{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 5000)})
	batch := b.Build()
	orders := journal.LogID{Topic: "orders", TopicID: uuid.UUID{9}, Partition: 3}
	if _, err := w.Append(orders, func(dst []byte) ([]byte, int64, error) { return append(dst, batch...), 7, nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Settle(orders)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := dumped(t, "--records", filepath.Join(dir, "0.journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"journal of directory " + directory.String() + "  sequence 1  oldest needed",
		"group 0  position 4096  entries 1  ",
		"  append  orders-3  id " + orders.TopicID.String() + "  base offset 7  ",
		"    batch(offsets=[7, 7], count=1, ",
		"group 1  position 12288  entries 1  ",
		"  settle  orders-3  id ",
		"2 groups, the last one ends at 16384\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
