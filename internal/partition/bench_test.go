package partition_test

import (
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/partition"
)

// BenchmarkAppend is what a leader without followers does for a batch beside writing it to memory.
func BenchmarkAppend(b *testing.B) {
	p := hosted(b, false, nil)
	lead(p, 0, 0, self)
	one := batch(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Append(one, true); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSynced is what the news costs that nothing more was synced.
func BenchmarkSynced(b *testing.B) {
	p := hosted(b, true, nil)
	lead(p, 0, 0, self)
	if _, err := p.Append(batch(500), true); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Synced(0)
	}
}

// BenchmarkRead is an empty read at the high watermark.
func BenchmarkRead(b *testing.B) {
	p := hosted(b, false, nil)
	lead(p, 0, 0, self)
	if _, err := p.Append(batch(1000), true); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := p.Read(partition.ReadRequest{Offset: 1000, MaxBytes: 1 << 20, LeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil {
			b.Fatal(err)
		}
		r.Slice = commitlog.Slice{}
	}
}

// BenchmarkAppendShared is BenchmarkAppend with two followers in the ISR, who do not fetch.
func BenchmarkAppendShared(b *testing.B) {
	p := hosted(b, false, nil)
	lead(p, 0, 0, self, 2, 3)
	one := batch(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Append(one, true); err != nil {
			b.Fatal(err)
		}
	}
}
