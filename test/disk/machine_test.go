//go:build linux

package disk

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	long    = flag.Bool("long", false, "all faults, not a few of each kind")
	real    = flag.Bool("real", false, "also what takes root, loop devices or strace")
	require = flag.Bool("require", false, "fail where the machine does not allow a test")
)

// absent collects what this machine does not allow.
var absent struct {
	sync.Mutex
	lines []string
}

// untested says plainly that a test did not run, and why.
func untested(t *testing.T, why string) {
	t.Helper()
	line := fmt.Sprintf("NOT TESTED HERE: %s: %s", t.Name(), why)
	absent.Lock()
	absent.lines = append(absent.lines, line)
	absent.Unlock()
	if *require {
		t.Error(line)
		return
	}
	t.Log(line)
}

func TestMain(m *testing.M) {
	flag.Parse()
	if !*real && flag.Lookup("test.run").Value.String() == "" {
		_ = flag.Set("test.run", "^TestFlippedBits$")
	}
	code := m.Run()
	os.RemoveAll(built.dir)
	for _, line := range absent.lines {
		fmt.Println(line)
	}
	os.Exit(code)
}

// fileSystem is a small ext4 on a loop device.
type fileSystem struct {
	image, at string
}

// newFileSystem makes and mounts one of some MiB; nil where the machine does not allow it. It is unmounted at the end, whatever happens.
func newFileSystem(t *testing.T, mib int64) *fileSystem {
	t.Helper()
	if os.Geteuid() != 0 {
		untested(t, "mounting a file system takes root")
		return nil
	}
	for _, command := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(command); err != nil {
			untested(t, err.Error())
			return nil
		}
	}
	dir := t.TempDir()
	fs := &fileSystem{filepath.Join(dir, "image"), filepath.Join(dir, "mnt")}
	f, err := os.Create(fs.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(mib << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Mkdir(fs.at, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", fs.image).CombinedOutput(); err != nil {
		untested(t, fmt.Sprintf("mkfs.ext4: %v: %s", err, out))
		return nil
	}
	t.Cleanup(fs.umount)
	if err := fs.mount(); err != nil {
		untested(t, err.Error())
		return nil
	}
	return fs
}

func (fs *fileSystem) mount() error {
	out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", fs.image, fs.at).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount a file system on a loop device: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// umount takes it away, and with it its loop device. The broker that ran on it is gone by then.
func (fs *fileSystem) umount() {
	for range 50 {
		if err := syscall.Unmount(fs.at, 0); err != syscall.EBUSY {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = syscall.Unmount(fs.at, 2) // MNT_DETACH
}

// remount is what mends it: off, checked, on.
func (fs *fileSystem) remount(t *testing.T) {
	t.Helper()
	fs.umount()
	_ = exec.Command("fsck.ext4", "-p", "-f", fs.image).Run() // says that it mended something
	if err := fs.mount(); err != nil {
		t.Fatal(err)
	}
}

// device is the name of the loop device.
func (fs *fileSystem) device(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == fs.at {
			return filepath.Base(f[0])
		}
	}
	t.Fatalf("%s is not mounted", fs.at)
	return ""
}

// die makes all I/O fail from now on, and loses what was not synced, as a disk that is pulled out.
func (fs *fileSystem) die(t *testing.T) {
	t.Helper()
	f, err := os.Open(fs.at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const shutdown, noLogFlush = 0x8004587d, 2
	if err := ioctl(f.Fd(), shutdown, noLogFlush); err != nil {
		t.Fatalf("shut the file system down: %v", err)
	}
}

// makeReadOnly lets the kernel meet an error, upon which it makes the file system read-only under those who write.
func (fs *fileSystem) makeReadOnly(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/sys/fs/ext4/"+fs.device(t)+"/trigger_fs_error", []byte("1"), 0); err != nil {
		t.Fatalf("trigger an error of the file system: %v", err)
	}
}

// traced says whether somebody traces all threads of a process.
func traced(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err == nil && strings.Contains(string(b), "TracerPid:\t0\n") {
			return false
		}
	}
	return len(tasks) > 0
}
