package diff

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/handler"
)

// served is the table of APIs that Moldau serves; its rows must have cases.
func served() []API {
	var rows []API
	for _, s := range handler.Table() {
		rows = append(rows, API{Key: int16(s.Key), Min: s.Min, Max: s.Max})
	}
	return rows
}

// target returns the broker under test: Moldau inside this process on a directory of its own, with the properties that the recorded Kafka
// had. MOLDAU_DIFF_ADDR names a broker that runs already instead, for the cases of the broker that MOLDAU_DIFF_BROKER names (plain); it should
// be fresh, and it cannot be restarted; MOLDAU_DIFF_CONTROLLER names its listener for controllers.
func target(t *testing.T, b Broker) *Target {
	if addr := os.Getenv("MOLDAU_DIFF_ADDR"); addr != "" {
		return &Target{Addr: addr, Controller: os.Getenv("MOLDAU_DIFF_CONTROLLER")}
	}
	dir := t.TempDir()
	properties := []byte(Properties(0, 0, dir, b.PropertiesIn(dir)...))
	var running *broker.Broker
	target := &Target{}
	start := func() error {
		cfg, _, err := config.Load(config.Sources{FileName: "server.properties", File: properties})
		if err != nil {
			return fmt.Errorf("load configuration: %w", err)
		}
		if running, err = broker.Start(broker.Options{Config: cfg}); err != nil {
			return fmt.Errorf("start broker: %w", err)
		}
		target.Addr, target.Controller = running.Addresses()[0], running.ControllerAddresses()[0]
		return nil
	}
	target.Restart = func() error {
		if err := running.Stop(); err != nil {
			return fmt.Errorf("stop broker: %w", err)
		}
		return start()
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Errorf("stop broker: %v", err)
		}
	})
	return target
}

// TestMoldau plays every case to Moldau. What differs from Kafka must stand in the table of deliberate differences, and what stands
// there must differ.
func TestMoldau(t *testing.T) {
	cases, rec := recording(t)
	table := Differences()
	var (
		mu     sync.Mutex
		all    []Difference
		played int
	)
	t.Run("with", func(t *testing.T) {
		for _, b := range Brokers() {
			own := b.Of(cases)
			if len(own) == 0 || os.Getenv("MOLDAU_DIFF_ADDR") != "" && b.Title() != cmp.Or(os.Getenv("MOLDAU_DIFF_BROKER"), "plain") {
				continue
			}
			t.Run(b.Title(), func(t *testing.T) {
				t.Parallel()
				moldau := target(t, b)
				if err := b.Warm(moldau); err != nil {
					t.Fatal(err)
				}
				b.Play(moldau, own, func(c Case, answers []Answer, _ time.Duration) {
					differences := Compare(c.ID(), rec[c.ID()], answers)
					rest, _ := Judge(table, differences)
					t.Run(c.ID(), func(t *testing.T) { report(t, rest) })
					mu.Lock()
					defer mu.Unlock()
					all = append(all, differences...)
					played++
				})
			})
		}
	})
	if played < len(cases) {
		return // a part of the suite cannot tell what no longer differs
	}
	_, stale := Judge(table, all)
	for _, a := range stale {
		t.Errorf("allowed difference no longer seen: case %q, note %q, field %q (%s)", a.Case, a.Note, a.Path, a.Reason)
	}
}

// report fails a case by what differs and is not allowed to.
func report(t *testing.T, rest []Difference) {
	for i, d := range rest {
		if i == maxShown {
			t.Errorf("and %d more", len(rest)-i)
			break
		}
		t.Errorf("%s", d)
		if d.Sent() != "" {
			t.Logf("sent:\n%s", d.Sent())
		}
	}
}

// maxShown bounds the differences printed for one case.
const maxShown = 12
