package main

import (
	"os"
	"path/filepath"
	"sort"
	"time"
)

// bufferedWriteThenSync is the disk's own figure that the durable log is held against: 512 MiB written in pieces of 1 MiB
// through the page cache to a new file, then one sync. In MB/s.
func bufferedWriteThenSync(dir string) (float64, error) {
	const total, piece = 512 << 20, 1 << 20
	prepareMemory(2 * total)
	f, err := os.OpenFile(filepath.Join(dir, "reference"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	settle(f) // what earlier files left to do is not this one's cost
	buf := pattern(piece)
	t0 := time.Now()
	for off := int64(0); off < total; off += piece {
		if _, err := f.WriteAt(buf, off); err != nil {
			return 0, err
		}
	}
	if err := datasync(f); err != nil {
		return 0, err
	}
	return total / time.Since(t0).Seconds() / 1e6, nil
}

func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func median(d []time.Duration) time.Duration {
	s := append([]time.Duration(nil), d...)
	sort.Slice(s, func(i, k int) bool { return s[i] < s[k] })
	return s[len(s)/2]
}

func worst(d []time.Duration) time.Duration {
	s := append([]time.Duration(nil), d...)
	sort.Slice(s, func(i, k int) bool { return s[i] < s[k] })
	return s[len(s)-1]
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }
