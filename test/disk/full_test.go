//go:build linux

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills a file system of its own: first by producers, who are refused before there is no space at all, then by somebody else. Reads,
// commits, new topics and deletions go on as far as is promised, and with space again producers are served without a restart.
func TestFullDisk(t *testing.T) {
	fs := newFileSystem(t, 160)
	if fs == nil {
		return
	}
	data := filepath.Join(fs.at, "data")
	n := newNode(t, "log.dirs="+data+"\noffsets.topic.num.partitions=1\n")
	n.mustStart()
	n.create("fill", nil)
	n.create("kept", nil)
	fill, kept := acked{}, acked{}
	for range 20 {
		kept.add(n, "kept", 1000)
	}
	n.mustCommit("group", "kept", 3)
	code := int16(none)
	for i := 0; i < 2000 && code == none; i++ {
		code = fill.add(n, "fill", 200_000)
	}
	var space syscall.Statfs_t
	if err := syscall.Statfs(fs.at, &space); err != nil {
		t.Fatal(err)
	}
	free := int64(space.Bavail) * space.Bsize
	t.Logf("producers were refused after %d records with code %d and %d MiB free", len(fill), code, free>>20)
	if code != storageError || free < 4<<20 {
		t.Fatalf("producers were answered with %d, %d bytes free", code, free)
	}
	if said := n.log.String(); strings.Contains(said, "no space left") {
		t.Errorf("a write found no space:\n%s", said)
	}
	for i := range int64(50) {
		if err := n.commit("group", "kept", i); err != nil {
			t.Fatalf("commit: %v", err)
		}
	}
	n.create("new", nil)
	kept.check(t, n.read("kept"), 0)

	t.Log("now somebody else takes the rest")
	junk := filepath.Join(fs.at, "junk")
	f, err := os.Create(junk)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for len(block) > 0 {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for range 5 {
		if code := kept.add(n, "kept", 1000); code != storageError {
			t.Errorf("a producer was answered with %d", code)
		}
	}
	_ = n.commit("group", "kept", 7) // may be refused
	kept.check(t, n.read("kept"), 0)
	fill.check(t, n.read("fill"), 0)
	n.alive()
	if _, err := n.admin.DeleteTopics(n.context(), "new"); err != nil {
		t.Errorf("delete a topic: %v", err)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	if _, err := n.admin.DeleteTopics(n.context(), "fill"); err != nil {
		t.Fatal(err)
	}
	took := until(t, "producers to be served", 30*time.Second, func() bool { return kept.add(n, "kept", 1000) == none })
	t.Logf("producers were served %v after there was space", took.Round(time.Millisecond))
	if err := n.commit("group", "kept", 9); err != nil {
		t.Errorf("commit: %v", err)
	}
	n.alive()
	n.kill()
	n.mustStart()
	kept.check(t, n.read("kept"), 0)
	if at := n.committed("group", "kept"); at != 9 {
		t.Errorf("the committed offset is %d", at)
	}
	n.stop()
}
