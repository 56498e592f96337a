// Command durability measures how fast the log directory makes appends durable, and holds it against what the disk does with a
// plain file in the same run:
//
//	go run ./bench/durability [-dir DIR] [-mechanisms]
//
// It owns no file but those of a temporary directory below DIR, which it removes. It measures no network and no client: see
// the other commands in bench for those. With -mechanisms it compares instead the mechanisms that
// docs/decisions/0001-durability.md chose from, by bare system calls.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	dir := flag.String("dir", ".", "where the temporary directory is made: on the disk to measure")
	compare := flag.Bool("mechanisms", false, "compare the mechanisms by bare system calls")
	flag.Parse()
	run := measure
	if *compare {
		run = mechanisms
	}
	if err := run(os.Stdout, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "durability:", err)
		os.Exit(1)
	}
}

func measure(w io.Writer, dir string) error {
	dir, err := os.MkdirTemp(dir, "durability-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := manyPartitions(w, filepath.Join(dir, "many")); err != nil {
		return err
	}
	if err := largeBatches(w, dir); err != nil {
		return err
	}
	if err := singleRecords(w, dir); err != nil {
		return err
	}
	return mediumBatches(w, filepath.Join(dir, "medium"))
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}
