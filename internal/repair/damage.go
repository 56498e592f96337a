package repair

import (
	"fmt"
	"strings"
	"sync"

	"github.com/moldau/moldau/internal/commitlog/segment"
)

// placesMax bounds how many damaged places are remembered, so that each is told of once.
const placesMax = 10_000

// told are the damaged places that were told of.
type told struct {
	sync.Mutex
	places map[string]bool
}

// add notes a place, and says whether it is to be told of.
func (t *told) add(d *segment.DamageError) bool {
	key := fmt.Sprint(d.Path, ":", d.From)
	t.Lock()
	defer t.Unlock()
	if t.places[key] {
		return false
	}
	if len(t.places) < placesMax {
		if t.places == nil {
			t.places = map[string]bool{}
		}
		t.places[key] = true
	}
	return true
}

// forget has what is found in a file from now on told again.
func (t *told) forget(path string) {
	t.Lock()
	defer t.Unlock()
	for key := range t.places {
		if strings.HasPrefix(key, path+":") {
			delete(t.places, key)
		}
	}
}

// Found hears of each place in a segment that is not what was written, from readers and from the scrub. It does not wait.
func (r *Repairer) Found(d *segment.DamageError) {
	r.Add(d.Path)
	if !r.told.add(d) {
		return
	}
	r.stats.Damaged.Inc()
	r.opts.Log.Error("a part of a log is damaged: its records are refused, all others are served",
		"file", d.Path, "position", d.From, "bytes", d.To-d.From, "first offset", d.First, "last offset", d.Next-1, "error", d.Why)
}
