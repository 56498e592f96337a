package controller

import (
	"fmt"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// BenchmarkRestart decides and applies the registration of a lone broker that died with 100,000 partitions.
func BenchmarkRestart(b *testing.B) {
	for _, topics := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("%d topics", topics), func(b *testing.B) {
			s := newBench(b, 1, 1)
			for i := range topics {
				s.create(NewTopic{Name: fmt.Sprint("topic-", i), Partitions: int32(100_000 / topics), ReplicationFactor: 1})
			}
			request := &RegisterBroker{ClusterID: "cluster", Incarnation: uuid.UUID{9}, Directories: []uuid.UUID{{1}}, Unfence: true}
			var size int
			b.ReportAllocs()
			for b.Loop() {
				records, _ := Step(s.img, s.settings, request, random.Seeded(1))
				entry := metadata.Encode(records)
				size = len(entry)
				decoded, err := metadata.Decode(entry)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := metadata.Apply(s.img, s.img.Index()+1, decoded); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size), "entry-bytes")
		})
	}
}
