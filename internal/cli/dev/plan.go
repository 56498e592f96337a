package dev

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/vfs"
)

// node is one broker of the cluster.
type node struct {
	id         int
	dir        string // of all that is its own
	port       int
	controller int // port; 0: it does not vote, or is alone
}

const host = "127.0.0.1"

func (n node) address() string { return net.JoinHostPort(host, strconv.Itoa(n.port)) }

func (n node) controllerAddress() string {
	if n.controller == 0 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(n.controller))
}

func (n node) file() string { return filepath.Join(n.dir, "server.properties") }
func (n node) log() string  { return filepath.Join(n.dir, "log") }
func (n node) data() string { return filepath.Join(n.dir, "data") }

// setting is one line of a broker's file.
type setting struct{ name, value string }

// own are settings that this command gives each broker.
var own = []string{"node.id", "broker.id", "process.roles", "listeners", "advertised.listeners", "controller.listener.names", "controller.quorum.voters",
	"controller.quorum.bootstrap.servers", "inter.broker.listener.name", "listener.security.protocol.map", "log.dirs", "log.dir", "metadata.log.dir", "admin.listener"}

func isOwn(name string) bool {
	for _, o := range own {
		if o == name {
			return true
		}
	}
	return false
}

// parseSettings reads the values of --set.
func parseSettings(pairs []string) ([]setting, error) {
	var all []setting
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || name == "" || strings.ContainsAny(name, " \t\f\r\n:#!\\"):
			return nil, fmt.Errorf("--set %s: want SETTING=VALUE", pair)
		case isOwn(name):
			return nil, fmt.Errorf("--set %s: moldau dev gives each broker its own; \"moldau serve\" takes any", pair)
		}
		all = append(all, setting{name, value})
	}
	return all, nil
}

// withoutOwn is the environment of the brokers: KAFKA_* variables count for all of them, but for what each has of its own.
func withoutOwn(environment []string) (rest, warnings []string) {
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if key, ok := strings.CutPrefix(name, "KAFKA_"); ok && isOwn(strings.ReplaceAll(strings.ToLower(key), "_", ".")) {
			warnings = append(warnings, name+" does not act: moldau dev gives each broker its own")
			continue
		}
		rest = append(rest, variable)
	}
	return rest, warnings
}

// voters is how many of so many brokers vote on the metadata: an odd number, so that the cluster bears the loss of as many as it can, and
// not more than five. Two do both, since a cluster that grows later is formed by its voters.
func voters(brokers int) int {
	switch {
	case brokers <= 3:
		return brokers
	case brokers < 5:
		return 3
	}
	return 5
}

// enter makes the directory of the cluster, and keeps others off it. What it returns leaves it, and removes it if it was temporary.
func (r *runner) enter() (leave func() error, err error) {
	if r.data == "" {
		if r.dir, err = os.MkdirTemp("", "moldau-dev-"); err != nil {
			return nil, fmt.Errorf("make a directory for the cluster: %w", err)
		}
		return r.remove, nil
	}
	if r.dir, err = filepath.Abs(r.data); err != nil {
		return nil, fmt.Errorf("find directory %s: %w", r.data, err)
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of the cluster: %w", err)
	}
	lock, err := vfs.OS.Lock(filepath.Join(r.dir, ".lock"))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("--data %s: another \"moldau dev\" runs there", r.data)
	}
	if err != nil {
		return nil, fmt.Errorf("lock directory of the cluster: %w", err)
	}
	return lock.Close, nil
}

// remove removes the cluster's directory, unless a broker that somebody started by hand still runs there.
func (r *runner) remove() error {
	for _, n := range r.nodes {
		lock, err := vfs.OS.Lock(filepath.Join(n.data(), ".lock"))
		if errors.Is(err, vfs.ErrLocked) {
			r.note("broker %d was started by hand and still runs: its data stays in %s", n.id, r.dir)
			return nil
		}
		if err == nil {
			_ = lock.Close()
		}
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return fmt.Errorf("remove the temporary data: %w", err)
	}
	return nil
}

// plan decides what the brokers are and writes their files.
func (r *runner) plan() error {
	had := 0
	for ; had < brokersMax; had++ {
		if _, err := os.Stat(node{dir: r.brokerDir(had + 1)}.file()); err != nil {
			break
		}
	}
	switch {
	case had == 0:
	case !r.counted:
		r.brokers = had
	case had != r.brokers:
		return fmt.Errorf("--brokers %d: the cluster in %s has %d", r.brokers, r.data, had)
	}
	votes := voters(r.brokers)
	if r.brokers == 1 {
		votes = 0 // it needs nobody, so no listener for others
	}
	ports, err := choosePorts(r.port, r.brokers+votes)
	if err != nil {
		return err
	}
	for i := range r.brokers {
		n := node{id: i + 1, dir: r.brokerDir(i + 1), port: ports[i]}
		if i < votes {
			n.controller = ports[r.brokers+i]
		}
		r.nodes = append(r.nodes, n)
	}
	for _, n := range r.nodes {
		if err := os.MkdirAll(n.dir, 0o755); err != nil {
			return fmt.Errorf("make directory of broker %d: %w", n.id, err)
		}
		if err := os.WriteFile(n.file(), []byte(r.properties(n)), 0o644); err != nil {
			return fmt.Errorf("write settings of broker %d: %w", n.id, err)
		}
	}
	return nil
}

func (r *runner) brokerDir(id int) string { return filepath.Join(r.dir, fmt.Sprintf("broker-%d", id)) }

// properties is the file of a node: one of Kafka's, in combined mode.
func (r *runner) properties(n node) string {
	all := []setting{{"node.id", strconv.Itoa(n.id)}, {"log.dirs", filepath.ToSlash(n.data())}}
	listeners, roles := "PLAINTEXT://"+n.address(), "broker"
	if n.controller != 0 {
		listeners += ",CONTROLLER://" + n.controllerAddress()
		roles += ",controller"
	}
	if len(r.nodes) > 1 {
		var votes []string
		for _, v := range r.nodes {
			if v.controller != 0 {
				votes = append(votes, fmt.Sprintf("%d@%s", v.id, v.controllerAddress()))
			}
		}
		all = append(all, setting{"process.roles", roles}, setting{"controller.listener.names", "CONTROLLER"}, setting{"controller.quorum.voters", strings.Join(votes, ",")})
	}
	all = append(all, setting{"listeners", listeners}, setting{"group.initial.rebalance.delay.ms", "0"})
	replicas := min(r.brokers, 3)
	for _, name := range []string{"default.replication.factor", "offsets.topic.replication.factor"} {
		all = append(all, setting{name, strconv.Itoa(replicas)})
	}
	if replicas == 3 {
		all = append(all, setting{"min.insync.replicas", "2"})
	}
	var b strings.Builder
	b.WriteString("# Written by \"moldau dev\" at each of its starts.\n")
	for _, s := range append(all, r.settings...) {
		fmt.Fprintf(&b, "%s=%s\n", s.name, escaped.Replace(s.value))
	}
	return b.String()
}

// escaped writes what has a meaning in the value of a property so that it has none; the names of settings have nothing of the kind.
var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)

// choosePorts returns so many ports from base on, or with base 0 some that are free. It looks whether they are, so that what is in the way
// is named before anything is started.
func choosePorts(base, n int) ([]int, error) {
	if base > 0 {
		if last := base + n - 1; last > 65535 {
			return nil, fmt.Errorf("--port %d: %d ports are needed from there on", base, n)
		}
		if taken, err := firstTaken(base, n); err != nil {
			return nil, fmt.Errorf("port %d cannot be had: %w; choose others with --port, or --port 0 for any that are free", taken, err)
		}
		return count(base, n), nil
	}
	// Below the ports that systems hand out to connections: a broker that is started again must find its own.
	const low, high, tries = 20_000, 32_000, 200
	var err error
	for range tries {
		base := low + rand.IntN(high-low-n)
		if _, err = firstTaken(base, n); err == nil {
			return count(base, n), nil
		}
	}
	return nil, fmt.Errorf("no %d free ports in a row were found between %d and %d: %w", n, low, high, err)
}

// firstTaken returns the first of some ports that cannot be listened on, and why; no error means that all can.
func firstTaken(base, n int) (int, error) {
	for _, port := range count(base, n) {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return port, err
		}
		if err := l.Close(); err != nil {
			return port, err
		}
	}
	return 0, nil
}

func count(from, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = from + i
	}
	return all
}
