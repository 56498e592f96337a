package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/bench/node"
)

// offer is what producers send together: one connection each, to a partition of its own.
type offer struct {
	addr, topic string
	producers   int
	acks        int16
	batch       []byte
	rate        float64 // requests a second of all; 0: as many as are answered
}

// window is how many requests of a connection wait for their answers at full speed, and behind how many a schedule gives up waiting.
const (
	window   = 8
	backlog  = 1 << 17
	stallMax = time.Minute
)

// run sends for as long as told and returns how long each request took from when it was due to its answer. seen, if set, is told of each too.
func (o offer) run(ctx context.Context, length time.Duration, seen func(time.Duration)) (*hist, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := new(hist)
	var wg sync.WaitGroup
	errs := make([]error, o.producers)
	begin := time.Now().Add(10 * time.Millisecond)
	for i := range o.producers {
		wg.Go(func() {
			if errs[i] = o.produce(ctx, i, begin, begin.Add(length), func(d time.Duration) {
				all.add(d)
				if seen != nil {
					seen(d)
				}
			}); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// produce is one producer.
func (o offer) produce(ctx context.Context, i int, begin, end time.Time, took func(time.Duration)) error {
	c, err := node.Dial(o.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	frame := c.Frame(node.Produce(o.topic, int32(i), o.acks, o.batch))
	each, room := time.Duration(0), window
	if o.rate > 0 {
		each, room = time.Duration(float64(time.Second)*float64(o.producers)/o.rate), backlog
		begin = begin.Add(each * time.Duration(i) / time.Duration(o.producers)) // they take turns
	}
	due := make(chan time.Time, room)
	answered := make(chan error, 1)
	go func() { answered <- o.answers(c, due, took) }()
	at := begin
	for time.Sleep(time.Until(begin)); ctx.Err() == nil; at = at.Add(each) {
		if each == 0 {
			at = time.Now()
		} else if d := time.Until(at); d > 0 {
			time.Sleep(d)
		}
		if !at.Before(end) {
			break
		}
		select {
		case due <- at:
		case err := <-answered:
			return errors.Join(ctx.Err(), err) // it may be no more than that the connection was closed because ctx has ended
		case <-ctx.Done():
			continue
		}
		if _, err := c.Write(frame); err != nil {
			close(due)
			return errors.Join(ctx.Err(), <-answered, fmt.Errorf("produce: %w", err))
		}
	}
	close(due)
	return errors.Join(ctx.Err(), <-answered)
}

// answers reads an answer for each request that was due.
func (o offer) answers(c *node.Conn, due <-chan time.Time, took func(time.Duration)) error {
	in := bufio.NewReaderSize(c, 64<<10)
	code := 4 + 1 + 1 + 1 + len(o.topic) + 1 + 4 // correlation id, tags, topics, length and name, partitions, number: the error code follows
	body := make([]byte, 1<<10)
	for at := range due {
		if err := c.SetReadDeadline(time.Now().Add(stallMax)); err != nil {
			return err
		}
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if n < code+2 || n > len(body) {
			return fmt.Errorf("answer to produce of %d bytes", n)
		}
		if _, err := io.ReadFull(in, body[:n]); err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		if err := kerr.ErrorForCode(int16(binary.BigEndian.Uint16(body[code:]))); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
		took(time.Since(at))
	}
	return nil
}
