// Package server turns sockets into requests: it accepts connections, cuts them into frames, decodes request headers and sends
// responses in request order. It owns connections, request buffers and their limits. It never looks into a body and knows no API:
// what a request means belongs to the Handler.
//
// # A connection
//
// One goroutine, the reader, reads as many pipelined requests as one system call yields and calls the Handler for each in arrival
// order. Replies that are given before Serve returns are collected and written by the reader itself when it has no complete request
// left, with one system call for all. A reply given later, by any goroutine, is put in its place in the queue; when it is the first
// of the queue, a writer goroutine is started that ends as soon as nothing can be written. So a busy connection needs no second
// goroutine and no wake-up, and nobody who completes a request ever waits for a socket.
//
// # Memory
//
// An idle connection holds no buffer. Small requests are copied from a shared read buffer into buffers of their own size class,
// large ones are read straight into theirs. A buffer grows with the bytes that arrive, not with the size that a frame claims, and every one of
// them counts against one budget until the request is answered.
package server
