package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// one measures a scenario on a broker. Its topic is made for the run and removed after it.
func (r *race) one(ctx context.Context, s scenario, b *broker, round int) (x run, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	topic := "bench-" + strings.ReplaceAll(s.name, "/", "-")
	common := []string{"-bootstrap", b.address, "-topic", topic, "-replication", strconv.Itoa(r.replication)}
	defer func() {
		if ctx.Err() == nil {
			_, gone := output(ctx, r.loadgen, append([]string{"delete"}, common...)...)
			if gone == nil {
				gone = settled(ctx, b)
			}
			if err == nil {
				err = gone
			}
		}
	}()
	fill := s.fill
	if fill == everything {
		fill = r.fill
	}
	if fill > 0 {
		of := "1024"
		if s.tool != nil {
			of = strconv.Itoa(s.tool.size)
		} else if f := strings.Fields(s.args); f[0] == "consume" {
			of = f[2]
		}
		args := append([]string{"rawproduce"}, common...)
		args = append(args, "-delete", "-acks", r.acks, "-inflight", "4", "-warmup", "0", "-t", "60s", "-bytes", strconv.FormatInt(fill, 10), "-size", of, "-batch", "1000000")
		if _, err := output(ctx, r.loadgen, args...); err != nil {
			return x, fmt.Errorf("fill: %w", err)
		}
	}
	if s.tool != nil {
		x, err = r.runTool(ctx, s, b, topic, common, fill)
	} else {
		x, err = r.runLoadgen(ctx, s, b, common, fill)
	}
	x.Kind, x.Round, x.Label, x.Scenario = "run", round, b.label, s.name
	return x.rounded(), err
}

// ready is how many MiB of free memory are made ready before a run. All replicas of a topic are on this machine, and each has what is written in its page cache.
func (r *race) ready() int { return r.touch * r.replication }

func (r *race) runLoadgen(ctx context.Context, s scenario, b *broker, common []string, fill int64) (x run, err error) {
	f := strings.Fields(s.args)
	args := append(f[:1:1], common...)
	switch {
	case fill == 0:
		args = append(args, "-delete", "-bytes", strconv.Itoa(runBytes))
	case f[0] == "consume":
		args = append(args, "-bytes", strconv.FormatInt(fill/10*9, 10))
	}
	args = append(args, "-acks", r.acks, "-compression", r.compression, "-t", r.length.String(), "-warmup", "300ms", "-touch", strconv.Itoa(r.ready()),
		"-broker-pid", b.pids, "-label", b.label, "-scenario", s.name)
	text, err := output(ctx, r.loadgen, append(args, f[1:]...)...)
	if err != nil {
		return x, err
	}
	return x, json.Unmarshal([]byte(text), &x)
}

// say prints a line about the progress on standard error, which leaves standard output to the results.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
