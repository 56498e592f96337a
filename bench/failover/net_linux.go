package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/moldau/moldau/bench/node"
)

// net is a bridge and, for each broker, a network namespace with one link to it. This process, and with it the clients, is in a namespace of its own
// that has the bridge. Everything is gone when the processes are that hold the namespaces; nothing of it is seen outside.
type net struct{ holders []*exec.Cmd }

const insideName = "FAILOVER_INSIDE" // is set in the environment of a process that is in a namespace of its own

func inside() bool { return os.Getenv(insideName) != "" }

// enter runs this command once more, in a network namespace of its own.
func enter(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, append(os.Args[1:], "-kafka-kills=0", "-kafka-stops=0", "-kafka-frozen=0")...)
	cmd.Env = append(os.Environ(), insideName+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("in a network namespace of its own (root is needed): %w", err)
	}
	return nil
}

func newNet(places []node.Place) (*net, error) {
	n := new(net)
	if err := n.build(places); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *net) build(places []node.Place) error {
	for _, command := range []string{"link set lo up", "link add brokers type bridge", "address add 10.75.0.254/24 dev brokers", "link set brokers up"} {
		if err := ip(command); err != nil {
			return err
		}
	}
	for i := range places {
		holder := exec.Command("sleep", "infinity")
		holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := holder.Start(); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		n.holders = append(n.holders, holder)
		pid := strconv.Itoa(holder.Process.Pid)
		places[i] = node.Place{Host: fmt.Sprintf("10.75.0.%d", i+1), Enter: []string{"nsenter", "--net=/proc/" + pid + "/ns/net", "--"}}
		name := port(i)
		for _, command := range []string{"link add " + name + " type veth peer name uplink netns " + pid, "link set " + name + " master brokers up"} {
			if err := ip(command); err != nil {
				return err
			}
		}
		for _, command := range []string{"link set lo up", "address add " + places[i].Host + "/24 dev uplink", "link set uplink up"} {
			if err := ip(command, places[i].Enter...); err != nil {
				return err
			}
		}
	}
	return nil
}

// port is the bridge's end of a broker's link.
func port(broker int) string { return fmt.Sprintf("broker-%d", broker+1) }

// link plugs a broker's link in, or out.
func (n *net) link(broker int, up bool) error {
	if up {
		return ip("link set " + port(broker) + " up")
	}
	return ip("link set " + port(broker) + " down")
}

func (n *net) close() {
	for _, h := range n.holders {
		_ = h.Process.Kill()
		_ = h.Wait()
	}
}

// ip runs ip(8).
func ip(arguments string, enter ...string) error {
	command := append(append([]string{}, enter...), append([]string{"ip"}, strings.Fields(arguments)...)...)
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}
