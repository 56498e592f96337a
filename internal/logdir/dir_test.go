package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

func mustOpen(t *testing.T, opts Options) *Dir {
	t.Helper()
	d, err := Open(opts)
	must(t, err)
	return d
}

func names(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func writeFile(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	must(t, fsys.MkdirAll(filepath.Dir(name), 0o755))
	must(t, vfs.WriteFileAtomic(fsys, name, []byte(content)))
}

func readFile(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name)
	must(t, err)
	return string(b)
}

func TestRefusesKafkaMetadata(t *testing.T) {
	mem := vfs.NewMem()
	must(t, mem.MkdirAll(filepath.Join(root, kafkaMetadataDir), 0o755))
	touched := vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind.Changes() {
			t.Errorf("%s of %s", op.Kind, op.Name)
		}
		return nil
	})
	if _, err := Open(options(touched)); !errors.Is(err, ErrKafkaMetadata) {
		t.Fatalf("open: %v", err)
	}
}

func TestRefusesAFile(t *testing.T) {
	mem := vfs.NewMem()
	must(t, vfs.WriteFileAtomic(mem, root, []byte("no directory")))
	if _, err := Open(options(mem)); !errors.Is(err, ErrNotDirectory) {
		t.Errorf("open: %v", err)
	}
	if _, err := ReadClusterID(mem, root); !errors.Is(err, ErrNotDirectory) {
		t.Errorf("read the cluster id: %v", err)
	}
}

func TestReadClusterID(t *testing.T) {
	mem := vfs.NewMem()
	if id, err := ReadClusterID(mem, root); id != "" || err != nil {
		t.Errorf("no directory: %q, %v", id, err)
	}
	must(t, mustOpen(t, options(mem)).Close())
	if id, err := ReadClusterID(mem, root); id != "test-cluster" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	must(t, vfs.WriteFileAtomic(mem, filepath.Join(root, metaFile), []byte("version=1\n")))
	if id, err := ReadClusterID(mem, root); err == nil {
		t.Errorf("a damaged file: %q", id)
	}
}

func TestIdentity(t *testing.T) {
	mem := vfs.NewMem()
	opts := options(mem)
	opts.ClusterID = ""
	d := mustOpen(t, opts)
	id, cluster := d.ID(), d.ClusterID()
	if id.IsZero() || cluster == "" {
		t.Fatalf("id %s, cluster %q", id, cluster)
	}
	if _, err := Open(opts); !errors.Is(err, ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	must(t, d.Close())
	want := fmt.Sprintf("#\nversion=1\ncluster.id=%s\nnode.id=7\ndirectory.id=%s\n", cluster, id)
	if got := readFile(t, mem, filepath.Join(root, metaFile)); got != want {
		t.Fatalf("meta.properties is\n%s", got)
	}
	opts.NodeID = 8
	if _, err := Open(opts); !errors.Is(err, ErrWrongNode) {
		t.Fatalf("opened by node 8: %v", err)
	}
	opts.NodeID, opts.ClusterID = 7, "another"
	if _, err := Open(opts); !errors.Is(err, ErrWrongNode) {
		t.Fatalf("opened by another cluster: %v", err)
	}
	opts.ClusterID = cluster
	d = mustOpen(t, opts)
	if d.ID() != id {
		t.Fatal("the directory id changed")
	}
	must(t, d.Close())
}

// TestKafkasMeta reads what Kafka's storage tool writes, and what it wrote before directories had ids.
func TestKafkasMeta(t *testing.T) {
	for _, text := range []string{
		"#\n#Wed Nov 25 09:36:00 UTC 2026\nnode.id=7\ndirectory.id=0Cyc4u3pQs2ZBrFTLyUuVw\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n",
		"node.id=7\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n",
	} {
		mem := vfs.NewMem()
		writeFile(t, mem, filepath.Join(root, metaFile), text)
		opts := options(mem)
		opts.ClusterID = ""
		d := mustOpen(t, opts)
		if d.ClusterID() != "MkU3OEVBNTcwNTJENDM2Qk" || d.ID().IsZero() {
			t.Fatalf("cluster %s, directory %s", d.ClusterID(), d.ID())
		}
		must(t, d.Close())
	}
}

func TestCheckpointFormat(t *testing.T) {
	text := "0\n2\norders 0 42\norders 11 7\n"
	got := string(encodeCheckpoint([]Offset{{"orders", 0, 42}, {"orders", 11, 7}}))
	if got != text {
		t.Fatalf("encoded as %q", got)
	}
	m, err := decodeCheckpoint([]byte(text))
	if err != nil || len(m) != 2 || m[partitionKey{"orders", 11}] != 7 {
		t.Fatalf("%v, %v", m, err)
	}
	for _, bad := range []string{"", "1\n0\n", "0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na x 1\n", "0\n1\na 0 -1\n", "0\n1\na 0 1\nb 0 1\n"} {
		if m, err := decodeCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, m)
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("0\n1\norders 0 42\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		var offsets []Offset
		for k, o := range m {
			offsets = append(offsets, Offset{k.topic, k.partition, o})
		}
		again, err := decodeCheckpoint(encodeCheckpoint(offsets))
		if err != nil || len(again) != len(m) {
			t.Fatalf("decode, encode, decode: %v, %v", again, err)
		}
	})
}

func TestDirNames(t *testing.T) {
	for name, want := range map[string]string{"orders-0": "orders/0", "a-b-12": "a-b/12", "orders": "", "-1": "", "orders-": "",
		"orders-01": "", "orders-x": "", "orders--1": "orders-/1", "orders-0.0123-delete": "", "orders-99999999999": ""} {
		topic, partition, ok := parseDirName(name)
		got := ""
		if ok {
			got = fmt.Sprintf("%s/%d", topic, partition)
		}
		if got != want {
			t.Errorf("%s is read as %q, want %q", name, got, want)
		}
	}
}

// TestCleanStop: the files are what Kafka leaves, nothing is scanned, and the start takes the mark away.
func TestCleanStop(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	w.d.SetBrokerEpoch(12)
	for i := range 5 {
		must(t, w.append(i%2, 400, 1, true, true))
	}
	w.d.SetHighWatermarks(slices.Values([]Offset{{"topic-0", 0, 3}, {"topic-1", 1, 2}}))
	must(t, w.d.Close())
	want := []string{cleanFile, lockFile, metaFile, restFile, recoveryPointFile, highWatermarkFile, "topic-0-0", "topic-1-1"}
	slices.Sort(want)
	if got := names(t, mem, root); !slices.Equal(got, want) {
		t.Fatalf("files %v, want %v", got, want)
	}
	if got := readFile(t, mem, filepath.Join(root, recoveryPointFile)); got != "0\n2\ntopic-0 0 3\ntopic-1 1 2\n" {
		t.Fatalf("recovery points %q", got)
	}
	if got := readFile(t, mem, filepath.Join(root, highWatermarkFile)); got != "0\n2\ntopic-0 0 3\ntopic-1 1 2\n" {
		t.Fatalf("high watermarks %q", got)
	}
	if got := readFile(t, mem, filepath.Join(root, cleanFile)); got != `{"version":0,"brokerEpoch":12}` {
		t.Fatalf("clean shutdown file %q", got)
	}
	disk := mem.Crash(vfs.LoseUnsynced, 1) // a stop that was clean needs no more than is synced
	d := mustOpen(t, options(disk))
	if clean, epoch := d.Clean(); !clean || epoch != 12 {
		t.Fatalf("clean %v, epoch %d", clean, epoch)
	}
	if hw := d.HighWatermark("topic-0", 0); hw != 3 {
		t.Fatalf("high watermark %d", hw)
	}
	if r := d.Recovery(); r.Logs != 2 || r.Recovered != 0 || r.ScannedBytes != 0 {
		t.Fatalf("recovery %+v", r)
	}
	if ids := d.Logs(); len(ids) != 2 || !slices.Contains(ids, logID(0)) || !slices.Contains(ids, logID(1)) {
		t.Fatalf("logs %v", ids)
	}
	must(t, d.Abort())
	d = mustOpen(t, options(disk))
	if clean, _ := d.Clean(); !clean {
		t.Fatal("no log was handed out, so that a start that failed would cost a recovery")
	}
	_, err := d.Log(logID(0), config(true), nil)
	must(t, err)
	must(t, d.Abort())
	d = mustOpen(t, options(disk.Crash(vfs.LoseUnsynced, 1)))
	if clean, _ := d.Clean(); clean {
		t.Fatal("killed, and clean")
	}
	must(t, d.Abort())
}

// TestClaimLeavesNoTrace: what was made for a claim goes with it, and what was there stays.
func TestClaimLeavesNoTrace(t *testing.T) {
	mem := vfs.NewMem()
	opts := options(mem)
	opts.Path = "far/away/data"
	c, err := Take(opts)
	must(t, err)
	if _, err := Take(opts); !errors.Is(err, ErrLocked) {
		t.Errorf("claimed twice: %v", err)
	}
	if _, err := Open(opts); !errors.Is(err, ErrLocked) {
		t.Errorf("opened while it is claimed: %v", err)
	}
	must(t, c.Release())
	if _, err := mem.Stat("far"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
	opts.Claim, err = Take(opts)
	must(t, err)
	must(t, mustOpen(t, opts).Close())
	before := names(t, mem, opts.Path)
	c, err = Take(opts)
	must(t, err)
	must(t, c.Release())
	if after := names(t, mem, opts.Path); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	opts.NodeID = 8
	if _, err := Take(opts); !errors.Is(err, ErrWrongNode) {
		t.Errorf("claimed by node 8: %v", err)
	}
	opts.NodeID, opts.Claim = 7, nil
	must(t, mustOpen(t, opts).Close()) // a refusal keeps no lock
}

// TestScansNoMore: a killed directory scans what was appended since the last recovery point, no more.
func TestScansNoMore(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	for range 20 {
		must(t, w.append(0, 1000, 1, true, true))
	}
	_, err := w.logs[0].SyncFiles()
	must(t, err)
	must(t, w.d.Checkpoint())
	before := w.logs[0].Size()
	must(t, w.append(0, 1000, 1, true, true))
	must(t, w.append(0, 1000, 1, true, true))
	since := w.logs[0].Size() - before
	disk := mem.KillProcess()
	w.d.Abort()
	d := mustOpen(t, options(disk))
	if r := d.Recovery(); r.ScannedBytes != since || r.TruncatedBytes != 0 || len(r.Lost) != 0 {
		t.Fatalf("%d bytes were appended since the recovery point; recovery %+v", since, r)
	}
	must(t, d.Abort())
}

func TestSetAside(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	must(t, w.append(0, 100, 1, true, true))
	must(t, w.append(1, 100, 1, true, true))
	other := logID(0)
	other.TopicID = uuid.UUID{0xaa}
	if _, err := w.d.Log(other, config(true), nil); err == nil {
		t.Fatal("a directory in use was given to another topic id")
	}
	must(t, w.d.Close())
	d := mustOpen(t, options(mem))
	l, err := d.Log(other, config(true), nil)
	must(t, err)
	if l.LogEnd() != 0 {
		t.Fatalf("the other topic's log begins with %d records", l.LogEnd())
	}
	must(t, d.Quarantine(logID(1)))
	if _, err := mem.Stat(filepath.Join(root, logID(1).DirName())); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("set aside, but: %v", err)
	}
	must(t, d.Close())
	strays := 0
	for _, name := range names(t, mem, root) {
		if strings.HasSuffix(name, straySuffix) {
			strays++
			if !slices.Contains(names(t, mem, filepath.Join(root, name)), "00000000000000000000.log") {
				t.Fatalf("%s lost its records", name)
			}
		}
	}
	if strays != 2 {
		t.Fatalf("%d directories set aside", strays)
	}
	d = mustOpen(t, options(mem))
	if ids := d.Logs(); len(ids) != 0 {
		t.Fatalf("logs %v", ids)
	}
	must(t, d.Close())
}

// TestLongNamesAreKafkas: a folder that is set aside has the name of its partition, however long that of its topic is. Kafka does not start where it has not.
func TestLongNamesAreKafkas(t *testing.T) {
	mem := vfs.NewMem()
	d := mustOpen(t, options(mem))
	id := commitlog.ID{Topic: strings.Repeat("x", 249), TopicID: uuid.UUID{1}, Partition: 12}
	l, err := d.Log(id, config(true), nil)
	must(t, err)
	must(t, l.MakeFiles())
	must(t, d.Quarantine(id))
	must(t, d.Close())
	kafkas := regexp.MustCompile(`^x+-12\.[0-9a-f]{32}-stray$`)
	if !slices.ContainsFunc(names(t, mem, root), kafkas.MatchString) {
		t.Errorf("%q", names(t, mem, root))
	}
}

// TestRemovedStaysRemoved: neither journal nor checkpoints bring a removed log back, nor bother the next of that name.
func TestRemovedStaysRemoved(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	for range 5 {
		must(t, w.append(0, 100, 1, true, true))
	}
	must(t, w.d.Checkpoint())
	must(t, w.d.Remove(logID(0)))
	must(t, w.d.Remove(logID(0)))
	again := logID(0)
	again.TopicID = uuid.UUID{0xbb}
	l, err := w.d.Log(again, config(true), nil)
	must(t, err)
	if _, err := l.Append(batch("new", 10), 1); err != nil {
		t.Fatal(err)
	}
	_, err = l.SyncFiles()
	must(t, err)
	for _, model := range vfs.AllSurvivors {
		d := mustOpen(t, options(mem.Peek(model, 5)))
		if ids := d.Logs(); !slices.Equal(ids, []commitlog.ID{again}) {
			t.Fatalf("%s: logs %v", model, ids)
		}
		l, err := d.Log(again, config(true), nil)
		must(t, err)
		if got, err := contents(l); err != nil || !slices.Equal(got, []string{"new"}) {
			t.Fatalf("%s: %v, %v", model, got, err)
		}
		if r := d.Recovery(); len(r.Lost) != 0 {
			t.Fatalf("%s: recovery %+v", model, r)
		}
		must(t, d.Abort())
	}
	must(t, w.d.Close())
}

// TestNextOfItsNameWaitsForCheckpoints: while the checkpoints are written without a log that is gone, no other log of its name begins, since they may be
// refused: what they say of the one that is gone would be taken for what the next one has lost.
func TestNextOfItsNameWaitsForCheckpoints(t *testing.T) {
	again := logID(0)
	again.TopicID = uuid.UUID{0xbb}
	mem, w := vfs.NewMem(), newWorld()
	var armed atomic.Bool
	var meanwhile error
	must(t, w.open(options(vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && strings.Contains(op.Name, recoveryPointFile) && armed.CompareAndSwap(true, false) {
			w.d.isFull(nil) // as another write has found
			_, meanwhile = w.d.Log(again, config(true), nil)
			return syscall.ENOSPC
		}
		return nil
	}))))
	must(t, w.append(0, 12<<10, 1, true, true)) // too much for the journal
	must(t, w.d.Checkpoint())
	must(t, w.d.Remove(logID(0)))
	armed.Store(true)
	if _, err := w.d.Log(logID(1), config(true), nil); !Passes(err) {
		t.Fatalf("with checkpoints that could not be written another log begins: %v", err)
	}
	if !Passes(meanwhile) {
		t.Errorf("meanwhile the next log of that name begins: %v", meanwhile)
	}
	w.d.probe()
	l, err := w.d.Log(again, config(true), nil)
	must(t, err)
	must(t, l.MakeFiles())
	d := mustOpen(t, options(mem.Peek(vfs.LoseUnsynced, 1)))
	if r := d.Recovery(); len(r.Lost)+len(r.Short) > 0 {
		t.Errorf("recovery %+v", r)
	}
	must(t, d.Abort())
	must(t, w.d.Close())
}

// TestFullDisk: appends are refused, reads go on, the directory starts on a full disk, and takes appends again when there is space.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	for range 5 {
		must(t, w.append(0, 1000, 1, true, true))
	}
	mem.SetCapacity(mem.Used())
	var err error
	for range 2000 {
		if err = w.append(0, 2000, 1, true, false); err != nil {
			break
		}
	}
	if !errors.Is(err, commitlog.ErrReadOnly) {
		t.Fatalf("append to a full disk: %v", err)
	}
	must(t, w.models[0].compare(w.logs[0]))
	disk := mem.KillProcess()
	w.d.Abort()

	disk.SetCapacity(disk.Used())
	must(t, w.open(options(disk)))
	l, err := w.log(0, true)
	must(t, err)
	must(t, w.models[0].compare(l))
	w.models[0].mu.Lock()
	w.models[0].keys = w.models[0].keys[:l.LogEnd()]
	w.models[0].mu.Unlock()
	disk.SetCapacity(0)
	w.d.opts.FreeMin = 1
	w.d.isFull(nil)
	if err := w.append(0, 10, 1, true, false); !errors.Is(err, commitlog.ErrReadOnly) {
		t.Fatalf("append to a read-only directory: %v", err)
	}
	w.d.probe()
	must(t, w.append(0, 1000, 1, true, true))
	must(t, w.d.Close())
}

// TestLackOfDescriptorsPasses: a checkpoint that found no descriptor to be written with is written the next time.
func TestLackOfDescriptorsPasses(t *testing.T) {
	for _, lack := range []error{syscall.EMFILE, syscall.ENFILE} {
		var short bool
		mem := vfs.NewMem()
		w := newWorld()
		must(t, w.open(options(vfs.NewFault(mem, func(op vfs.Op) error {
			if short && op.Kind == vfs.OpCreate && strings.Contains(op.Name, recoveryPointFile) {
				return lack
			}
			return nil
		}))))
		must(t, w.append(0, 100, 1, true, true))
		_, err := w.logs[0].SyncFiles()
		must(t, err)
		short = true
		if err := w.d.Checkpoint(); !errors.Is(err, lack) {
			t.Fatalf("checkpoint without a descriptor: %v", err)
		}
		must(t, w.d.Err())
		short = false
		must(t, w.append(0, 100, 1, true, true))
		must(t, w.d.Checkpoint())
		if got := readFile(t, mem, filepath.Join(root, recoveryPointFile)); !strings.Contains(got, "topic-0 0 1") {
			t.Fatalf("the checkpoint is %q", got)
		}
		must(t, w.d.Close())
	}
}

// TestFailedSyncIsFinal: after a failed sync nothing is acknowledged, although later syncs would succeed.
func TestFailedSyncIsFinal(t *testing.T) {
	broken := errors.New("broken disk")
	var fail bool
	mem := vfs.NewMem()
	failing := vfs.NewFault(mem, func(op vfs.Op) error {
		if fail && op.Kind == vfs.OpDatasync {
			fail = false
			return broken
		}
		return nil
	})
	w := newWorld()
	must(t, w.open(options(failing)))
	must(t, w.append(0, 100, 1, true, true))
	fail = true
	must(t, w.append(0, 100, 1, true, true)) // the append succeeds and is never acknowledged
	if m := w.models[0]; m.acked != 1 || !m.failed {
		t.Fatalf("%d acknowledged, failed: %v", m.acked, m.failed)
	}
	if err := w.append(0, 100, 1, true, false); !errors.Is(err, commitlog.ErrOffline) {
		t.Fatalf("append after a failed sync: %v", err)
	}
	if err := w.d.Err(); !errors.Is(err, commitlog.ErrOffline) || !errors.Is(err, broken) {
		t.Fatalf("the directory says %v", err)
	}
	if err := w.d.Close(); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(names(t, mem, root), cleanFile) {
		t.Fatal("stopped cleanly although a sync failed")
	}
}

// TestInterruptedRemovalGoesOn removes what an earlier stop left half removed.
func TestInterruptedRemovalGoesOn(t *testing.T) {
	mem := vfs.NewMem()
	left := filepath.Join(root, "orders-0.0123456789abcdef0123456789abcdef-delete")
	writeFile(t, mem, filepath.Join(left, "00000000000000000000.log"), strings.Repeat("x", 1000))
	d := mustOpen(t, options(mem))
	d.background.close()
	for d.background.step() {
	}
	must(t, d.Close())
	if _, err := mem.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("still there: %v", err)
	}
}

// TestManyLogs recovers a thousand logs from the journal alone.
func TestManyLogs(t *testing.T) {
	mem := vfs.NewMem()
	opts := options(mem)
	opts.journal.FirstFile, opts.journal.MaxFile = 4<<20, 4<<20
	w := newWorld()
	must(t, w.open(opts))
	clear(w.models)
	for n := range 1000 {
		w.models[n] = newModel()
		must(t, w.append(n, 50, 1, true, false))
	}
	for n := range 1000 {
		m := w.models[n]
		m.mu.Lock()
		for m.acked == 0 && !m.failed {
			m.cond.Wait()
		}
		m.mu.Unlock()
	}
	disk := mem.Crash(vfs.LoseUnsynced, 1)
	w.d.Abort()
	must(t, w.check(options(disk)))
}
