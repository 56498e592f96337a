package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// movesFile says how often a partition's log was moved between data directories. Kafka passes over it.
//
// # File format: moves
//
// Text of two lines: "version: 0" and "moves: " with a decimal number from 1. A folder without the file was never moved.
//
// While a log is moved there is a moment at which both directories have its folder under its own name, both complete and synced. The
// one that was moved more often is the log: so a copy gets a higher number before it gets the name, and the number stays for good,
// since a directory that was away may come back with a folder that was left.
//
// A replica may also begin anew while a directory is away that has a folder of it from before: it went to other brokers and came back, or the directory was
// lost. What is made then begins at a number that no folder from before can have: its low movesBits bits are zero, and those above count the changes
// of the partition's metadata, of which each move is one.
const movesFile = "moves"

const movesBits = 20

func encodeMoves(n int64) []byte { return fmt.Appendf(nil, "version: 0\nmoves: %d\n", n) }

func decodeMoves(b []byte) (int64, error) {
	first, second, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	number, ok := strings.CutPrefix(second, "moves: ")
	n, err := strconv.ParseInt(number, 10, 64)
	if first != "version: 0" || !ok || err != nil || n < 1 {
		return 0, fmt.Errorf("want two lines with version 0 and a number of moves, have %q", b)
	}
	return n, nil
}

// movesIn returns how often the log in a folder of the directory was moved.
func (d *Dir) movesIn(folder string) (int64, error) {
	path := filepath.Join(d.opts.Path, folder, movesFile)
	b, err := vfs.ReadFile(d.opts.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	n, err := decodeMoves(b)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return n, nil
}

// setMoves makes the number of a folder's moves durable.
func (d *Dir) setMoves(folder string, n int64) error {
	path := filepath.Join(d.opts.Path, folder, movesFile)
	if err := vfs.WriteFileAtomic(d.opts.FS, path, encodeMoves(n)); err != nil {
		return d.judge(fmt.Errorf("write %s: %w", path, err))
	}
	return nil
}

// Anew makes the folder of a log that is to be new, so that it outdoes whatever folder of the partition another directory may come back with. life
// is higher each time. Where there is a log of the partition already nothing is done, and it says so.
func (d *Dir) Anew(id commitlog.ID, life int32) (made bool, err error) {
	if err := d.touch(); err != nil {
		return false, err
	}
	folder := id.DirName()
	d.mu.Lock()
	st, closed := d.mu.logs[keyOf(id)], d.mu.closed
	d.mu.Unlock()
	switch {
	case closed:
		return false, ErrClosed
	case st != nil && samePartition(st.id, id):
		return false, nil
	case st != nil: // of a topic that had the name before
		if err := d.clearName(id); err != nil {
			return false, err
		}
	}
	path := filepath.Join(d.opts.Path, folder)
	if err := d.opts.FS.MkdirAll(path, 0o755); err != nil {
		return false, d.judge(fmt.Errorf("make the folder of %s: %w", id, err))
	}
	if err := d.setMoves(folder, (int64(life)+1)<<movesBits); err != nil {
		_ = d.opts.FS.Remove(path) // it is empty, and no log's that could be removed
		return false, err
	}
	switch err := d.opts.FS.SyncDir(d.opts.Path); {
	case vfs.NoDescriptors(err):
		return false, fmt.Errorf("sync %s: %w", d.opts.Path, err)
	case err != nil: // once more it would succeed, whether the folder is durable or not
		return false, d.gone(fmt.Errorf("sync %s: %w", d.opts.Path, err))
	}
	return true, nil
}

// ErrTwice says that two data directories have the folder of a partition, and that no move explains it.
var ErrTwice = errors.New("two data directories have a folder of the same partition")

// FinishMoves removes what moves left that a stop interrupted: of the folders that a partition has in several of the directories, all but
// the one that was moved most often. A folder from before the replica began anew is set aside. It refuses folders that neither explains, as Kafka does. The directories were just opened and
// no log of them was handed out.
func FinishMoves(dirs []*Dir) error {
	if len(dirs) < 2 {
		return nil
	}
	type place struct {
		dir *Dir
		id  commitlog.ID
	}
	places := map[string][]place{}
	for _, d := range dirs {
		for _, id := range d.Logs() {
			places[id.DirName()] = append(places[id.DirName()], place{d, id})
		}
	}
	for name, all := range places {
		for len(all) > 1 {
			best, rest := all[0], []place(nil)
			for _, p := range all[1:] {
				if !samePartition(best.id, p.id) {
					rest = append(rest, p) // of a topic that had the name before
					continue
				}
				loser, old, err := lessMoved(best.dir, p.dir, name)
				if err != nil {
					return err
				}
				winner := p
				if loser == p.dir {
					winner = best
				}
				left := loser.lookup(map[*Dir]commitlog.ID{best.dir: best.id, p.dir: p.id}[loser])
				left.removing.Store(true) // whatever becomes of the removal, nobody finds the log there
				if old {
					err = loser.setAside(left)
				} else {
					err = loser.removeSoon(left)
				}
				if err != nil {
					loser.opts.Warn(fmt.Errorf("put away what is left of %s, which is in %s now: %w", name, winner.dir.opts.Path, err))
				}
				best = winner
			}
			all = rest
		}
	}
	return nil
}

// samePartition compares two logs of one name. A folder that does not say its topic's id is taken for the other's.
func samePartition(a, b commitlog.ID) bool {
	return a.TopicID == b.TopicID || a.TopicID.IsZero() || b.TopicID.IsZero()
}

// lessMoved returns the directory whose folder was moved less often, and whether that is from before the replica began anew.
func lessMoved(a, b *Dir, name string) (loser *Dir, old bool, err error) {
	ofA, err := a.movesIn(name)
	if err != nil {
		return nil, false, err
	}
	ofB, err := b.movesIn(name)
	old = ofA>>movesBits != ofB>>movesBits
	switch {
	case err != nil:
		return nil, false, err
	case ofA < ofB:
		return a, old, nil
	case ofA > ofB:
		return b, old, nil
	}
	return nil, false, fmt.Errorf("%w: %s and %s: take one of them away", ErrTwice, filepath.Join(a.opts.Path, name), filepath.Join(b.opts.Path, name))
}
