//go:build linux

package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// pair creates topics until there is one in each of two directories, and returns their names.
func pair(n *node, bad, good string) (onBad, onGood string) {
	n.t.Helper()
	for _, topic := range []string{"a", "b", "c", "d"} {
		n.create(topic, nil)
		if code, _ := n.produce(topic, []byte("first")); code != none {
			n.t.Fatalf("produce: %d", code)
		}
		switch {
		case exists(filepath.Join(bad, topic+"-0")):
			onBad = topic
		case exists(filepath.Join(good, topic+"-0")):
			onGood = topic
		}
		if onBad != "" && onGood != "" {
			return onBad, onGood
		}
	}
	n.t.Fatal("all topics are in one directory")
	return
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestFailingDirectory lets one of two directories fail under a running broker: it dies, becomes read-only, or is removed. Its producers are told at
// once, the other directory serves, after a restart without it too, and when it is back after another one it has all that was acknowledged.
func TestFailingDirectory(t *testing.T) {
	for _, c := range []struct {
		name  string
		mount bool
		fail  func(t *testing.T, fs *fileSystem, dir string)
		reads bool // what is there can still be read
	}{
		{"dead", true, func(t *testing.T, fs *fileSystem, _ string) { fs.die(t) }, false},
		{"read-only", true, func(t *testing.T, fs *fileSystem, _ string) { fs.makeReadOnly(t) }, true},
		{"removed", false, func(t *testing.T, _ *fileSystem, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "good")
			var fs *fileSystem
			if c.mount {
				if fs = newFileSystem(t, 160); fs == nil {
					return
				}
				bad = filepath.Join(fs.at, "bad")
			}
			n := newNode(t, "log.dirs="+bad+","+good+"\nmetadata.log.dir="+good+"\noffsets.topic.num.partitions=1\n")
			n.mustStart()
			onBad, onGood := pair(n, bad, good)
			lost, kept := acked{0: "first"}, acked{0: "first"}
			for i := range 50 {
				lost.add(n, onBad, 1000)
				if code := kept.add(n, onGood, 1000); code != none {
					t.Fatalf("produce %d: %d", i, code)
				}
			}
			c.fail(t, fs, bad)
			took := until(t, "the failure to be noticed", 30*time.Second, func() bool { return lost.add(n, onBad, 1000) == storageError })
			t.Logf("noticed after %v", took.Round(time.Millisecond))
			for range 20 {
				if code := lost.add(n, onBad, 1000); code != storageError {
					t.Errorf("a producer was answered with %d", code)
				}
				if code := kept.add(n, onGood, 1000); code != none {
					t.Errorf("a producer to the other directory was answered with %d", code)
				}
			}
			kept.check(t, n.read(onGood), 0)
			if c.reads {
				lost.check(t, n.read(onBad), 0)
			}
			if said := n.log.String(); !strings.Contains(said, "log directory is offline") || !strings.Contains(said, bad) {
				t.Errorf("the broker said\n%s", said)
			}
			n.create("new", nil)
			if code, _ := n.produce("new", []byte("x")); code != none {
				t.Errorf("a producer to a new topic was answered with %d", code)
			}
			n.alive()
			n.kill()
			if fs != nil {
				n.mustStart() // without it
				kept.check(t, n.read(onGood), 0)
				if code := kept.add(n, onGood, 1000); code != none {
					t.Errorf("without the directory, a producer to the other one was answered with %d", code)
				}
				if code, _ := n.produce(onBad, []byte("x")); code == none {
					t.Error("without the directory, a record was taken for what is in it")
				}
				n.stop()
				fs.remount(t)
				n.mustStart()
				lost.check(t, n.read(onBad), 0)
				if code := lost.add(n, onBad, 1000); code != none {
					t.Errorf("when the directory was back a producer was answered with %d:\n%s", code, &n.log)
				}
			} else {
				n.mustStart() // with an empty one in its place
				elect := kmsg.NewPtrElectLeadersRequest()
				elect.ElectionType, elect.TimeoutMillis = 1, 10_000 // unclean
				elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: onBad, Partitions: []int32{0}}}
				if _, err := elect.RequestWith(n.context(), n.client); err != nil {
					t.Fatal(err)
				}
				if code, _ := n.produce(onBad, []byte("x")); code != none {
					t.Errorf("a producer to what is empty now was answered with %d", code)
				}
			}
			kept.check(t, n.read(onGood), 0)
			n.stop()
		})
	}
}
