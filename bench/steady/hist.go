package main

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// hist counts durations in log-linear buckets, 64 to a power of two: what it tells is within 1.6 % of the truth.
type hist struct {
	n [64 * 64]atomic.Int64
}

func (h *hist) add(d time.Duration) {
	v := uint64(max(d, 0))
	i := int(v)
	if v >= 64 {
		e := bits.Len64(v) - 7
		i = (e+1)*64 + int(v>>e) - 64
	}
	h.n[i].Add(1)
}

func (h *hist) total() (n int64) {
	for i := range h.n {
		n += h.n[i].Load()
	}
	return n
}

// quantile returns the duration below which the part q lies.
func (h *hist) quantile(q float64) time.Duration {
	left := int64(q * float64(h.total()))
	for i := range h.n {
		if left -= h.n[i].Load(); left < 0 {
			v := int64(i)
			if i >= 128 {
				v = int64(i%64+64) << (i/64 - 1)
			}
			return time.Duration(v)
		}
	}
	return 0
}

func (h *hist) String() string {
	ms := func(q float64) float64 { return float64(h.quantile(q).Microseconds()) / 1e3 }
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms", ms(.5), ms(.99), ms(.999))
}
