//go:build !linux

package chaos

import (
	"errors"
	"testing"
)

// world is where the brokers run. Without Linux it is the machine as it is.
type world struct {
	hosts           [brokers]host
	clients         host
	noCuts, noDisks string
}

type host struct{ addr string }

const program = "MOLDAU_CHAOS_PROGRAM" // in the environment: the built program

func enclose() int { return -1 }

func newWorld() *world {
	w := &world{noCuts: "networks of its own need Linux", noDisks: "disks of its own need Linux", clients: host{"127.0.0.1"}}
	for i := range w.hosts {
		w.hosts[i] = host{"127.0.0.1"}
	}
	return w
}

func (*host) do(f func() error) error { return f() }
func (*world) cut(_, _ *host) error   { return errors.ErrUnsupported }
func (*world) mend(_, _ *host) error  { return errors.ErrUnsupported }

// disk is of Linux alone.
type disk struct{}

func newDisk(string) (*disk, error) { return nil, errors.ErrUnsupported }
func (*disk) fill() error           { return errors.ErrUnsupported }
func (*disk) free() error           { return errors.ErrUnsupported }
func (*disk) unmount(*testing.T)    {}
