package hostile

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// target is a node that fuzzers send to. It is a new one every so often, since what they ask for they may get: topics, settings, groups.
type target struct {
	mu    sync.Mutex
	node  *broker.Broker
	net   *network.Mem
	count int
}

// manyRequests is how many requests a node gets.
const manyRequests = 5000

func (x *target) renew(t testing.TB) {
	if x.node != nil {
		if err := x.node.Stop(); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte("max.decompressed.message.bytes=1048576\n"), Flags: config.Flags{Data: "data", Listen: brokerAddr}})
	if err != nil {
		t.Fatal(err)
	}
	x.net, x.count = network.NewMem(), 0
	if x.node, err = broker.Start(broker.Options{Config: cfg, FS: vfs.NewMem(), Network: x.net}); err != nil {
		t.Fatal(err)
	}
}

// send sends a request and sees that it is answered or the connection ends, and that the node goes on.
func (x *target) send(t *testing.T, b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.count++; x.count > manyRequests {
		x.renew(t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := x.net.Dial(ctx, brokerAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(b); err == nil {
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !network.Disconnected(err) {
		t.Errorf("the connection does not end: %v", err)
	}
	if err := context.Cause(x.node.Failed()); err != nil {
		t.Fatalf("the node failed: %v", err)
	}
}

// FuzzRequests sends any body behind the header of any API and version that is served to a whole node.
func FuzzRequests(f *testing.F) {
	x := new(target)
	x.renew(f)
	f.Cleanup(func() { _ = x.node.Stop() })
	files, err := filepath.Glob(filepath.Join("..", "..", "internal", "protocol", "testdata", "wire", "*", "*.hex"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no requests of real clients: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		frame, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			f.Fatal(err)
		}
		var h protocol.RequestHeader
		body, err := h.Decode(frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(int16(h.Key), h.Version, body)
	}
	versions := map[int16]int16{}
	eachServed(func(key, version int16) { versions[key] = version })
	for _, key := range slices.Sorted(maps.Keys(versions)) {
		f.Add(key, versions[key], filled(key, versions[key], 2, 2).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		api, ok := protocol.Lookup(protocol.APIKey(key))
		if _, there := versions[key]; !ok || !there || len(body) > 1<<20 {
			return
		}
		x.send(t, frame(key, version, api.Flexible(version), body))
	})
}

// FuzzConnection sends any bytes, frames included, to a whole node.
func FuzzConnection(f *testing.F) {
	x := new(target)
	x.renew(f)
	f.Cleanup(func() { _ = x.node.Stop() })
	good := requestFrame(kmsg.NewPtrApiVersionsRequest())
	f.Add(good)
	f.Add(append(slices.Clone(good), good...))
	f.Add(append(slices.Clone(good), 0, 0, 0, 0))
	f.Add(requestFrame(produceOf(9, "a", good)))
	f.Add(binary.BigEndian.AppendUint32(nil, 100<<20))
	f.Fuzz(func(t *testing.T, b []byte) { x.send(t, b) })
}

// decoders lists what reads bytes from outside, and the fuzz target that gives it any.
var decoders = []struct{ what, where, target string }{
	{"the bytes of a connection, to a whole node", "test/hostile", "FuzzConnection"},
	{"requests, to a whole node", "test/hostile", "FuzzRequests"},
	{"frames of a connection", "internal/server", "FuzzFrames"},
	{"request headers", "internal/protocol", "FuzzHeader"},
	{"Produce requests", "internal/protocol", "FuzzProduceRequest"},
	{"Fetch requests", "internal/protocol", "FuzzFetchRequest"},
	{"all other requests", "internal/protocol", "FuzzDecodeCold"},
	{"record batches", "internal/record", "FuzzBatch"},
	{"record batches that compaction takes apart", "internal/record", "FuzzKeep"},
	{"gzip", "internal/record", "FuzzGzip"},
	{"snappy and its framing", "internal/record", "FuzzSnappy"},
	{"lz4 frames", "internal/record", "FuzzLZ4"},
	{"zstd", "internal/record", "FuzzZstd"},
	{"a partition's folder", "internal/commitlog", "FuzzOpen"},
	{"partition.metadata", "internal/commitlog", "FuzzTopicID"},
	{"offset and time indexes", "internal/commitlog/index", "FuzzDecode"},
	{"indexes of aborted transactions", "internal/commitlog/segment", "FuzzAborted"},
	{"snapshots of producers", "internal/commitlog/producer", "FuzzDecode"},
	{"leader epochs", "internal/commitlog/epoch", "FuzzDecode"},
	{"checkpoints", "internal/logdir", "FuzzCheckpoint"},
	{"meta.properties", "internal/logdir", "FuzzMeta"},
	{"names of folders", "internal/logdir", "FuzzDirName"},
	{"the list of logs at rest", "internal/logdir", "FuzzRests"},
	{"the journal", "internal/logdir/journal", "FuzzScan"},
	{"the log of the quorum", "internal/quorum", "FuzzLog"},
	{"snapshots of the quorum", "internal/quorum", "FuzzSnapshot"},
	{"the identity of the quorum", "internal/quorum", "FuzzIdentity"},
	{"answers to a follower's fetch", "internal/protocol", "FuzzFetchAnswer"},
	{"metadata that a broker pulls", "internal/cluster", "FuzzPulled"},
	{"requests between nodes to the controller", "internal/controller", "FuzzDecode"},
	{"metadata records", "internal/metadata", "FuzzDecode"},
	{"metadata snapshots", "internal/metadata", "FuzzDecodeSnapshot"},
	{"keys of __consumer_offsets", "internal/coordinator/group/stored", "FuzzKey"},
	{"stored offsets", "internal/coordinator/group/stored", "FuzzOffset"},
	{"stored groups", "internal/coordinator/group/stored", "FuzzGroup"},
	{"subscriptions of members", "internal/coordinator/group", "FuzzSubscription"},
	{"configuration files", "internal/config", "FuzzProperties"},
	{"addresses in settings", "internal/config", "FuzzAddresses"},
	{"values of settings", "internal/config", "FuzzValues"},
	{"metrics that the command line reads", "internal/cli/broker", "FuzzScrape"},
	{"files of offsets that the command line reads", "internal/cli/group", "FuzzOffsets"},
}

// TestEveryDecoderIsFuzzed holds the list against the tree: what it names is there, and every target of the tree is on it.
func TestEveryDecoderIsFuzzed(t *testing.T) {
	root := filepath.Join("..", "..")
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				where, err := filepath.Rel(root, filepath.Dir(path))
				if err != nil {
					return err
				}
				found[filepath.ToSlash(where)+" "+f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range decoders {
		at := d.where + " " + d.target
		if !found[at] {
			t.Errorf("%s are fuzzed by %s, which is not there", d.what, at)
		}
		delete(found, at)
		t.Logf("%s: %s", d.what, at)
	}
	for at := range found {
		t.Errorf("%s is not on the list", at)
	}
}
