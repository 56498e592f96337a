package repair

import (
	"testing"
	"time"
)

// TestMenders: several segments are repaired at a time, one of a partition, the one that waits longest first.
func TestMenders(t *testing.T) {
	r := New(Options{})
	now := time.Unix(1000, 0)
	if job, wait := r.next(now); job != nil || wait != 0 {
		t.Fatalf("%+v, %v", job, wait)
	}
	for i, path := range []string{"d/a-0/1.log", "d/a-0/2.log", "d/b-0/1.log", "d/c-0/1.log"} {
		r.Add(path)
		r.waiting[path].due = now.Add(time.Duration(i-2) * time.Second)
	}
	take := func(want string) *damaged {
		t.Helper()
		job, wait := r.next(now)
		switch {
		case job == nil && want != wait.String(), job != nil && want != job.path:
			t.Fatalf("%+v, %v, want %s", job, wait, want)
		}
		return job
	}
	a := take("d/a-0/1.log")
	b := take("d/b-0/1.log")
	take("1s") // until that of c; the other one of a waits for the first
	r.put(a, true, true, now)
	if !r.Lost("d/a-0/1.log") || r.Lost("d/a-0/2.log") {
		t.Error("not the first one of a is lost")
	}
	r.Add("d/b-0/1.log")
	r.put(b, false, false, now.Add(time.Second)) // due after c
	a2 := take("d/a-0/2.log")
	now = now.Add(time.Hour)
	c := take("d/c-0/1.log")
	r.put(a2, false, false, now)
	r.put(c, false, false, now)
	if a, b := take(a.path), take(b.path); a == nil || b == nil {
		t.Fatal("who failed, and who was found again, is not tried again")
	} else {
		r.put(a, false, false, now)
		r.put(b, false, false, now)
	}
	if take("0s"); r.Waiting() != 0 || r.Lost("d/a-0/1.log") {
		t.Errorf("%d wait", r.Waiting())
	}
}
