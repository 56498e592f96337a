package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

const segmentName = "00000000000000000000.log"

// values reads a partition from its beginning, as far as it goes or, as every consumer does, up to a batch whose checksum is wrong.
func (n *node) values(topic string) (values []string, code int16) {
	n.t.Helper()
	p := ask[*kmsg.FetchResponse](n, fetchOf(topic, 0)).Topics[0].Partitions[0]
	for rest := p.RecordBatches; len(rest) > 0; {
		var b record.Batch
		var err error
		if b, rest, err = record.Next(rest); err == nil {
			err = b.CheckCRC()
		}
		if errors.Is(err, record.ErrCorrupt) {
			break
		} else if err != nil {
			n.t.Fatalf("%s: what is served is no batch: %v", topic, err)
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				n.t.Fatal(err)
			}
			values = append(values, string(r.Value))
		}
	}
	return values, p.ErrorCode
}

// filledDisk is the disk of a node that was stopped, or killed, with some records of two topics.
func filledDisk(t *testing.T, clean bool) *vfs.Mem {
	disk := vfs.NewMem()
	n := startOn(t, disk, "")
	for _, topic := range []string{"hurt", "whole"} {
		n.create(topic, 1)
		for i := range 3 {
			if code := n.produce(topic, of(record.None, fmt.Sprint(topic, i)).bytes()); code != 0 {
				t.Fatalf("produce: %d", code)
			}
		}
	}
	if clean {
		n.stop()
		return disk
	}
	killed := disk.KillProcess()
	n.Abort()
	n.Broker = nil
	return killed
}

func write(t *testing.T, disk vfs.FS, path string, b []byte) {
	t.Helper()
	if err := disk.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFileAtomic(disk, path, b); err != nil {
		t.Fatal(err)
	}
}

// hurtSegments is row 193. Whatever a segment file has become, the node starts, serves what is whole, and never passes anything else on.
func hurtSegments(t *testing.T) {
	at := filepath.Join("data", "hurt-0", segmentName)
	good, err := vfs.ReadFile(filledDisk(t, true), at)
	if err != nil {
		t.Fatal(err)
	}
	other, err := vfs.ReadFile(filledDisk(t, true), filepath.Join("data", "whole-0", segmentName))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for about, b := range map[string][]byte{
		"zero length": {}, "one byte": {1}, "zeros": make([]byte, 10_000), "sparse": append(make([]byte, 1<<20), good...), "cut": good[:len(good)-5],
		"twice": append(bytes.Clone(good), good...), "ones": bytes.Repeat([]byte{0xff}, 5000), "a flipped bit": flipped, "text": []byte(strings.Repeat("not a log\n", 1000)),
	} {
		for _, clean := range []bool{true, false} {
			disk := filledDisk(t, clean)
			write(t, disk, at, b)
			n := startOn(t, disk, "")
			if got, code := n.values("whole"); code != 0 || fmt.Sprint(got) != "[whole0 whole1 whole2]" {
				t.Errorf("%s, clean %v: the other topic has %q, code %d", about, clean, got, code)
			}
			got, code := n.values("hurt")
			for i, v := range got {
				if v != fmt.Sprint("hurt", i) {
					t.Errorf("%s, clean %v: %q is served", about, clean, got)
				}
			}
			if len(got) < 3 && code == 0 && clean && about != "a flipped bit" && // that one is found by whoever reads it
				!strings.Contains(n.log.String(), "hurt-0") {
				t.Errorf("%s, clean %v: %d records are left, and the log does not say so", about, clean, len(got))
			}
			n.end()
		}
	}
	for about, put := range map[string]func(disk vfs.FS) error{
		"a folder": func(disk vfs.FS) error { return disk.MkdirAll(at, 0o755) },
		"segments of another partition": func(disk vfs.FS) error {
			return vfs.WriteFileAtomic(disk, at, other) // a log does not say whose it is; its folder does
		},
		"the folder of another topic": func(disk vfs.FS) error {
			return vfs.WriteFileAtomic(disk, filepath.Join("data", "hurt-0", "partition.metadata"), []byte("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ"))
		},
		"a file in place of the folder": func(disk vfs.FS) error {
			if err := disk.RemoveAll(filepath.Dir(at)); err != nil {
				return err
			}
			return vfs.WriteFileAtomic(disk, filepath.Dir(at), good)
		},
		"segments with odd names": func(disk vfs.FS) error {
			for _, name := range []string{"-0000000000000000001.log", "99999999999999999999.log", "09223372036854775807.log", "09223372036854775000.log", "00000000000000000000.log.log", "x.log", ".log", "00000000000000000002.log"} {
				if err := vfs.WriteFileAtomic(disk, filepath.Join("data", "hurt-0", name), good); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		disk := filledDisk(t, false)
		if about == "a folder" {
			if err := disk.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
		}
		if err := put(disk); err != nil {
			t.Fatal(err)
		}
		n, err := tryStart(t, disk, "")
		if err != nil { // the directory failed, as the only one there is
			if !strings.Contains(err.Error(), "hurt-0") {
				t.Errorf("%s: the start is refused without a name: %v", about, err)
			}
			continue
		}
		if got, code := n.values("whole"); code != 0 || fmt.Sprint(got) != "[whole0 whole1 whole2]" {
			t.Errorf("%s: the other topic has %q, code %d", about, got, code)
		}
		n.values("hurt") // whatever it is, it is whole batches
		n.end()
	}
}

// hurtCheckpoints is row 194: what is only there to make a start quick, or can be made again, is made again.
func hurtCheckpoints(t *testing.T) {
	contents := map[string][]byte{
		"nothing": {}, "garbage": []byte("\x00\xff\xfegarbage"), "wrong version": []byte("99\n0\n"), "negative": []byte("0\n1\nhurt 0 -5\n"),
		"too far": []byte("0\n1\nhurt 0 9223372036854775807\n"), "a count that lies": []byte("0\n2147483647\nhurt 0 1\n"), "a negative count": []byte("0\n-1\n"),
		"overflow": []byte("0\n1\nhurt 0 99999999999999999999\n"), "another partition": []byte("0\n1\nhurt 77 5\n"),
		"an epoch too far": []byte("0\n1\n0 9223372036854775807\n"), "an epoch of 2^31-1": []byte("0\n1\n2147483647 0\n"), "an epoch below none": []byte("0\n1\n-7 -7\n"),
		"large": append([]byte("0\n100000\n"), bytes.Repeat([]byte("none 0 1\n"), 100_000)...),
	}
	files := []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint", "cleaner-offset-checkpoint", ".kafka_cleanshutdown",
		"hurt-0/leader-epoch-checkpoint", "hurt-0/00000000000000000000.index", "hurt-0/00000000000000000000.timeindex",
		"hurt-0/00000000000000000006.snapshot", "hurt-0/00000000000000000000.txnindex"}
	for _, name := range files {
		for about, b := range contents {
			if raced && about != "garbage" && about != "too far" {
				continue
			}
			for _, clean := range []bool{true, false} {
				if name == "hurt-0/leader-epoch-checkpoint" && about == "an epoch of 2^31-1" {
					continue // may be true: then what it says holds
				}
				disk := filledDisk(t, clean)
				write(t, disk, filepath.Join("data", filepath.FromSlash(name)), b)
				n := startOn(t, disk, "")
				for _, topic := range []string{"whole", "hurt"} {
					got, code := n.values(topic)
					if want := fmt.Sprintf("[%s0 %s1 %s2]", topic, topic, topic); code != 0 || fmt.Sprint(got) != want {
						t.Errorf("%s is %s, clean %v: %s has %q, code %d", name, about, clean, topic, got, code)
					}
				}
				if code := n.produce("hurt", good().bytes()); code != 0 {
					t.Errorf("%s is %s, clean %v: produce is answered %d", name, about, clean, code)
				}
				n.end()
			}
		}
	}
}
