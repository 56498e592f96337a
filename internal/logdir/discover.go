package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// Endings of directory names, Kafka's.
const (
	deleteSuffix = commitlog.DeleteSuffix // being removed
	straySuffix  = "-stray"               // set aside because the metadata does not know it; left to the operator
)

// parseDirName splits "orders-0". A name with a dot and an ending, as a directory that is being removed has, is none.
func parseDirName(name string) (topic string, partition int32, ok bool) {
	at := strings.LastIndexByte(name, '-')
	if at <= 0 || at == len(name)-1 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(name[at+1:], 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != name[at+1:] {
		return "", 0, false
	}
	return name[:at], int32(n), true
}

// CountPartitions returns how many partitions have a directory in the data directory at path. It touches nothing.
func CountPartitions(fsys vfs.FS, path string) (int, error) {
	entries, err := fsys.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("list data directory: %w", err)
	}
	n := 0
	for _, e := range entries {
		if _, _, ok := parseDirName(e.Name()); ok && e.IsDir() {
			n++
		}
	}
	return n, nil
}

// discover lists the partition directories and begins to remove those whose removal a stop interrupted.
func (d *Dir) discover() error {
	entries, err := d.opts.FS.ReadDir(d.opts.Path)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	var copies []*Future
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.logs, d.mu.order = make(map[partitionKey]*state, len(entries)), make([]*state, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if strings.HasSuffix(e.Name(), deleteSuffix) {
			d.background.run(0, commitlog.RemoveDir(d.opts.FS, filepath.Join(d.opts.Path, e.Name())))
			continue
		}
		topic, partition, ok := parseDirName(e.Name())
		if id, future := parseFutureName(e.Name()); future {
			copies = append(copies, d.findFutureLocked(e.Name(), id))
			continue
		}
		if !ok {
			continue // not a partition's: left alone
		}
		st := &state{id: commitlog.ID{Topic: topic, Partition: partition}}
		d.checkpoints.take(st)
		st.found.Clean = d.clean
		d.addLocked(st)
	}
	for _, f := range copies {
		if f.st.id.TopicID, err = d.readTopicID(filepath.Join(d.opts.Path, f.name)); err != nil {
			return err
		}
	}
	rests := d.readRestsLocked()
	each(d.mu.order, 2*runtime.GOMAXPROCS(0), func(st *state) {
		if e := rests[st.index]; e.holds(d, st) {
			st.letRest(e)
			return
		}
		st.id.TopicID, st.err = d.readTopicID(filepath.Join(d.opts.Path, st.id.DirName()))
		st.found.Identified = st.err == nil && !st.id.TopicID.IsZero()
	})
	return nil
}

// readTopicID reads the topic id of a partition directory; none if the file is missing or not whole, which a crash soon after
// the first append explains.
func (d *Dir) readTopicID(dir string) (uuid.UUID, error) {
	id, err := commitlog.ReadTopicID(d.opts.FS, dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, commitlog.ErrCorrupt) {
		return uuid.UUID{}, nil
	}
	return id, err
}

// Logs returns the partitions whose logs are in the directory, without those that are being removed. A zero topic id means that the
// directory does not say.
func (d *Dir) Logs() []commitlog.ID {
	states := d.states()
	ids := make([]commitlog.ID, 0, len(states))
	for _, st := range states {
		if !st.removing.Load() {
			ids = append(ids, st.id)
		}
	}
	return ids
}
