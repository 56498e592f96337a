package broker

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	rt "runtime/metrics"
	"slices"
	"sync/atomic"
	"time"
)

// The memory of a process that runs a node has two parts, and a rule for each.
//
// Requests and their answers take what queued.max.request.bytes says; the server counts it, and refuses.
//
// What stays when requests are answered, the state, is looked at: it is what lives on the heap without the requests. From state.memory.max.bytes on
// nothing is taken that adds to it. What is there goes on.
//
// So that garbage does not add as much again, the runtime is told a limit that moves with the state: requests, half as much again as the state,
// and stateBase. The limit only makes the collector work sooner, and never so low that it works in vain. The process may take 48 MiB more (docs/operations.md): the
// program itself is not on the heap, and what is asked for while the collector is at work, which may be large at once, comes on top.
//
// What a collection found alive was so when it ran, and what requests hold is known of now: after a moment with large requests the state seems
// to be larger than it is by as much. So the limit follows the state without the most that requests held at one of the last stateLooks.
const (
	stateBase  = 64 << 20
	stateLook  = time.Second
	stateLooks = 8
)

// collectAt is the limit for the runtime, when so much was found alive and requests held so much lately. It is above what is alive, because
// requests hold no more than their budget.
func collectAt(budget, live, held int64) int64 {
	state := max(0, live-held)
	return budget + state + state/2 + stateBase
}

// memory is what a node knows of its process's.
type memory struct {
	state   atomic.Int64
	crowded atomic.Bool
}

// keepMemory looks after the memory until ctx ends. Only a process that runs nothing else may have it.
func (b *Broker) keepMemory(ctx context.Context) {
	own := debug.SetMemoryLimit(-1) == math.MaxInt64 // else GOMEMLIMIT says what is wanted
	var held [stateLooks]int64                       // by requests, the oldest replaced first
	for i := 0; ; i++ {
		live := liveHeap()
		inUse, budget := b.requestMemory()
		b.lookAtState(max(0, live-inUse), b.collected)
		if own {
			held[i%stateLooks] = inUse
			debug.SetMemoryLimit(collectAt(budget, live, slices.Max(held[:])))
		}
		select {
		case <-ctx.Done():
			return
		case <-b.opts.Clock.After(stateLook):
		}
	}
}

// requestMemory is what requests hold now, and what they may.
func (b *Broker) requestMemory() (inUse, budget int64) {
	if s := b.serverNow.Load(); s != nil {
		return s.Memory()
	}
	return 0, 0
}

// collected is the state as collections find it that are made to know it. What requests have left behind in pools is free the second time.
func (b *Broker) collected() (state int64) {
	for range releases {
		before, _ := b.requestMemory()
		runtime.GC()
		after, _ := b.requestMemory()
		if state = max(0, liveHeap()-max(before, after)); state < b.opts.Config.StateMaxBytes {
			break
		}
	}
	return state
}

// lookAtState decides whether there is room for more. Where the state seems to have come to its limit, it is asked for again before anybody is
// refused: requests that the last collection found alive may have been answered since, and seem to be state.
func (b *Broker) lookAtState(state int64, again func() int64) {
	limit := b.opts.Config.StateMaxBytes
	was := b.memory.crowded.Load()
	if limit >= 0 && !was && state >= limit {
		state = again()
	}
	b.memory.state.Store(state)
	if limit < 0 {
		return
	}
	now := state >= limit || was && state >= limit-limit/8 // so that it does not begin again at once
	if now == was {
		return
	}
	b.memory.crowded.Store(now)
	if now {
		b.opts.Log.Error("no memory for more topics, groups and producers: they are refused, those that are there go on", "bytes", state, "state.memory.max.bytes", limit)
	} else {
		b.opts.Log.Info("there is memory for topics, groups and producers again", "bytes", state)
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
