package broker

import (
	"context"
	"math"
	"runtime/debug"
	rt "runtime/metrics"
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
// and stateBase. The limit only makes the collector work sooner, and never so low that it works in vain.
const (
	stateBase = 112 << 20
	stateLook = time.Second
)

// memory is what a node knows of its process's.
type memory struct {
	state   atomic.Int64
	crowded atomic.Bool
}

// keepMemory looks after the memory until ctx ends. Only a process that runs nothing else may have it.
func (b *Broker) keepMemory(ctx context.Context) {
	own := debug.SetMemoryLimit(-1) == math.MaxInt64 // else GOMEMLIMIT says what is wanted
	for {
		live, inUse, budget := liveHeap(), int64(0), int64(0)
		if s := b.serverNow.Load(); s != nil {
			m := s.Moment()
			inUse, budget = m.Memory, m.MemoryLimit
		}
		state := max(0, live-inUse)
		b.lookAtState(state)
		if own {
			debug.SetMemoryLimit(budget + state + state/2 + stateBase)
		}
		select {
		case <-ctx.Done():
			return
		case <-b.opts.Clock.After(stateLook):
		}
	}
}

// lookAtState decides whether there is room for more.
func (b *Broker) lookAtState(state int64) {
	b.memory.state.Store(state)
	limit := b.opts.Config.StateMaxBytes
	if limit < 0 {
		return
	}
	was := b.memory.crowded.Load()
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
