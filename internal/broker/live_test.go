package broker

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/vfs"
)

// set changes settings of this broker, or of all.
func (n *node) set(broker string, values ...string) {
	n.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, broker
	for i := 0; i < len(values); i += 2 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = values[i], &values[i+1]
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(n.context(), n.client())
	if err != nil {
		n.t.Fatal(err)
	}
	if got := resp.Resources[0]; got.ErrorCode != 0 {
		n.t.Fatalf("set %q: %d %s", values, got.ErrorCode, *got.ErrorMessage)
	}
}

// TestSettingsActAtOnce changes what each part acts on, and finds it changed there when the answer is here, and after a restart.
func TestSettingsActAtOnce(t *testing.T) {
	disk := vfs.NewMem()
	n := start(t, disk, "max.connections=600")
	admin := kadm.NewClient(n.client())
	if _, err := admin.CreateTopic(n.context(), 1, 1, nil, "follows"); err != nil {
		t.Fatal(err)
	}
	own := "3000000"
	if _, err := admin.CreateTopic(n.context(), 1, 1, map[string]*string{"segment.bytes": &own}, "own"); err != nil {
		t.Fatal(err)
	}
	n.set("", "log.segment.bytes", "2000000", "max.connections", "700", "log.cleaner.backoff.ms", "77")
	n.set("1", "max.connections", "800", "listener.name.plaintext.max.connections", "750", "max.connections.per.ip.overrides", "10.0.0.1:400,[::0:1]:3", "producer.id.expiration.ms", "5000", "min.insync.replicas.of.nobody", "1")
	check := func(when string) {
		t.Helper()
		now := n.live.now()
		if got := now.Topic(nil).SegmentBytes; got != 2000000 {
			t.Errorf("%s: topics have segments of %d bytes", when, got)
		}
		if got := now.Topic(map[string]string{"segment.bytes": own}).SegmentBytes; got != 3000000 {
			t.Errorf("%s: a topic of its own has segments of %d bytes", when, got)
		}
		if now.MaxConnections != 800 || n.server.InForce().All != 800 {
			t.Errorf("%s: %d connections, the server takes %d", when, now.MaxConnections, n.server.InForce().All)
		}
		if l := n.server.InForce(); l.Listeners["PLAINTEXT"] != 750 || l.Hosts["10.0.0.1"] != 400 || l.Hosts["::1"] != 3 || l.PerHost != 2147483647 {
			t.Errorf("%s: the limits are %+v", when, l)
		}
		if now.ProducerIDExpiration.Seconds() != 5 || now.Cleaner().Backoff.Milliseconds() != 77 {
			t.Errorf("%s: producers stay %v, the cleaner waits %v", when, now.ProducerIDExpiration, now.Cleaner().Backoff)
		}
		if idle := now.Idle(); !slices.Contains(idle, "min.insync.replicas.of.nobody") || len(idle) != 1 {
			t.Errorf("%s: idle are %q", when, idle)
		}
	}
	check("at once")
	n.stop()
	n = start(t, disk, "max.connections=600")
	check("after a restart")
}

// TestListConfigResources lists resources of all types.
func TestListConfigResources(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	if _, err := kadm.NewClient(n.client()).CreateTopic(n.context(), 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	resp, err := kmsg.NewPtrListConfigResourcesRequest().RequestWith(n.context(), n.client())
	if err != nil || resp.ErrorCode != 0 {
		t.Fatal(resp, err)
	}
	var names []string
	for _, r := range resp.ConfigResources {
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"orders", "1", "1"}) {
		t.Errorf("listed are %q", names)
	}
}

// TestLevelOfTheLog lets a log that would write from WARN on write less and more.
func TestLevelOfTheLog(t *testing.T) {
	var lines int
	log, level := withLevel(slog.New(counting{slog.LevelWarn, &lines}))
	if level.Level() != slog.LevelWarn {
		t.Errorf("begins at %v", level.Level())
	}
	for _, c := range []struct {
		level slog.Level
		lines int
	}{{slog.LevelWarn, 1}, {slog.LevelDebug, 2}, {slog.LevelError, 0}} {
		level.Set(c.level)
		lines = 0
		log.With("a", 1).WithGroup("g").Warn("once")
		log.Debug("now and then")
		if lines != c.lines {
			t.Errorf("%d lines at %v, want %d", lines, c.level, c.lines)
		}
	}
}

// counting counts the lines it is to write.
type counting struct {
	level slog.Level
	lines *int
}

func (c counting) Enabled(_ context.Context, level slog.Level) bool { return level >= c.level }
func (c counting) Handle(context.Context, slog.Record) error        { *c.lines++; return nil }
func (c counting) WithAttrs([]slog.Attr) slog.Handler               { return c }
func (c counting) WithGroup(string) slog.Handler                    { return c }
