package log

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

func verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify DIRECTORY...",
		Short: "Check all that lies in a data directory for damage",
		Long: `Check what is in data directories, or in directories of single partitions: the CRC of every batch and the order of offsets, the
indexes against the batches, producer states, epochs, lists of aborted transactions and checkpoints. Each damaged place has
a line with file, position and offsets; the status is 1 if there is one. Nothing is written. What is behind a damaged batch is
found again, as a broker does, which serves all but the offsets that are named.

Derived files (all but .log) are made again by a broker that finds them damaged. Run it while no broker runs on the
directory: what is being written looks damaged at its end.`,
		Example: "  moldau log verify moldau-data\n  moldau log verify moldau-data/orders-0",
		Args:    cobra.MinimumNArgs(1),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		v := verifier{out: bufio.NewWriter(c.OutOrStdout()), files: segment.NewFileCache(16, 0)}
		defer v.files.Close()
		var failed error
		for _, dir := range args {
			if err := v.tree(dir); err != nil {
				failed = errors.Join(failed, fmt.Errorf("verify %s: %w", dir, err))
			}
		}
		fmt.Fprintf(v.out, "%d segments, %d batches, %d records, %d bytes: %d damaged places\n", v.segments, v.batches, v.records, v.bytes, v.damages)
		if failed = errors.Join(v.out.Flush(), failed); failed == nil && v.damages > 0 {
			failed = fmt.Errorf("verify: %d damaged places", v.damages)
		}
		return failed
	}
	return c
}

// verifier checks directories.
type verifier struct {
	out                               *bufio.Writer
	files                             *segment.FileCache
	segments, batches, records, bytes int64
	damages                           int
}

// tree checks a directory and those in it.
func (v *verifier) tree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var failed error
	var logs []os.DirEntry
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && e.Name() == "quorum":
			// The quorum's files have their own checks, and a node that finds damage there does not start and names it.
		case e.IsDir():
			failed = errors.Join(failed, v.tree(path))
		case !e.Type().IsRegular():
		case strings.HasSuffix(e.Name(), segment.LogSuffix):
			logs = append(logs, e)
		case checkable(e.Name()):
			v.other(path)
		}
	}
	for i, e := range logs {
		next := int64(0)
		if i+1 < len(logs) {
			next, _ = segment.ParseName(logs[i+1].Name(), segment.LogSuffix)
		}
		failed = errors.Join(failed, v.log(dir, e, next))
	}
	return failed
}

// checkable says whether a file of that name is one that dump can read, but for .log files and their indexes.
func checkable(name string) bool {
	switch filepath.Ext(name) {
	case segment.AbortedSuffix, segment.SnapshotSuffix, ".journal":
		return true
	}
	return name == "leader-epoch-checkpoint"
}

// other checks a file as dump reads it.
func (v *verifier) other(path string) {
	d := dumper{maxBytes: 1 << 30, out: bufio.NewWriter(io.Discard)}
	if err := d.file(path); err != nil {
		v.damaged("%s: %v", path, err)
	}
}

func (v *verifier) damaged(format string, args ...any) {
	v.damages++
	fmt.Fprintf(v.out, "DAMAGED  "+format+"\n", args...)
}

// log checks a segment, which ends at offset end, and its indexes.
func (v *verifier) log(dir string, e os.DirEntry, end int64) error {
	path := filepath.Join(dir, e.Name())
	base, ok := segment.ParseName(e.Name(), segment.LogSuffix)
	if !ok {
		v.damaged("%s: the name is not an offset of 20 digits", path)
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	r, err := segment.VerifyFile(v.files, vfs.OS, dir, base, info.Size(), end)
	if err != nil {
		return err
	}
	v.segments++
	v.batches += r.Batches
	v.records += r.Records
	v.bytes += r.Bytes
	for _, d := range r.Damages {
		offsets := fmt.Sprintf("offsets %d to %d", d.First, d.Next-1)
		if d.Next <= d.First {
			offsets = fmt.Sprintf("offsets from %d on", d.First)
		}
		v.damaged("%s: position %d to %d, %s: %v", path, d.From, d.To, offsets, d.Why)
	}
	for _, err := range r.Indexes {
		v.damaged("%v", err)
	}
	if r.Tail > 0 {
		fmt.Fprintf(v.out, "%s: %d bytes behind the last batch are none, as a crash leaves them\n", path, r.Tail)
	}
	return nil
}
