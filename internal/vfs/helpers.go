package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
)

// tempSuffix ends the name of a file that WriteFileAtomic is still writing. One left by a crash is overwritten next time.
const tempSuffix = ".tmp"

// NoSpace says of an error that the disk is full, or what somebody may have of it.
func NoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// WriteFileAtomic replaces the content of name so that a crash leaves the old content or the new, never a mixture and
// never nothing: it writes a temporary file beside it, syncs it, renames it and syncs the directory.
func WriteFileAtomic(fsys FS, name string, data []byte) error {
	temp := name + tempSuffix
	if err := writeSynced(fsys, temp, data); err != nil {
		fsys.Remove(temp) // best effort: the error that matters is the first
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if err := fsys.Rename(temp, name); err != nil {
		fsys.Remove(temp)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	err := fsys.SyncDir(filepath.Dir(name))
	switch {
	case err == nil:
		return nil
	case NoSpace(err):
		// This is no lack of space that passes: the name is there, and a second sync would succeed whether it is durable or not.
		return fmt.Errorf("replace %s: %v", name, err)
	}
	return fmt.Errorf("replace %s: %w", name, err)
}

// WriteTemp is the first part of WriteFileAtomic, without a sync, for who syncs many files at once before he calls RenameTemp.
func WriteTemp(fsys FS, name string, data []byte) error {
	temp := name + tempSuffix
	if err := write(fsys, temp, data, false); err != nil {
		fsys.Remove(temp)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}

// RenameTemp is the second part. The directory is not synced either.
func RenameTemp(fsys FS, name string) error {
	if err := fsys.Rename(name+tempSuffix, name); err != nil {
		fsys.Remove(name + tempSuffix)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}

func writeSynced(fsys FS, name string, data []byte) error { return write(fsys, name, data, true) }

func write(fsys FS, name string, data []byte, sync bool) error {
	f, err := fsys.OpenFile(name, ReadWrite|Create|Truncate, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}

// ReadFile returns the whole content of name.
func ReadFile(fsys FS, name string) ([]byte, error) {
	if disk, ok := fsys.(osFS); ok {
		return disk.readFile(name)
	}
	f, err := fsys.OpenFile(name, ReadOnly, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return data[:n], nil // shorter only if somebody truncated the file meanwhile
}

// MkdirAllSynced makes the directory name and those above it that are missing, and makes the new entries durable.
func MkdirAllSynced(fsys FS, name string, perm fs.FileMode) error {
	name = filepath.Clean(name)
	var parents []string // of the directories that are missing, the deepest first
	for dir := name; ; dir = filepath.Dir(dir) {
		_, err := fsys.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		parents = append(parents, filepath.Dir(dir))
		if filepath.Dir(dir) == dir {
			break
		}
	}
	if err := fsys.MkdirAll(name, perm); err != nil {
		return err
	}
	for i := len(parents) - 1; i >= 0; i-- {
		if err := fsys.SyncDir(parents[i]); err != nil {
			return err
		}
	}
	return nil
}
