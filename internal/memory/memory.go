// Package memory looks after the memory of a process that runs nothing but a node: it says when there is too much of what stays for more of it, tells
// the runtime how much it may take, has a start leave less garbage, and gives back what requests have left behind. It refuses nobody, and counts no
// request: others do both.
//
// The memory of such a process has two parts, and a rule for each.
//
// Requests and their answers take what queued.max.request.bytes says; the server counts it, and refuses.
//
// What stays when requests are answered, the state, is looked at: it is what lives on the heap without the requests. From state.memory.max.bytes on
// nothing is taken that adds to it. What is there goes on.
//
// So that garbage does not add as much again, the runtime is told a limit that moves with the state: requests, half as much again as the state,
// and stateBase. The limit only makes the collector work sooner, and never so low that it works in vain. More than it may take is not
// allowed for, whatever the state seems to be. The process may take 64 MiB more (docs/operations.md): the
// program itself is not on the heap, and what is asked for while the collector is at work, which may be large at once, comes on top.
//
// What a collection found alive was so when it ran. So what requests held then is noted as well, and the difference is the state; with what they
// hold a second later the state would seem to be larger or smaller than it is by as much as goes through the node in that second. What requests have
// left behind in pools is alive, too, for one more collection: so the limit follows the state without the most that requests held at one of the last stateLooks.
package memory

import (
	"context"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	rt "runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
)

const (
	stateBase  = 48 << 20
	stateLeast = 32 << 20 // of garbage at least beside what is alive
	stateLook  = time.Second
	stateLooks = 8
)

// collectAt is the limit for the runtime, when so much was found alive and requests held so much lately. most is what the state may be; negative: anything.
func collectAt(budget, live, held, most int64) int64 {
	state := max(0, live-held)
	if most >= 0 {
		state = min(state, most)
	}
	return max(budget+state+state/2+stateBase, live+stateLeast)
}

// Options configures a Keeper.
type Options struct {
	Clock    clock.Clock
	Log      *slog.Logger
	StateMax int64                        // what the state may be (state.memory.max.bytes); negative: anything
	Requests func() (inUse, budget int64) // what requests hold now, and what they may
}

// Keeper is what looks after the memory. Until it runs there is room for everything.
type Keeper struct {
	opts    Options
	held    atomic.Int64 // by requests when the last collection ended
	state   atomic.Int64
	crowded atomic.Bool
	full    atomic.Bool
}

// New makes a Keeper, which does nothing before Run.
func New(opts Options) *Keeper { return &Keeper{opts: opts} }

// State returns how many bytes stayed when it was looked at last.
func (k *Keeper) State() int64 { return k.state.Load() }

// Crowded says that nothing is to be taken that adds to the state.
func (k *Keeper) Crowded() bool { return k.crowded.Load() }

// Full says that the state is an eighth over its limit.
func (k *Keeper) Full() bool { return k.full.Load() }

// Run looks after the memory until ctx ends. It concerns the whole process: a program that has a broker in it does not run it.
func (k *Keeper) Run(ctx context.Context) {
	var wait sync.WaitGroup
	wait.Go(func() { giveBack(ctx, k.opts.Clock) })
	k.keep(ctx)
	wait.Wait()
}

// sentinel is garbage from the start, so that each collection finds one. It is too large to share its memory with others.
type sentinel [16]*sentinel

// noteCollections notes what requests hold whenever a collection has ended, until ctx ends.
func (k *Keeper) noteCollections(ctx context.Context) {
	var found func(struct{})
	wait := func() { runtime.AddCleanup(new(sentinel), found, struct{}{}) }
	found = func(struct{}) {
		inUse, _ := k.opts.Requests()
		k.held.Store(inUse)
		if ctx.Err() == nil {
			wait()
		}
	}
	wait()
}

// keep watches the state and moves the limit of the runtime, until ctx ends.
func (k *Keeper) keep(ctx context.Context) {
	own := debug.SetMemoryLimit(-1) == math.MaxInt64 // else GOMEMLIMIT says what is wanted
	var held [stateLooks]int64                       // by requests, the oldest replaced first
	k.noteCollections(ctx)
	for i := 0; ; i++ {
		live, then := liveHeap(), k.held.Load()
		inUse, budget := k.opts.Requests()
		k.lookAtState(max(0, live-then), k.collected)
		if own {
			held[i%stateLooks] = max(inUse, then)
			debug.SetMemoryLimit(collectAt(budget, live, slices.Max(held[:]), k.opts.StateMax))
		}
		select {
		case <-ctx.Done():
			return
		case <-k.opts.Clock.After(stateLook):
		}
	}
}

// collected is the state as collections find it that are made to know it. What requests have left behind in pools is free the second time.
func (k *Keeper) collected() (state int64) {
	for range releases {
		before, _ := k.opts.Requests()
		runtime.GC()
		after, _ := k.opts.Requests()
		if state = max(0, liveHeap()-max(before, after)); state < k.opts.StateMax {
			break
		}
	}
	return state
}

// lookAtState decides whether there is room for more. Where the state seems to have come to its limit, or to be below again, it is asked for once more before that
// counts. For a collection cannot tell state from requests that were answered while it ran, which it found alive, nor from those that came meanwhile.
func (k *Keeper) lookAtState(state int64, again func() int64) {
	limit := k.opts.StateMax
	was := k.crowded.Load()
	wasFull := k.full.Load()
	full := func() bool { return state >= limit+limit/8 || wasFull && state >= limit+limit/16 }
	if limit >= 0 && (was != (state >= limit || was && state >= limit-limit/8) || wasFull != full()) {
		state = again()
	}
	k.state.Store(state)
	if limit < 0 {
		return
	}
	k.full.Store(full())
	now := state >= limit || was && state >= limit-limit/8 // so that it does not begin again at once
	if now == was {
		return
	}
	k.crowded.Store(now)
	if now {
		k.opts.Log.Error("no memory for more topics, groups and producers: they are refused, those that are there go on", "bytes", state, "state.memory.max.bytes", limit)
	} else {
		k.opts.Log.Info("there is memory for topics, groups and producers again", "bytes", state)
	}
}

// liveHeap is what the last garbage collection found alive.
func liveHeap() int64 {
	samples := []rt.Sample{{Name: "/gc/heap/live:bytes"}}
	rt.Read(samples)
	if samples[0].Value.Kind() != rt.KindUint64 {
		return 0
	}
	return int64(samples[0].Value.Uint64())
}
