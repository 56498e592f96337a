package server

import (
	"sync"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/vfs"
)

// outlet is what responses are written with. A connection has one only while it writes, so that an idle one holds none.
type outlet struct {
	c     *Conn
	run   block // small pieces, gathered
	spans []vfs.Span
	w     *network.Writer
}

var outlets = sync.Pool{New: func() any {
	o := &outlet{w: network.NewWriter(nil)}
	o.w.OnProgress = func() { o.c.active(o.c.server.clock.Now()) }
	return o
}}

// outlet returns an outlet to this connection, which is to be closed.
func (c *Conn) outlet() *outlet {
	o := outlets.Get().(*outlet)
	o.c = c
	o.w.Attach(c.in.in)
	return o
}

// close lets go of the connection and of all that was sent.
func (o *outlet) close() {
	o.c = nil
	o.w.Attach(nil)
	clear(o.spans)
	o.spans = o.spans[:0]
	if cap(o.spans) > maxBatch {
		o.spans = nil
	}
	outlets.Put(o)
}
