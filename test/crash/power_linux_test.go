package crash

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is an ext4 file system in a file, mounted on a folder. Its power is cut with ext4's own ioctl for that: from then on nothing
// reaches the file, neither what waits in the page cache nor the journal in memory. Mounting it again replays the journal that was written.
type disk struct {
	image, folder string
}

const (
	ext4Shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN
	withoutJournal = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// enclosed says in the environment that this process is in a world of its own.
const enclosed = "MOLDAU_CRASH_ENCLOSED"

// enclose runs the tests in a process with mounts and processes of its own, and ends with its result. However that process ends, killed
// for example, the kernel kills what it started, undoes its mounts and frees their loop devices; it dies with this one.
func enclose() {
	if os.Getenv(enclosed) != "" {
		return
	}
	runtime.LockOSThread() // the child dies with the thread that made it
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), enclosed+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "cutting the power needs root: %v\n", err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		<-stop
		_ = cmd.Process.Kill()
	}()
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// newDisk makes one and mounts it.
func newDisk(t *testing.T, folder string) *disk {
	t.Helper()
	d := &disk{image: folder + ".ext4", folder: folder}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(8 << 30); err != nil { // of which only what is written takes space
		t.Fatal(err)
	}
	d.run(t, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", d.image)
	d.plug(t)
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil { // when the broker has ended
			t.Errorf("unmount %s: %v", folder, err)
		}
	})
	return d
}

func (d *disk) plug(t *testing.T) {
	t.Helper()
	d.run(t, "mount", "-o", "loop,noatime", d.image, d.folder) // umount frees the loop device
}

func (d *disk) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// cut takes the power.
func (d *disk) cut() error {
	f, err := os.Open(filepath.Clean(d.folder))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, withoutJournal); err != nil {
		return fmt.Errorf("shut %s down: %w", d.folder, err)
	}
	return nil
}

// replug gives the power back, once nobody has a file of the disk open.
func (d *disk) replug(t *testing.T) {
	t.Helper()
	if err := unix.Unmount(d.folder, 0); err != nil {
		t.Fatalf("unmount %s: %v", d.folder, err)
	}
	d.plug(t)
}
