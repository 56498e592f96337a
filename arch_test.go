// Package moldau_test holds the tests of the tree itself: who may import whom, and that every package says what it owns.
package moldau_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/moldau/moldau/"

// seams are the bottom of the house: they import nothing of ours but one another.
var seams = []string{"internal/clock", "internal/invariant", "internal/network", "internal/random", "internal/uuid", "internal/vfs"}

// mayImport is the picture of docs/ARCHITECTURE.md as a table: a package may import the seams, its own sub-packages, and what
// stands here. A package below never names one above it.
var mayImport = map[string][]string{
	"cmd/moldau":         {"internal/cli", "internal/broker", "internal/config"},
	"internal/broker":    {"internal/admin", "internal/cluster", "internal/fetcher", "internal/memory", "internal/metrics", "internal/quota", "internal/coordinator", "internal/coordinator/group", "internal/server", "internal/handler", "internal/partition", "internal/repair", "internal/replica", "internal/logdir", "internal/commitlog", "internal/controller", "internal/quorum", "internal/metadata", "internal/config", "internal/record", "internal/protocol"},
	"internal/cli":       {"internal/config", "internal/record", "internal/commitlog", "internal/logdir"},
	"internal/config":    {"internal/record"},
	"internal/server":    {"internal/protocol", "internal/metrics"},
	"internal/protocol":  {},
	"internal/handler":   {"internal/metrics", "internal/quota", "internal/coordinator", "internal/coordinator/group", "internal/server", "internal/protocol", "internal/partition", "internal/replica", "internal/commitlog", "internal/record", "internal/metadata", "internal/controller", "internal/config"},
	"internal/fetcher":   {"internal/replica", "internal/commitlog", "internal/peer", "internal/protocol"},
	"internal/repair":    {"internal/fetcher", "internal/partition", "internal/metrics", "internal/metadata", "internal/commitlog"},
	"internal/partition": {"internal/metrics", "internal/replica", "internal/metadata", "internal/commitlog", "internal/record"},
	"internal/replica":   {"internal/commitlog", "internal/metadata"},
	"internal/logdir":    {"internal/metrics", "internal/commitlog", "internal/record"},
	"internal/commitlog": {"internal/record"},
	"internal/record":    {},
	"internal/memory":    {},
	"internal/metrics":   {},
	"internal/admin":     {},
	"internal/quota":     {"internal/metadata", "internal/metrics"},

	"internal/coordinator":       {"internal/partition", "internal/commitlog", "internal/record"},
	"internal/coordinator/group": {"internal/coordinator", "internal/protocol", "internal/record"},

	"internal/cluster":    {"internal/controller", "internal/quorum", "internal/metadata", "internal/peer", "internal/server", "internal/protocol", "internal/config"},
	"internal/peer":       {"internal/protocol"},
	"internal/controller": {"internal/metadata", "internal/quorum", "internal/protocol"},
	"internal/quorum":     {},
	"internal/metadata":   {},
	"internal/clock":      {},
	"internal/invariant":  {},
	"internal/network":    {},
	"internal/random":     {},
	"internal/uuid":       {},
	"internal/vfs":        {},

	"internal/docgen":  {"internal/config", "internal/handler", "internal/metrics"},
	"bench/node":       {},
	"bench/small":      {"bench/node"},
	"bench/failover":   {"bench/node"},
	"bench/steady":     {"bench/node"},
	"bench/compaction": {},
	"bench/many":       {"bench/node"},
	"bench/quotas":     {"bench/node"},
	"bench/race":       {},
	"bench/durability": {"internal/logdir", "internal/commitlog", "internal/record"},
	"test/diff":        {"internal/broker", "internal/config", "internal/handler", "internal/protocol", "internal/record"},
	"test/crash":       {},
	"test/hostile":     {"internal/protocol", "internal/record"},
	"test/disk":        {"internal/record"},
}

// theWorld is what only the seams, cmd/, internal/cli and tests may touch.
var theWorld = []string{"os", "net", "math/rand", "math/rand/v2", "os/signal", "os/exec", "syscall"}

// mayTouchTheWorld lists who may, beside cmd/, internal/cli, test/ and bench/.
var mayTouchTheWorld = []string{"internal/vfs", "internal/network", "internal/clock", "internal/random"}

// mayNameErrors lists who may import syscall for error numbers (ENOSPC) alone.
var mayNameErrors = []string{"internal/commitlog", "internal/logdir", "internal/server", "internal/quorum"}

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		all = append(all, p)
	}
}

// room returns the entry of the table that a package belongs to: itself, or the nearest package around it.
func room(path string) string {
	for {
		if _, ok := mayImport[path]; ok {
			return path
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return ""
		}
		path = path[:i]
	}
}

func TestImportsGoDownwards(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		own := room(p.ImportPath)
		if own == "" {
			t.Errorf("%s stands in no room of the architecture: add it to the table and to docs/ARCHITECTURE.md", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			name, ours := strings.CutPrefix(imp, module)
			if !ours {
				checkTheWorld(t, p.ImportPath, own, imp)
				continue
			}
			to := room(name)
			if to != own && !slices.Contains(mayImport[own], to) && !slices.Contains(seams, to) {
				t.Errorf("%s imports %s, which is not below it", p.ImportPath, name)
			}
		}
	}
}

func checkTheWorld(t *testing.T, path, own, imp string) {
	if !slices.Contains(theWorld, imp) || slices.Contains(mayTouchTheWorld, own) {
		return
	}
	for _, free := range []string{"cmd/", "internal/cli", "internal/docgen", "test/", "bench/"} {
		if strings.HasPrefix(path, free) {
			return
		}
	}
	if imp == "syscall" && slices.Contains(mayNameErrors, own) {
		return
	}
	t.Errorf("%s imports %s: the world comes in through vfs, clock, network and random", path, imp)
}

func TestPackagesSayWhatTheyOwn(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		if n := commentWords(t, p); n < 15 {
			t.Errorf("%s: its package comment has %d words; it says what the package owns and what it never does", p.ImportPath, n)
		}
	}
}

// commentWords counts the words of the package comment.
func commentWords(t *testing.T, p pkg) (n int) {
	t.Helper()
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		n += len(strings.Fields(file.Doc.Text()))
	}
	return n
}
