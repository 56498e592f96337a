package logdir

import (
	"testing"
	"time"
)

// TestEconomy: the journal takes much while little is appended, and not beyond its share of what the disk was seen to write; a bad moment is forgotten.
func TestEconomy(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	// stream appends so many bytes a second for a while, and says whether the journal is good enough for that in the end.
	stream := func(e *economy, rate float64) bool {
		const each = 5 * time.Millisecond
		for range int(2 * recentTime / each) {
			now = now.Add(each)
			e.appended(now, int64(rate*each.Seconds()))
		}
		return e.affords(now)
	}
	journals := func(e *economy, rate float64) {
		for range 50 {
			const group = 1 << 20
			took := time.Duration(group / rate * float64(time.Second))
			now = now.Add(took)
			e.committed(now, group, took)
		}
	}
	fast := new(economy)
	if !fast.affords(now) || !stream(fast, 200e6) || stream(fast, 300e6) {
		t.Error("of a disk of which nothing is known")
	}
	journals(fast, 2e9)
	if !stream(fast, 400e6) || stream(fast, 700e6) {
		t.Error("of a disk that writes 2 GB/s")
	}
	slow := new(economy)
	journals(slow, 120e6)
	if !stream(slow, 20e6) || stream(slow, 60e6) {
		t.Error("of a disk that writes 120 MB/s")
	}
	slow.committed(now, 16<<10, time.Second)
	if !stream(slow, 20e6) {
		t.Error("a small group tells how fast a disk writes")
	}
	now = now.Add(forgetSpeed)
	if !stream(slow, 200e6) {
		t.Error("it is not looked again how fast the disk is")
	}
	if stream(slow, 400e6); !slow.affords(now.Add(recentTime)) {
		t.Error("what was appended long ago still counts")
	}
}
