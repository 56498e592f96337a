// Package scrub reads the old segments of one data directory from time to time and tells of those that are not what was written, before a
// client meets them. It owns how fast it reads, and where it was when the node was stopped. It never writes to a log, opens none
// and takes none of their locks: it goes by the files. What is being written is left to those who write it.
//
// # File format: scrub-checkpoint
//
// Text, as the checkpoints of Kafka: a line "0", the version; a line with when the round began, in milliseconds since 1970; and, while one is
// under way, a line with the name of the partition's folder that comes next, which is the last one that need not be whole. A file
// that breaks the rules is as good as none: a round begins an interval from now.
package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// Checkpoint is the name of the file that says where the scrub is.
const Checkpoint = "scrub-checkpoint"

const (
	settle    = time.Minute      // after a start there is other work
	noteEvery = 10 * time.Minute // how much of a round a crash costs
	burst     = 1 << 20          // bytes that are read at once
)

// Options configures a Scrubber. All fields but Warn are required.
type Options struct {
	FS             vfs.FS
	Clock          clock.Clock
	Path           string
	Interval       time.Duration // from the beginning of a round to that of the next; 0: nothing is read (log.scrub.interval.hours)
	BytesPerSecond int64         // log.scrub.max.bytes.per.second

	OnRead   func(bytes int64)
	OnDamage func(*segment.DamageError) // hears of each damaged place once a round
	// OnUnreadable hears of each .log file of which the disk does not give back a part.
	OnUnreadable func(path string)
	Warn         func(error) // hears of files that could not be read
}

// Scrubber reads one directory.
type Scrubber struct {
	opts  Options
	files *segment.FileCache // of its own: it must not push out those that clients read

	began  time.Time // the round
	next   string    // the folder that comes next; empty: the round is through
	noted  time.Time
	unpaid int64
	due    time.Time // when what was read is paid for
}

// New returns a Scrubber.
func New(opts Options) *Scrubber {
	if opts.Warn == nil {
		opts.Warn = func(error) {}
	}
	return &Scrubber{opts: opts, files: segment.NewFileCache(1, 1)}
}

// Run reads until ctx ends. Between rounds it waits for one timer.
func (s *Scrubber) Run(ctx context.Context) {
	defer s.files.Close()
	if s.opts.Interval <= 0 || !s.wait(ctx, settle) {
		return
	}
	s.load()
	for {
		if s.next == "" {
			if !s.wait(ctx, s.began.Add(s.opts.Interval).Sub(s.opts.Clock.Now())) {
				return
			}
			s.began, s.next = s.opts.Clock.Now(), firstName
		}
		err := s.round(ctx)
		if ctx.Err() != nil {
			s.note() // a stop loses nothing
			return
		}
		if err != nil {
			s.opts.Warn(fmt.Errorf("scrub %s: %w", s.opts.Path, err))
		}
		s.next = ""
		s.note()
	}
}

// firstName is where a round begins: no topic's name has a character below it.
const firstName = "-"

// wait says whether d went by before ctx ended.
func (s *Scrubber) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-s.opts.Clock.After(d):
		return true
	}
}

// round reads all folders from next on.
func (s *Scrubber) round(ctx context.Context) error {
	entries, err := s.opts.FS.ReadDir(s.opts.Path)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && isPartition(e.Name()) && e.Name() >= s.next {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s.next = name
		if s.opts.Clock.Now().Sub(s.noted) >= noteEvery {
			s.note()
		}
		err := s.folder(ctx, filepath.Join(s.opts.Path, name))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a topic may go at any time
			s.opts.Warn(fmt.Errorf("scrub: %w", err))
		}
	}
	return nil
}

// isPartition says whether a folder is named as a partition's is, "orders-0", and not as one that comes or goes.
func isPartition(name string) bool {
	_, err := strconv.ParseUint(name[strings.LastIndexByte(name, '-')+1:], 10, 31)
	return err == nil && strings.Contains(name, "-")
}

// part is a segment as the names in its folder have it.
type part struct {
	base, end, size int64
}

// parts lists the old segments of a folder: all but the last.
func (s *Scrubber) parts(dir string) (parts []part, err error) {
	entries, err := s.opts.FS.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries { // sorted by name, which is by offset
		base, ok := segment.ParseName(e.Name(), segment.LogSuffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if k := len(parts); k > 0 {
			parts[k-1].end = base
		}
		parts = append(parts, part{base: base, size: info.Size()})
	}
	return parts[:max(0, len(parts)-1)], nil
}

func (s *Scrubber) folder(ctx context.Context, dir string) error {
	parts, err := s.parts(dir)
	if err != nil {
		return err
	}
	var failed error
	for _, p := range parts {
		err := s.segment(ctx, dir, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if segment.Unreadable(err) {
			s.opts.OnUnreadable(filepath.Join(dir, segment.Name(p.base, segment.LogSuffix)))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// segment reads one. Compaction, retention and truncation may change the folder meanwhile: damage counts if it is there again while names and
// sizes stay what they are.
func (s *Scrubber) segment(ctx context.Context, dir string, p part) error {
	const attempts = 3
	for range attempts {
		found, err := s.survey(ctx, dir, p)
		if err != nil || len(found) == 0 {
			return err
		}
		now, err := s.parts(dir)
		if err != nil {
			return err
		}
		k := slices.IndexFunc(now, func(q part) bool { return q.base == p.base })
		if k < 0 {
			return nil
		}
		if now[k] == p {
			again, err := s.survey(ctx, dir, p)
			if err != nil {
				return err
			}
			if slices.EqualFunc(found, again, func(a, b segment.Damage) bool { return a.From == b.From && a.To == b.To }) {
				for _, d := range again {
					s.opts.OnDamage(&segment.DamageError{Path: filepath.Join(dir, segment.Name(p.base, segment.LogSuffix)), Damage: d})
				}
				return nil
			}
		}
		p = now[k]
	}
	return nil
}

func (s *Scrubber) survey(ctx context.Context, dir string, p part) ([]segment.Damage, error) {
	g := segment.Open(s.files, s.opts.FS, segment.At(dir), p.base, p.size, p.end)
	defer g.Close()
	return g.Survey(func(n int64) error { return s.pay(ctx, n) })
}

// pay waits as long as what was read may take.
func (s *Scrubber) pay(ctx context.Context, n int64) error {
	s.opts.OnRead(n)
	if s.unpaid += n; s.unpaid < burst {
		return ctx.Err()
	}
	now := s.opts.Clock.Now()
	if s.due.Before(now) {
		s.due = now
	}
	s.due = s.due.Add(time.Duration(float64(s.unpaid) / float64(s.opts.BytesPerSecond) * float64(time.Second)))
	s.unpaid = 0
	if !s.wait(ctx, s.due.Sub(now)) {
		return ctx.Err()
	}
	return nil
}

// load takes up what the file says.
func (s *Scrubber) load() {
	s.began, s.next = s.opts.Clock.Now(), ""
	b, err := vfs.ReadFile(s.opts.FS, filepath.Join(s.opts.Path, Checkpoint))
	lines := strings.Split(string(b), "\n")
	if err == nil && len(lines) >= 3 && lines[0] == "0" {
		at, err := strconv.ParseInt(lines[1], 10, 64)
		if began := time.UnixMilli(at); err == nil && !began.After(s.began) {
			s.began, s.noted = began, s.opts.Clock.Now()
			s.next = lines[2]
			return
		}
	}
	s.note()
}

// note writes the file. It is not synced: one that is lost costs reading some again.
func (s *Scrubber) note() {
	s.noted = s.opts.Clock.Now()
	path := filepath.Join(s.opts.Path, Checkpoint)
	f, err := s.opts.FS.OpenFile(path, vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		return // the next one may succeed; a directory that fails is told of by those who need it
	}
	defer f.Close()
	b := fmt.Appendf(nil, "0\n%d\n%s\n", s.began.UnixMilli(), s.next)
	if _, err := f.WriteAt(b, 0); err == nil {
		_ = f.Truncate(int64(len(b)))
	}
}
