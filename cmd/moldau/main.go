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

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/cli"
	"github.com/moldau/moldau/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks for a clean stop, a second one ends the process
	os.Exit(cli.Main(ctx, cli.Process{
		Args:        os.Args[1:],
		Environment: os.Environ(),
		In:          os.Stdin,
		Out:         os.Stdout,
		Err:         os.Stderr,
		Broker: func(ctx context.Context, cfg *config.Config, out io.Writer) error {
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			return broker.Run(ctx, cfg, out, log)
		},
	}))
}
