package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/moldau/moldau/bench/limits/internal/hostmem"
)

const appendTotal = 512 << 20

func init() {
	for _, bs := range []int{16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		register("file", "append", func(r *run) { appendFile(r, fmt.Sprintf("append write(2) %dK fresh file", bs>>10), bs, 0) })
	}
	for _, bs := range []int{64 << 10, 1 << 20} {
		register("file", "append", func(r *run) {
			appendFile(r, fmt.Sprintf("append write(2) %dK fallocate(KEEP_SIZE) first", bs>>10), bs, 1)
		})
		register("file", "append", func(r *run) {
			appendFile(r, fmt.Sprintf("append write(2) %dK ftruncate to full size first", bs>>10), bs, 2)
		})
		register("file", "append", func(r *run) {
			appendFile(r, fmt.Sprintf("overwrite %dK of cached pages (memory-copy bound)", bs>>10), bs, 3)
		})
	}
	register("file", "writev", func(r *run) { appendVec(r, 16, 64<<10) })
	register("file", "writev", func(r *run) { appendVec(r, 64, 16<<10) })
	register("file", "twofiles", appendParallel)
	register("file", "pread", readCached)
	register("file", "mmap", mmapAppend)
	register("file", "disk", func(r *run) { diskStream(r, 1) })
	register("file", "disk", func(r *run) { diskStream(r, 4) })
	register("file", "disk", writeThenSync)

	for _, bs := range []int{4 << 10, 64 << 10, 1 << 20} {
		register("sync", "fdatasync", func(r *run) { syncEach(r, bs, "growing file", 0) })
	}
	register("sync", "fdatasync", func(r *run) { syncEach(r, 4<<10, "fallocated, size fixed", 1) })
	register("sync", "fdatasync", func(r *run) { syncEach(r, 4<<10, "already written blocks", 2) })
	register("sync", "dsync", directDsync)
	for _, n := range []int{1, 8, 64, 512} {
		register("sync", "group", func(r *run) { groupCommit(r, n) })
	}
	for _, how := range []string{"one after another", "16 at once", "64 at once", "syncfs"} {
		register("sync", "manyfiles", func(r *run) { syncManyFiles(r, how) })
	}
}

func scratch(r *run, name string) *os.File {
	f, err := os.OpenFile(filepath.Join(r.dir, "limits."+name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	must(err)
	return f
}

func drop(f *os.File) { f.Close(); os.Remove(f.Name()) }

func fillPattern(b []byte) []byte {
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func appendFile(r *run, name string, bs, mode int) {
	buf := fillPattern(make([]byte, bs))
	hostmem.Touch(appendTotal >> 20 * 2)
	f := scratch(r, "append")
	defer drop(f)
	switch mode {
	case 1:
		must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, appendTotal))
	case 2:
		must(f.Truncate(appendTotal))
	case 3:
		for n := 0; n < appendTotal; n += bs {
			f.Write(buf)
		}
		f.Seek(0, 0)
	}
	c0, t0 := rusage(unix.RUSAGE_SELF), time.Now()
	for n := 0; n < appendTotal; n += bs {
		_, err := f.Write(buf)
		must(err)
	}
	s := time.Since(t0).Seconds()
	r.add(name, "MB/s", appendTotal/s/1e6)
	r.add(name+" CPU", "s/GB", (rusage(unix.RUSAGE_SELF)-c0)/appendTotal*1e9)
}

// appendVec gathers n small pieces into one write: pwritev against copying them together first.
func appendVec(r *run, n, piece int) {
	for _, mode := range []string{"pwritev", "copy+write", "write each"} {
		hostmem.Touch(appendTotal >> 20 * 2)
		f := scratch(r, "vec")
		iov, one := make([][]byte, n), make([]byte, 0, n*piece)
		for i := range iov {
			iov[i] = fillPattern(make([]byte, piece))
		}
		t0, off := time.Now(), int64(0)
		for off < appendTotal {
			switch mode {
			case "pwritev":
				_, err := unix.Pwritev(int(f.Fd()), iov, off)
				must(err)
			case "copy+write":
				one = one[:0]
				for _, p := range iov {
					one = append(one, p...)
				}
				f.Write(one)
			default:
				for _, p := range iov {
					f.Write(p)
				}
			}
			off += int64(n * piece)
		}
		r.add(fmt.Sprintf("gather %dx%dK: %s", n, piece>>10, mode), "MB/s", float64(off)/time.Since(t0).Seconds()/1e6)
		drop(f)
	}
}

func appendParallel(r *run) {
	hostmem.Touch(appendTotal >> 20 * 2)
	var wg sync.WaitGroup
	t0 := time.Now()
	for i := range 2 {
		wg.Go(func() {
			f := scratch(r, fmt.Sprint("par", i))
			defer drop(f)
			buf := fillPattern(make([]byte, 256<<10))
			for n := 0; n < appendTotal; n += len(buf) {
				f.Write(buf)
			}
		})
	}
	wg.Wait()
	r.add("append write(2) 256K, 2 files from 2 goroutines (with close+rm)", "MB/s", 2*appendTotal/time.Since(t0).Seconds()/1e6)
}

func readCached(r *run) {
	f := scratch(r, "read")
	defer drop(f)
	buf := fillPattern(make([]byte, 1<<20))
	for range 256 {
		f.Write(buf)
	}
	for _, bs := range []int{64 << 10, 1 << 20} {
		t0, n := time.Now(), 0
		for time.Since(t0) < r.secs/2 {
			for off := 0; off < 256<<20; off += bs {
				f.ReadAt(buf[:bs], int64(off))
				n += bs
			}
		}
		r.add(fmt.Sprintf("pread %dK from page cache", bs>>10), "MB/s", float64(n)/time.Since(t0).Seconds()/1e6)
	}
}

func mmapAppend(r *run) {
	hostmem.Touch(appendTotal >> 20 * 2)
	f := scratch(r, "mmap")
	defer drop(f)
	must(f.Truncate(256 << 20))
	m, err := syscall.Mmap(int(f.Fd()), 0, 256<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	buf, t0 := fillPattern(make([]byte, 64<<10)), time.Now()
	for off := 0; off < len(m); off += len(buf) {
		copy(m[off:], buf)
	}
	r.add("append by mmap store, fresh pages (faults)", "MB/s", float64(len(m))/time.Since(t0).Seconds()/1e6)
	syscall.Munmap(m)
}

// aligned returns memory O_DIRECT accepts.
func aligned(n int) []byte {
	b := make([]byte, n+4096)
	o := 4096 - int(uintptr(unsafe.Pointer(&b[0]))&4095)
	return b[o : o+n]
}

// diskStream writes 1 MiB pieces past the page cache at a queue depth.
func diskStream(r *run, depth int) {
	f := scratch(r, "disk")
	drop(f)
	fd, err := unix.Open(f.Name(), unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT, 0o600)
	must(err)
	defer os.Remove(f.Name())
	defer unix.Close(fd)
	must(unix.Fallocate(fd, 0, 0, 4<<30))
	var off, done atomic.Int64
	var wg sync.WaitGroup
	t0 := time.Now()
	for range depth {
		wg.Go(func() {
			b := fillPattern(aligned(1 << 20))
			for time.Since(t0) < 2*r.secs {
				o := off.Add(1<<20) - 1<<20
				if o >= 4<<30 {
					return
				}
				_, err := unix.Pwrite(fd, b, o)
				must(err)
				done.Add(1 << 20)
			}
		})
	}
	wg.Wait()
	r.add(fmt.Sprintf("disk: O_DIRECT 1M writes, depth %d", depth), "MB/s", float64(done.Load())/time.Since(t0).Seconds()/1e6)
}

// writeThenSync first lets the file system finish what earlier files left (their discards, above all).
// The paced form starts writing back every 8 MiB, so that the last sync finds little to do.
func writeThenSync(r *run) {
	for _, paced := range []bool{false, true} {
		hostmem.Touch(appendTotal >> 20 * 2)
		f := scratch(r, "stream")
		unix.Syncfs(int(f.Fd()))
		buf := fillPattern(make([]byte, 1<<20))
		c0, t0 := rusage(unix.RUSAGE_SELF), time.Now()
		for i := range appendTotal >> 20 {
			f.Write(buf)
			if paced && i&7 == 7 {
				unix.SyncFileRange(int(f.Fd()), int64(i-7)<<20, 8<<20, unix.SYNC_FILE_RANGE_WRITE)
			}
		}
		t := time.Now()
		must(unix.Fdatasync(int(f.Fd())))
		name := "disk: 512 MiB buffered write + one fdatasync"
		if paced {
			name = "disk: the same with sync_file_range each 8 MiB"
		}
		r.add(name, "MB/s", appendTotal/1e6/time.Since(t0).Seconds())
		r.add(name+" CPU", "s/GB", (rusage(unix.RUSAGE_SELF)-c0)/appendTotal*1e9)
		r.add(name+", the fdatasync", "ms", time.Since(t).Seconds()*1e3)
		drop(f)
	}
}

func syncEach(r *run, bs int, name string, mode int) {
	f := scratch(r, "sync")
	defer drop(f)
	buf := fillPattern(make([]byte, bs))
	if mode > 0 {
		must(unix.Fallocate(int(f.Fd()), 0, 0, 64<<20))
	}
	if mode == 2 {
		big := make([]byte, 64<<20)
		f.WriteAt(big, 0)
	}
	must(f.Sync())
	var lat []time.Duration
	var off int64
	for t0 := time.Now(); time.Since(t0) < 2*r.secs; {
		if mode > 0 && off+int64(bs) > 64<<20 {
			off = 0
		}
		_, err := f.WriteAt(buf, off)
		must(err)
		off += int64(bs)
		t := time.Now()
		must(unix.Fdatasync(int(f.Fd())))
		lat = append(lat, time.Since(t))
	}
	name = fmt.Sprintf("fdatasync after %dK, %s", bs>>10, name)
	r.quantiles(name, lat)
	var sum time.Duration
	for _, l := range lat {
		sum += l
	}
	r.add(name, "syncs/s", float64(len(lat))/sum.Seconds())
}

// directDsync is the other way to a durable write: O_DIRECT|O_DSYNC into written blocks.
func directDsync(r *run) {
	f := scratch(r, "dsync")
	f.WriteAt(make([]byte, 64<<20), 0)
	must(f.Sync())
	fd, err := unix.Open(f.Name(), unix.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0)
	must(err)
	defer drop(f)
	defer unix.Close(fd)
	b := fillPattern(aligned(4 << 10))
	var lat []time.Duration
	var off int64
	for t0 := time.Now(); time.Since(t0) < 2*r.secs; off = (off + 4096) % (64 << 20) {
		t := time.Now()
		_, err := unix.Pwrite(fd, b, off)
		must(err)
		lat = append(lat, time.Since(t))
	}
	r.quantiles("O_DIRECT|O_DSYNC 4K into written blocks", lat)
}

// groupCommit: n writers each append 1 KiB and wait until it is durable; one goroutine writes and syncs what gathered.
func groupCommit(r *run, n int) {
	f := scratch(r, "group")
	defer drop(f)
	var mu sync.Mutex
	var buf []byte
	var waiters []chan struct{}
	kick, stop := make(chan struct{}, 1), make(chan struct{})
	var syncs int
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-kick:
			case <-stop:
				return
			}
			mu.Lock()
			b, w := buf, waiters
			buf, waiters = nil, nil
			mu.Unlock()
			f.Write(b)
			unix.Fdatasync(int(f.Fd()))
			syncs++
			for _, c := range w {
				c <- struct{}{}
			}
		}
	}()
	all := make([][]time.Duration, n)
	var wg sync.WaitGroup
	t0 := time.Now()
	for i := range n {
		wg.Go(func() {
			rec, c := make([]byte, 1024), make(chan struct{}, 1)
			for time.Since(t0) < 2*r.secs {
				t := time.Now()
				mu.Lock()
				buf = append(buf, rec...)
				waiters = append(waiters, c)
				mu.Unlock()
				select {
				case kick <- struct{}{}:
				default:
				}
				<-c
				all[i] = append(all[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	s := time.Since(t0).Seconds()
	close(stop)
	<-done
	var lat []time.Duration
	for _, l := range all {
		lat = append(lat, l...)
	}
	name := fmt.Sprintf("group commit, %d writers of 1K", n)
	r.add(name, "commits/s", float64(len(lat))/s)
	r.add(name+" syncs", "/s", float64(syncs)/s)
	r.quantiles(name, lat)
}

// syncManyFiles dirties 64 files with 4 KiB each and makes all durable: what flush-on-ack costs with many partitions.
func syncManyFiles(r *run, how string) {
	const n = 64
	var fs []*os.File
	for i := range n {
		f := scratch(r, fmt.Sprint("many", i))
		defer drop(f)
		fs = append(fs, f)
	}
	buf := fillPattern(make([]byte, 4096))
	var lat []time.Duration
	for t0 := time.Now(); time.Since(t0) < 2*r.secs; {
		for _, f := range fs {
			f.Write(buf)
		}
		t := time.Now()
		switch how {
		case "one after another":
			for _, f := range fs {
				unix.Fdatasync(int(f.Fd()))
			}
		case "syncfs":
			unix.Syncfs(int(fs[0].Fd()))
		default:
			var k int
			fmt.Sscanf(how, "%d", &k)
			var wg sync.WaitGroup
			var next atomic.Int32
			for range k {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < n; i = next.Add(1) - 1 {
						unix.Fdatasync(int(fs[i].Fd()))
					}
				})
			}
			wg.Wait()
		}
		lat = append(lat, time.Since(t))
	}
	r.quantiles(fmt.Sprintf("make %d dirty files durable, %s", n, how), lat)
}
