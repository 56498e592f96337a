package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// world is where the brokers run. Where the machine allows it each has a network of its own, and so have the clients: all are connected by a router
// that drops what it is told to, silently and in one direction if need be, as a network does that is cut. Where it allows that too, each broker
// has a file system of its own. These are namespaces of the kernel and loop devices; root of the machine is needed for the latter only.
type world struct {
	hosts   [brokers]host
	clients host
	router  host
	noCuts  string // why nothing can be cut
	noDisks string // why no disk can be filled

	mu   sync.Mutex
	cuts map[string]int // in force, each so many times
}

// host is a network namespace; without one, that of this process.
type host struct {
	addr string
	ns   *os.File
}

const (
	enclosed = "MOLDAU_CHAOS_ENCLOSED" // in the environment: why this process is not in a world of its own; "" after the = if it is
	program  = "MOLDAU_CHAOS_PROGRAM"  // the built program
)

// enclose runs the tests in a process with mounts, processes and networks of its own, and returns its exit status. However that process
// ends, the kernel kills what it started and undoes the rest; it dies with this one. It returns -1 in that process, and where there is none such.
func enclose() int {
	if _, is := os.LookupEnv(enclosed); is {
		return -1
	}
	if _, err := exec.LookPath("ip"); err != nil {
		os.Setenv(enclosed, err.Error())
		return -1
	}
	runtime.LockOSThread() // the child dies with the thread that made it
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), enclosed+"=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER | unix.CLONE_NEWNS
		cmd.SysProcAttr.Unshareflags = 0
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		os.Setenv(enclosed, fmt.Sprintf("no namespaces: %v", err))
		return -1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		<-stop
		_ = cmd.Process.Kill()
	}()
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var (
	theWorld  *world
	makeWorld sync.Once
)

// newWorld is the same for all tests of the process.
func newWorld() *world {
	makeWorld.Do(func() {
		theWorld = &world{noCuts: os.Getenv(enclosed), cuts: map[string]int{}}
		if theWorld.noCuts == "" {
			_ = unix.Mount("proc", "/proc", "proc", 0, "") // so that it tells of the processes of this namespace
			if err := theWorld.lay(); err != nil {
				theWorld.noCuts = err.Error()
			}
		}
		if theWorld.noCuts != "" {
			for i := range theWorld.hosts {
				theWorld.hosts[i] = host{addr: "127.0.0.1"}
			}
			theWorld.clients = host{addr: "127.0.0.1"}
		}
		theWorld.noDisks = missingForDisks()
	})
	return theWorld
}

// lay makes the networks.
func (w *world) lay() error {
	err := (&host{}).ip("link set lo up")
	if err != nil {
		return err
	}
	if w.router.ns, err = newNetwork(); err != nil {
		return err
	}
	if err := w.router.do(func() error {
		for name, value := range map[string]string{"ip_forward": "1", "conf/all/rp_filter": "0", "conf/default/rp_filter": "0"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if w.clients.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	for i := range w.hosts {
		if w.hosts[i].ns, err = newNetwork(); err != nil {
			return err
		}
	}
	for i := range brokers + 1 {
		h := &w.clients
		if i > 0 {
			h = &w.hosts[i-1]
		}
		h.addr = fmt.Sprintf("10.77.%d.2", i)
		for _, step := range []struct {
			on   *host
			line string
		}{
			{h, "link set lo up"},
			{&w.router, fmt.Sprintf("link add r%d type veth peer name e%d", i, i)},
			{&w.router, fmt.Sprintf("link set e%d netns /proc/self/fd/3", i)}, // ip's third file is the host's network
			{&w.router, fmt.Sprintf("addr add 10.77.%d.1/24 dev r%d", i, i)},
			{&w.router, fmt.Sprintf("link set r%d up", i)},
			{h, fmt.Sprintf("addr add %s/24 dev e%d", h.addr, i)},
			{h, fmt.Sprintf("link set e%d up", i)},
			{h, fmt.Sprintf("route add default via 10.77.%d.1", i)},
		} {
			if err := step.on.ip(step.line, h.ns); err != nil {
				return err
			}
		}
	}
	return nil
}

func newNetwork() (ns *os.File, err error) {
	err = (&host{}).do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network: %w", err)
		}
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// do runs f, and the processes that it starts, in the network of the host.
func (h *host) do(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		if h.ns != nil {
			if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
				result <- fmt.Errorf("enter a network: %w", err)
				return
			}
		}
		result <- f()
	}()
	return <-result
}

func (h *host) ip(line string, files ...*os.File) error {
	return h.do(func() error {
		cmd := exec.Command("ip", strings.Fields(line)...)
		cmd.ExtraFiles = files
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %v: %s", line, err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// cut drops what one host sends to the other from now on. Whoever sends it does not hear of that.
func (w *world) cut(from, to *host) error { return w.count(from, to, 1) }

// mend undoes a cut.
func (w *world) mend(from, to *host) error { return w.count(from, to, -1) }

func (w *world) count(from, to *host, by int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rule := fmt.Sprintf("from %s to %s blackhole", from.addr, to.addr)
	before := w.cuts[rule]
	w.cuts[rule] += by
	switch {
	case before == 0:
		return w.router.ip("rule add " + rule)
	case w.cuts[rule] == 0:
		return w.router.ip("rule del " + rule)
	}
	return nil
}

// disk is an ext4 file system in a file.
type disk struct{ folder string }

func missingForDisks() string {
	if why := os.Getenv(enclosed); why != "" {
		return why
	}
	if os.Getenv(rootOutside) == "" {
		return "a loop device takes root"
	}
	for _, command := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(command); err != nil {
			return err.Error()
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err.Error()
	}
	return ""
}

// rootOutside is set in the environment where this process was started by root, not by a user who is root in a namespace only.
const rootOutside = "MOLDAU_CHAOS_ROOT"

func init() {
	if _, is := os.LookupEnv(enclosed); !is && os.Geteuid() == 0 {
		os.Setenv(rootOutside, "1")
	}
}

// newDisk makes one and mounts it on a folder.
func newDisk(folder string) (*disk, error) {
	image := folder + ".ext4"
	f, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(4 << 30); err != nil { // of which only what is written takes space
		return nil, err
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", image},
		{"mount", "-o", "loop,noatime", image, folder}, // umount frees the loop device
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %v: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return &disk{folder}, nil
}

func (d *disk) junk() string { return filepath.Join(d.folder, "junk") }

// fill takes all the space that is left.
func (d *disk) fill() error {
	f, err := os.Create(d.junk())
	if err != nil {
		return err
	}
	defer f.Close()
	size := int64(0)
	for piece := int64(1 << 30); piece >= 4096; {
		if err := unix.Fallocate(int(f.Fd()), 0, size, piece); err != nil {
			piece /= 2
			continue
		}
		size += piece
	}
	return nil
}

// free gives it back.
func (d *disk) free() error { return os.Remove(d.junk()) }

func (d *disk) unmount(t *testing.T) {
	if err := unix.Unmount(d.folder, unix.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", d.folder, err)
	}
}
