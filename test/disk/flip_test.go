//go:build linux

package disk

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var seed = flag.Int64("seed", 1, "seed of where bits are flipped")

// kind is what a file is, by its name.
func kind(path string) string {
	name := filepath.Base(path)
	if i := strings.Index(filepath.ToSlash(path), "quorum/"); i >= 0 {
		return "quorum/" + regexp.MustCompile(`[0-9a-f]{8,}`).ReplaceAllString(name, "N")
	}
	if ext := filepath.Ext(name); ext != "" && len(strings.TrimSuffix(name, ext)) == 20 {
		return ext
	}
	if filepath.Ext(name) == ".journal" {
		return ".journal"
	}
	return name
}

// mayRefuse is whether the broker may refuse to start over damage in a file of that kind, naming it: what it has no second copy of.
func mayRefuse(kind string) bool {
	return strings.HasPrefix(kind, "quorum/") || kind == "meta.properties"
}

// TestFlippedBits writes a directory, stops the broker or kills it, flips a bit in a copy of it, in a file of each kind, and starts on that. What is
// served is what was acknowledged; what is not served is refused, and is no more than one batch; nothing else is amiss.
func TestFlippedBits(t *testing.T) {
	t.Logf("-seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	for _, clean := range []bool{true, false} {
		data := filepath.Join(t.TempDir(), "data")
		n := newNode(t, properties(data))
		n.mustStart()
		one, three := "1048576", "compact"
		n.create("orders", map[string]*string{"segment.bytes": &one})
		n.create("keys", map[string]*string{"cleanup.policy": &three})
		orders, keys := acked{}, acked{}
		for i := range 300 {
			if code := orders.add(n, "orders", []int{300, 9_000, 40}[i%3]); code != none {
				t.Fatalf("produce: %d", code)
			}
		}
		for range 5 {
			keys.add(n, "keys", 100)
		}
		n.mustCommit("group", "orders", 42)
		if clean {
			n.stop()
		} else {
			n.kill()
		}
		files := map[string][]string{}
		var kinds []string
		err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			if info, err := e.Info(); err != nil || info.Size() == 0 {
				return err
			}
			path, _ = filepath.Rel(data, path)
			k := kind(path)
			if len(files[k]) == 0 {
				kinds = append(kinds, k)
			}
			files[k] = append(files[k], path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(kinds)
		each := 1
		if *long {
			each = 25
		}
		for _, k := range kinds {
			for range each {
				path := files[k][random.Intn(len(files[k]))]
				flipped(t, random, data, path, clean, orders, keys)
			}
		}
		t.Logf("stopped cleanly: %v; kinds of files: %v", clean, kinds)
	}
}

func properties(data string) string {
	return "log.dirs=" + data + "\noffsets.topic.num.partitions=1\n"
}

// keepTimes gives a copy the times of what it is of: a disk that turns a bit around changes none, and by them logs count as at rest.
func keepTimes(t *testing.T, of, copied string) {
	t.Helper()
	err := filepath.WalkDir(of, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(of, path)
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(copied, rel), info.ModTime(), info.ModTime())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func flipped(t *testing.T, random *rand.Rand, data, path string, clean bool, orders, keys acked) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(copied)
	b, err := os.ReadFile(filepath.Join(copied, path))
	if err != nil {
		t.Fatal(err)
	}
	bit := random.Intn(8 * len(b))
	if strings.HasPrefix(kind(path), "quorum/") { // most of the log is zeros
		bit = random.Intn(8 * len(bytes.TrimRight(b, "\x00")))
	}
	b[bit/8] ^= 1 << (bit % 8)
	if err := os.WriteFile(filepath.Join(copied, path), b, 0o600); err != nil {
		t.Fatal(err)
	}
	keepTimes(t, data, copied)
	where := fmt.Sprintf("%s, byte %d, bit %d, clean stop %v", path, bit/8, bit%8, clean)
	n := newNode(t, properties(copied))
	if !n.start() {
		said := n.log.String()
		if !mayRefuse(kind(path)) || !strings.Contains(said, copied) {
			t.Errorf("%s: the broker does not start:\n%s", where, said)
		}
		n.cmd = nil
		return
	}
	defer n.kill()
	topics := map[string]acked{"orders": orders, "keys": keys}
	if kind(path) == "partition.metadata" && !strings.Contains(path, "__consumer_offsets") {
		// The folder may be taken for one of another topic of that name: it is set aside whole, and the log says where. The way back is that
		// of docs/operations.md.
		topic := strings.TrimSuffix(filepath.Dir(path), "-0")
		a := topics[topic]
		if len(n.read(topic).values) == len(a) {
			return
		}
		stray, err := filepath.Glob(filepath.Join(copied, topic+"-0.*-stray"))
		if err != nil || len(stray) != 1 || !strings.Contains(n.log.String(), stray[0]) {
			t.Fatalf("%s: of %d records not all are served, and %v is set aside:\n%s", where, len(a), stray, &n.log)
		}
		if code, _ := n.produce(topic, []byte("meanwhile")); code != none {
			t.Errorf("%s: a producer is answered with %d", where, code)
		}
		n.stop()
		folder := filepath.Join(copied, topic+"-0")
		for _, err := range []error{os.Rename(folder, folder+".meanwhile"), os.Remove(filepath.Join(stray[0], "partition.metadata")), os.Rename(stray[0], folder)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		n.mustStart()
		a.check(t, n.read(topic), 0)
		return
	}
	if kind(path) == "meta.properties" && len(n.read("orders").values) == 0 && len(n.read("keys").values) == 0 {
		// The metadata knows the directory under another id: its partitions are taken for lost, and none of their records is touched.
		elect := kmsg.NewPtrElectLeadersRequest()
		elect.ElectionType, elect.TimeoutMillis = 1, 10_000 // unclean
		if resp, err := elect.RequestWith(n.context(), n.client); err != nil || resp.ErrorCode != none {
			t.Fatalf("%s: election: %v, %+v", where, err, resp)
		}
		for topic, a := range topics {
			a.check(t, n.read(topic), 0)
		}
	}
	failed := t.Failed()
	allowed := 0
	if kind(path) == ".log" {
		allowed = 1 // each batch has one record
	}
	for topic, a := range topics {
		c := n.read(topic)
		may := allowed
		if said := "log " + topic + "-0: "; !clean && kind(path) == ".log" && c.end < int64(len(a)) && strings.Contains(n.log.String(), said) {
			// Above what is known to be synced a damaged batch and a torn one look the same. The log says what was cut off.
			for at := c.end; at < int64(len(a)); at++ {
				c.refused[at] = corruptMessage
				may++
			}
		}
		a.check(t, c, may)
	}
	if !strings.Contains(path, "__consumer_offsets") { // what is damaged there may be the commit
		if at := n.committed("group", "orders"); at != 42 {
			t.Errorf("%s: the committed offset is %d", where, at)
		}
	}
	if code, _ := n.produce("orders", []byte("more")); code != none {
		t.Errorf("%s: a producer is answered with %d", where, code)
	}
	if t.Failed() && !failed {
		t.Errorf("%s; the broker said\n%s", where, &n.log)
	}
}
