package clock

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestManualRunsTimersInOrder(t *testing.T) {
	m := NewManual(start)
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, fmt.Sprint(name, m.Now().Sub(start))) }
	}
	m.AfterFunc(3*time.Second, note("c"))
	m.AfterFunc(time.Second, note("a"))
	m.AfterFunc(3*time.Second, note("d"))
	m.AfterFunc(2*time.Second, func() {
		note("b")()
		m.AfterFunc(500*time.Millisecond, note("nested"))
		m.AfterFunc(time.Hour, note("late"))
	})
	m.AfterFunc(0, note("zero"))
	if len(got) != 0 {
		t.Fatal("a timer ran without Advance:", got)
	}
	m.Advance(0)
	m.Advance(10 * time.Second)
	want := []string{"zero0s", "a1s", "b2s", "nested2.5s", "c3s", "d3s"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := m.Now().Sub(start); d != 10*time.Second {
		t.Errorf("the clock stands at %v", d)
	}
	if due, ok := m.Next(); !ok || due.Sub(start) != time.Hour+2*time.Second || m.Pending() != 1 {
		t.Error(due, ok, m.Pending())
	}
}

func TestManualStopAndReset(t *testing.T) {
	m := NewManual(start)
	ran := 0
	timer := m.AfterFunc(time.Second, func() { ran++ })
	if !timer.Stop() || timer.Stop() {
		t.Error("Stop does not say whether the timer was pending")
	}
	m.Advance(time.Minute)
	if timer.Reset(time.Second) {
		t.Error("Reset of a stopped timer says it was pending")
	}
	if !timer.Reset(2 * time.Second) {
		t.Error("Reset of a pending timer says it was not")
	}
	m.Advance(time.Second)
	if ran != 0 {
		t.Error("the timer ran at its old time")
	}
	m.Advance(time.Second)
	if ran != 1 || timer.Stop() {
		t.Error("ran", ran)
	}
	if _, ok := m.Next(); ok || m.Pending() != 0 {
		t.Error("a timer is left")
	}
}

func TestManualAfter(t *testing.T) {
	m := NewManual(start)
	c := m.After(time.Second)
	m.Advance(999 * time.Millisecond)
	select {
	case at := <-c:
		t.Fatal("too early:", at)
	default:
	}
	m.Advance(time.Hour)
	if at := <-c; !at.Equal(start.Add(time.Second)) {
		t.Error(at)
	}
}

func TestManualConcurrent(t *testing.T) {
	m := NewManual(start)
	var mu sync.Mutex
	ran := 0
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 50 {
				m.AfterFunc(time.Duration(i*k)*time.Millisecond, func() { mu.Lock(); ran++; mu.Unlock() })
				m.Advance(time.Millisecond)
			}
		})
	}
	wg.Wait()
	m.Advance(time.Second)
	if ran != 400 || m.Pending() != 0 {
		t.Errorf("%d of 400 timers ran, %d are left", ran, m.Pending())
	}
}

func TestReal(t *testing.T) {
	before := Real.Now()
	<-Real.After(0)
	done := make(chan struct{})
	timer := Real.AfterFunc(0, func() { close(done) })
	<-done
	if timer.Stop() || Real.Now().Before(before) {
		t.Error("the real clock does not behave")
	}
}
