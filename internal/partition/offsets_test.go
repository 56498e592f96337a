package partition

import (
	"math"
	"testing"
)

func TestHighWatermark(t *testing.T) {
	const none = math.MaxInt64
	for _, c := range []struct {
		name    string
		m       leaderMarks
		present int64
		want    int64
	}{
		{"memory counts log ends", leaderMarks{logEnd: 9, syncedEnd: 4, isr: 1, minISR: 1, followersEnd: none}, 0, 9},
		{"disk counts synced ends", leaderMarks{durable: true, logEnd: 9, syncedEnd: 4, isr: 1, minISR: 1, followersEnd: none}, 0, 4},
		{"the slowest follower counts", leaderMarks{logEnd: 9, syncedEnd: 9, isr: 3, minISR: 2, followersEnd: 6}, 0, 6},
		{"a follower ahead does not", leaderMarks{logEnd: 9, syncedEnd: 9, isr: 2, minISR: 2, followersEnd: 12}, 0, 9},
		{"it never goes back", leaderMarks{logEnd: 9, syncedEnd: 9, isr: 2, minISR: 2, followersEnd: 3}, 7, 7},
		{"it stands still below min.insync.replicas", leaderMarks{logEnd: 9, syncedEnd: 9, isr: 1, minISR: 2, followersEnd: none}, 3, 3},
	} {
		if got := c.m.highWatermark(c.present); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
