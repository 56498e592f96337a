//go:build unix

package hostile

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/vfs"
)

func init() { hurtFiles = append(hurtFiles, specialFiles) }

// specialFiles is the part of row 193 that only a real disk has: pipes and links in place of a segment. A start neither waits for a pipe nor
// writes through a link.
func specialFiles(t *testing.T) {
	for _, kind := range []string{"pipe", "link to a file", "link to nothing", "link to itself"} {
		dir := t.TempDir()
		data, elsewhere := filepath.Join(dir, "data"), filepath.Join(dir, "elsewhere")
		startReal := func() (*node, error) {
			n := &node{t: t, disk: vfs.OS, net: network.NewMem(), log: &lockedBuffer{}}
			cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte("admin.listener=" + adminAddr + "\n"),
				Flags: config.Flags{Data: data, Listen: brokerAddr}})
			if err != nil {
				t.Fatal(err)
			}
			n.Broker, err = broker.Start(broker.Options{Config: cfg, Network: n.net, Log: slog.New(slog.NewTextHandler(n.log, nil))})
			return n, err
		}
		n, err := startReal()
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"hurt", "whole"} {
			n.create(topic, 1)
			n.produce(topic, good().bytes())
		}
		n.stop()
		segment := filepath.Join(data, "hurt-0", segmentName)
		if err := os.Rename(segment, elsewhere); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(elsewhere)
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case "pipe":
			err = syscall.Mkfifo(segment, 0o644)
		case "link to a file":
			err = os.Symlink(elsewhere, segment)
		case "link to nothing":
			err = os.Symlink(filepath.Join(dir, "nothing"), segment)
		case "link to itself":
			err = os.Symlink(segment, segment)
		}
		if err != nil {
			t.Fatal(err)
		}
		within(t, kind, func() {
			n, err := startReal()
			if err != nil {
				if !strings.Contains(err.Error(), "hurt-0") {
					t.Errorf("%s: the start is refused without a name: %v", kind, err)
				}
				return
			}
			if got, code := n.values("whole"); code != 0 || fmt.Sprint(got) != "[one two]" {
				t.Errorf("%s: the other topic has %q, code %d", kind, got, code)
			}
			got, code := n.values("hurt")
			if len(got) > 0 || code == 0 || !strings.Contains(n.log.String(), "hurt-0") {
				t.Errorf("%s: %q is served, code %d; the log says\n%s", kind, got, code, n.log)
			}
			if code := n.produce("hurt", good().bytes()); code == 0 {
				t.Errorf("%s: records are taken", kind)
			}
			n.stop()
		})
		if after, err := os.ReadFile(elsewhere); err != nil || string(after) != string(before) {
			t.Errorf("%s: what it links to has changed from %d to %d bytes: %v", kind, len(before), len(after), err)
		}
	}
}

// TestMetadataIsClosedToOthers: the folder of the metadata has the keys of SCRAM credentials.
func TestMetadataIsClosedToOthers(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cfg, _, err := config.Load(config.Sources{FileName: "test", Flags: config.Flags{Data: data, Listen: brokerAddr}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{Config: cfg, Network: network.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(data, "quorum"))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
}
