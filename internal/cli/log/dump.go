package log

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
)

func dumpCommand() *cobra.Command {
	var d dumper
	c := &cobra.Command{
		Use:   "dump FILE|DIRECTORY...",
		Short: "Print the content of log files",
		Long: `Print what is in the files of a partition: segments (.log), indexes (.index, .timeindex), aborted transactions
(.txnindex), producer states (.snapshot), leader-epoch-checkpoint; in the files of a data directory: journals (.journal) and
the checkpoints. For a directory all files in it are printed. A file that a running broker writes may end in the middle of
a batch.`,
		Example: "  moldau log dump --records moldau-data/orders-0/00000000000000000000.log",
		Args:    cobra.MinimumNArgs(1),
	}
	c.Flags().BoolVar(&d.records, "records", false, "also the records of each batch")
	c.Flags().Int64Var(&d.maxBytes, "max-decompressed-bytes", 1<<30, "refuse batches that decompress to more")
	c.RunE = func(c *cobra.Command, args []string) error {
		files, err := expand(args)
		if err != nil {
			return err
		}
		d.out = bufio.NewWriter(c.OutOrStdout())
		var failed error
		for i, file := range files {
			if i > 0 {
				fmt.Fprintln(d.out)
			}
			if len(files) > 1 {
				fmt.Fprintln(d.out, file)
			}
			if err := d.file(file); err != nil {
				failed = errors.Join(failed, fmt.Errorf("dump %s: %w", file, err))
			}
		}
		return errors.Join(d.out.Flush(), failed)
	}
	return c
}

// expand puts the files of a directory in its place.
func expand(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, fmt.Errorf("dump: %w", err)
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, fmt.Errorf("dump: %w", err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				files = append(files, filepath.Join(arg, e.Name()))
			}
		}
	}
	return files, nil
}

// dumper prints files.
type dumper struct {
	records  bool
	maxBytes int64
	out      *bufio.Writer
}

// file prints one file by what its name says it is. A file that waits for its removal is still what it was.
func (d *dumper) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(path), segment.DeletedSuffix)
	if filepath.Ext(name) == segment.LogSuffix {
		return d.segment(f, info.Size())
	}
	if filepath.Ext(name) == ".journal" {
		return d.journal(bufio.NewReaderSize(f, 1<<20))
	}
	// All others are small: the largest is a time index of some megabytes.
	const most = 1 << 30
	if info.Size() > most {
		return fmt.Errorf("%d bytes, too many for such a file", info.Size())
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	switch filepath.Ext(name) {
	case segment.IndexSuffix:
		return d.offsetIndex(path, name, data)
	case segment.TimeSuffix:
		return d.timeIndex(name, data)
	case segment.AbortedSuffix:
		return d.aborted(data)
	case segment.SnapshotSuffix:
		return d.snapshot(data)
	}
	if name == epoch.Name {
		return d.epochs(data)
	}
	return d.text(data)
}

// text prints checkpoints, meta.properties and partition.metadata, which are text.
func (d *dumper) text(data []byte) error {
	if bytes.IndexByte(data, 0) >= 0 {
		return errors.New("not a file of a log")
	}
	fmt.Fprintf(d.out, "%s\n", bytes.TrimSuffix(data, []byte("\n")))
	return nil
}

func (d *dumper) epochs(data []byte) error {
	cache, err := epoch.Decode(data)
	if err != nil {
		return err
	}
	for _, e := range cache.Entries() {
		fmt.Fprintf(d.out, "epoch %d starts at offset %d\n", e.Epoch, e.Start)
	}
	return nil
}

// timeText prints a timestamp of a record or batch; -1 is none.
func timeText(ms int64) string {
	if ms < 0 {
		return "none"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
