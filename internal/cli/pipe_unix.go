//go:build unix

package cli

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// heedPipe lets a write to a closed pipe fail instead of ending the process, until the function it returns is called.
func heedPipe() func() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}
