// Command moldau is the one binary: broker, controller and command line. It owns the process: arguments, environment, signals
// and the exit status. What a command does is in package cli.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/cli"
	"github.com/moldau/moldau/internal/config"
)

// sameRequest is how long a further signal counts as the one before it. Supervisors and shells send a signal twice, to the process and
// to its group, and mean one clean stop.
const sameRequest = time.Second

func main() {
	os.Exit(cli.Main(untilSignal(sameRequest), cli.Process{
		Args:        os.Args[1:],
		Environment: os.Environ(),
		In:          os.Stdin,
		Out:         os.Stdout,
		Err:         os.Stderr,
		Broker: func(ctx context.Context, cfg *config.Config, out io.Writer) error {
			return broker.Run(ctx, cfg, out, logger(cfg.Logging()))
		},
	}))
}

// logger returns the log of the program, to standard error.
func logger(l config.Logging) *slog.Logger {
	opts := &slog.HandlerOptions{Level: l.Level}
	if l.JSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// untilSignal returns a context that the first signal ends, which asks for a clean stop. A signal that comes later than same after
// it ends the process.
func untilSignal(same time.Duration) context.Context {
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // the terminal is gone, and nohup(1) did not say to go on without it
		stops = append(stops, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stops...)
	context.AfterFunc(ctx, func() { time.AfterFunc(same, stop) })
	return ctx
}
