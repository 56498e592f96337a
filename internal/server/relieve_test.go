package server

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/protocol"
)

// Connections that have used up the budget with requests which they never finish, a byte now and then, are closed as soon as somebody else needs
// memory. Nobody waits for the stall time-out, which they would never meet.
func TestHoardersMakeRoom(t *testing.T) {
	const size = 1 << 20
	bubble(t, Options{Handler: handlerFunc(echo), MaxRequestBytes: 2 * size, MaxMemoryBytes: 8 * size}, func(r *rig) {
		var hoarders []*client
		for range 12 {
			c := r.dial()
			hoarders = append(hoarders, c)
			go func() { // who finds no room is not read to the end
				if _, err := c.Write(append(protocol.AppendInt32(nil, size), make([]byte, size-1000)...)); err != nil {
					return
				}
				for range 500 {
					time.Sleep(20 * time.Second)
					if _, err := c.Write(make([]byte, 1)); err != nil {
						return
					}
				}
			}()
		}
		time.Sleep(2 * time.Second)
		honest := r.dial()
		began := time.Now()
		honest.send(frame(1, make([]byte, size)))
		if id, b, err := honest.receive(); id != 1 || len(b) != size || err != nil {
			t.Errorf("the honest client got %d, %d bytes, %v", id, len(b), err)
		}
		if waited := time.Since(began); waited > 2*lookForRoom {
			t.Errorf("the honest client waited for %s", waited)
		}
		r.wantReason(ErrMemory)
		honest.Close()
		for _, c := range hoarders {
			c.Close()
		}
	})
}

// Large requests wait for one another: while they have used up their part, however many wait, small ones are served without a wait.
func TestLargeRequestsDoNotHoldUpSmallOnes(t *testing.T) {
	const large = 4 << 20
	h := &held{}
	bubble(t, Options{Handler: h, MaxRequestBytes: large, MaxMemoryBytes: 16 << 20}, func(r *rig) {
		var many []*client
		for i := range int32(6) {
			c := r.dial()
			many = append(many, c)
			go func() { _, _ = c.Write(frame(i, make([]byte, large-100))) }()
		}
		synctest.Wait()
		inTurn := h.take()
		if n := len(inTurn); n == 0 || n == len(many) {
			t.Fatalf("%d of %d large requests found room", n, len(many))
		}
		small := r.dial()
		small.send(frame(1, make([]byte, 1<<20)))
		synctest.Wait()
		q := h.take()
		if len(q) != 1 {
			t.Fatal("the small request waits behind the large ones")
		}
		q[0].echo()
		if id, b, err := small.receive(); id != 1 || len(b) != 1<<20 || err != nil {
			t.Errorf("got %d, %d bytes, %v", id, len(b), err)
		}
		served := 0
		for ; len(inTurn) > 0; inTurn = h.take() {
			for _, x := range inTurn {
				x.reply.None()
				served++
			}
			synctest.Wait()
		}
		if served != len(many) {
			t.Errorf("%d of %d large requests were served", served, len(many))
		}
		small.Close()
		for _, c := range many {
			c.Close()
		}
	})
}

// Answers that wait to be taken count against the budget, and who does not take his is closed when another needs the memory.
func TestAnswersCountAgainstTheBudget(t *testing.T) {
	const size = 1 << 20
	bubble(t, Options{Handler: handlerFunc(func(req *Request, reply Reply) {
		reply.SendBytes(append(req.AppendHeader(req.Buffer), make([]byte, size)...))
	}), MaxRequestBytes: 2 * size, MaxMemoryBytes: 8 * size}, func(r *rig) {
		var idlers []*client
		for i := range int32(4) {
			c := r.dial()
			idlers = append(idlers, c)
			for range 4 {
				c.send(frame(i, nil))
			}
		}
		synctest.Wait()
		if n := r.server.MemoryInUse(); n < 4*size {
			t.Errorf("answers that are not taken count for %d bytes", n)
		}
		time.Sleep(2 * time.Second)
		honest := r.dial()
		go func() { _, _ = honest.Write(frame(1, make([]byte, size))) }()
		if id, b, err := honest.receive(); id != 1 || len(b) != size || err != nil {
			t.Errorf("the honest client got %d, %d bytes, %v", id, len(b), err)
		}
		honest.Close()
		for _, c := range idlers {
			c.Close()
		}
	})
}

// later answers when the reader has gone on: else it would write itself, and wait for that to be taken.
func later(reply Reply, b []byte) {
	time.Sleep(time.Millisecond)
	reply.SendBytes(b)
}

// An answer that is not taken holds its own bytes, and not those of the request, nor what was charged to make it.
func TestAnswersHoldTheirBytesAlone(t *testing.T) {
	const size, most, requests = 256 << 10, 1 << 20, 6
	bubble(t, Options{Handler: handlerFunc(func(req *Request, reply Reply) {
		if !req.Charge(3*most) || !req.Charge(most) {
			t.Error("no memory")
		}
		go later(reply, append(req.AppendHeader(nil), make([]byte, size)...))
	}), MaxRequestBytes: 2 * most, MaxMemoryBytes: 16 * most}, func(r *rig) {
		c := r.dial()
		go func() {
			for i := range int32(requests) {
				_, _ = c.Write(frame(i, make([]byte, most)))
				time.Sleep(2 * time.Millisecond)
			}
		}()
		time.Sleep(time.Second)
		if n := r.server.MemoryInUse(); n < requests*size || n > requests*size*5/4+int64(len(block{})) {
			t.Errorf("%d bytes are held for %d answers of %d", n, requests, size)
		}
		for i := range int32(requests) {
			if id, b, err := c.receive(); id != i || len(b) != size || err != nil {
				t.Errorf("answer %d is %d, of %d bytes, %v", i, id, len(b), err)
			}
		}
		synctest.Wait()
		if n := r.server.MemoryInUse(); n != 0 {
			t.Errorf("%d bytes are held when all is taken", n)
		}
		c.Close()
	})
}

// While memory is short a connection has only a little of its answers made that it does not take, however many there are of such; who takes them gets all.
func TestFewAnswersAreMadeWhileMemoryIsShort(t *testing.T) {
	const size, budget, clients, requests = 512 << 10, 16 << 20, 4, 30
	bubble(t, Options{Handler: handlerFunc(func(req *Request, reply Reply) {
		go later(reply, append(req.AppendHeader(nil), make([]byte, size)...))
	}), MaxRequestBytes: 1 << 20, MaxMemoryBytes: budget}, func(r *rig) {
		var cs []*client
		for range clients {
			c := r.dial()
			cs = append(cs, c)
			for i := range int32(requests) {
				c.send(frame(i, nil))
				time.Sleep(2 * time.Millisecond)
			}
		}
		if n := r.server.MemoryInUse(); n < budget/2 || n > budget/2+clients*(shortQueued+2*size) {
			t.Errorf("%d bytes are held for answers that nobody takes, of a budget of %d", n, budget)
		}
		for _, c := range cs {
			for i := range int32(requests) {
				if id, b, err := c.receive(); id != i || len(b) != size || err != nil {
					t.Fatalf("answer %d is %d, of %d bytes, %v", i, id, len(b), err)
				}
			}
			c.Close()
		}
	})
}

// A request that waits because its client wants it to gives the memory of its bytes back; where that of many such is needed, they end.
func TestParkedRequestsHoldLittle(t *testing.T) {
	const size = 1 << 20
	park := handlerFunc(func(req *Request, reply Reply) {
		if len(req.Body) < size {
			echo(req, reply)
			return
		}
		if !req.Charge(750 << 10) {
			t.Error("no memory")
		}
		req.Park()
		go func() {
			<-req.Conn.Context().Done()
			reply.None()
		}()
	})
	bubble(t, Options{Handler: park, MaxRequestBytes: 2 * size, MaxMemoryBytes: 7987 << 10}, func(r *rig) {
		var parked []*client
		for range 9 {
			c := r.dial()
			parked = append(parked, c)
			c.send(frame(1, make([]byte, size)))
			synctest.Wait()
		}
		if n := r.server.MemoryInUse(); n > 9*(760<<10) {
			t.Errorf("%d bytes are held for 9 requests that wait", n)
		}
		time.Sleep(2 * time.Second)
		honest := r.dial()
		honest.send(frame(1, make([]byte, size-100)))
		if id, b, err := honest.receive(); id != 1 || len(b) != size-100 || err != nil {
			t.Errorf("the honest client got %d, %d bytes, %v", id, len(b), err)
		}
		r.wantReason(ErrMemory)
		honest.Close()
		for _, c := range parked {
			c.Close()
		}
	})
}

// While large requests that the broker is at work on have used up their part, whoever waits for it waits for the broker: closing others, who hold
// what would be of no use to him, is in vain.
func TestNobodyIsClosedInVain(t *testing.T) {
	const large = 8 << 20
	h := &held{}
	var parked atomic.Int32
	bubble(t, Options{MaxRequestBytes: large, MaxMemoryBytes: 48 << 20, Handler: handlerFunc(func(req *Request, reply Reply) {
		if len(req.Body) > 100 {
			h.Serve(req, reply)
			return
		}
		req.Park()
		parked.Add(1)
		go func() {
			<-req.Conn.Context().Done()
			reply.None()
		}()
	})}, func(r *rig) {
		var clients []*client
		for i := range int32(20) {
			c := r.dial()
			clients = append(clients, c)
			c.send(frame(i, nil))
		}
		time.Sleep(2 * time.Second)
		for i := range int32(3) {
			c := r.dial()
			clients = append(clients, c)
			go func() { _, _ = c.Write(frame(i, make([]byte, large-100))) }()
			synctest.Wait()
		}
		if q := h.take(); len(q) != 2 {
			t.Fatalf("%d large requests found room, want 2", len(q))
		} else {
			time.Sleep(5 * time.Second)
			if got := r.reasons(); len(got) > 0 || parked.Load() != 20 {
				t.Errorf("%d connections were closed, the last for %v", len(got), got[len(got)-1])
			}
			q[0].reply.None()
			synctest.Wait()
			for _, x := range append(h.take(), q[1]) {
				x.reply.None()
			}
			synctest.Wait()
		}
		for _, c := range clients {
			c.Close()
		}
	})
}

// Who waits for memory keeps no block of 64 KiB, nor reads much of what may lie behind what he waits for.
func TestLittleIsKeptWhileMemoryIsShort(t *testing.T) {
	const size = 1 << 20
	h := &held{}
	bubble(t, Options{Handler: h, MaxRequestBytes: size, MaxMemoryBytes: 4 * size}, func(r *rig) {
		full := r.dial()
		for i := range int32(3) {
			full.send(frame(i, make([]byte, size-100)))
		}
		synctest.Wait()
		q := h.take()
		for q[0].req.Charge(64<<10) && r.server.MemoryInUse() < 4*size {
		}
		had := r.server.Stats().Received.Load()
		var waiting []*client
		for range 100 {
			c := r.dial()
			waiting = append(waiting, c)
			one := frame(1, make([]byte, 600))
			for range 30 {
				c.send(one)
			}
			synctest.Wait()
		}
		blocks := 0
		r.server.mu.Lock()
		for c := range r.server.mu.conns {
			if c.in.block != nil {
				blocks++
			}
		}
		r.server.mu.Unlock()
		if n := r.server.Moment().Waiting; n != 100 || blocks > 0 {
			t.Errorf("%d connections wait for memory, and hold %d blocks", n, blocks)
		}
		if n := r.server.Stats().Received.Load() - had; n > 64<<10+100*littleRead {
			t.Errorf("%d bytes were read of connections that wait", n)
		}
		for served := 0; served < 100*30; q = h.take() {
			for _, x := range q {
				x.reply.None()
				served++
			}
			if synctest.Wait(); len(q) == 0 {
				t.Fatalf("%d requests were served", served)
			}
		}
		full.Close()
		for _, c := range waiting {
			c.Close()
		}
	})
}
