package vfs

import (
	"io/fs"
	"sync/atomic"
)

// OpKind says what an Op does.
type OpKind string

// The kinds of operations, by the methods of FS and File.
const (
	OpOpen        OpKind = "open"   // OpenFile that only opens
	OpCreate      OpKind = "create" // OpenFile that may create or truncate
	OpRead        OpKind = "read"
	OpWrite       OpKind = "write" // WriteAt and WritevAt
	OpTruncate    OpKind = "truncate"
	OpSync        OpKind = "sync"
	OpDatasync    OpKind = "datasync"
	OpPreallocate OpKind = "preallocate"
	OpWriteBack   OpKind = "writeback"
	OpSize        OpKind = "size"
	OpClose       OpKind = "close"
	OpRemove      OpKind = "remove"
	OpRemoveAll   OpKind = "removeall"
	OpRename      OpKind = "rename"
	OpMkdirAll    OpKind = "mkdirall"
	OpReadDir     OpKind = "readdir"
	OpStat        OpKind = "stat"
	OpSyncDir     OpKind = "syncdir"
	OpSyncFS      OpKind = "syncfs"
	OpLock        OpKind = "lock"
	OpFree        OpKind = "free"
)

// Changes says whether an operation of this kind changes the disk or makes a change durable: the points at which a crash
// differs from a crash at the point before.
func (k OpKind) Changes() bool {
	switch k {
	case OpCreate, OpWrite, OpTruncate, OpSync, OpDatasync, OpRemove, OpRemoveAll, OpRename, OpMkdirAll, OpSyncDir,
		OpSyncFS, OpLock:
		return true
	}
	return false
}

// Op is one operation about to happen.
type Op struct {
	Kind   OpKind
	Name   string
	To     string // the new name of a rename
	Off, N int64  // where reads, writes, Preallocate and WriteBack act; Truncate has its size in N
	Seq    int64  // running number of the operation, from 1
	Change int64  // running number among those whose kind Changes, from 1; 0 for the others
}

// Fault is an FS that asks a hook before every operation. It is how tests fail the n-th write or crash at the n-th sync.
type Fault struct {
	fs          FS
	hook        func(Op) error
	seq, change atomic.Int64
}

// NewFault returns an FS over inner. Where hook returns an error, the operation does not happen and returns that error,
// wrapped in a *fs.PathError; a Partial lets a part of a write happen. The hook may run concurrently, and may call
// inner, so that it can crash a Mem.
func NewFault(inner FS, hook func(Op) error) *Fault {
	return &Fault{fs: inner, hook: hook}
}

// Changes returns how many operations so far changed the disk or made a change durable.
func (f *Fault) Changes() int64 { return f.change.Load() }

// Partial is an error for a hook to return: a write happens for its first N bytes and then fails with Err.
type Partial struct {
	N   int64
	Err error
}

func (p *Partial) Error() string { return p.Err.Error() }
func (p *Partial) Unwrap() error { return p.Err }

func (f *Fault) ask(op Op) error {
	op.Seq = f.seq.Add(1)
	if op.Kind.Changes() {
		op.Change = f.change.Add(1)
	}
	return pathError(string(op.Kind), op.Name, f.hook(op))
}

func (f *Fault) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	kind := OpOpen
	if flag&(Create|Truncate) != 0 {
		kind = OpCreate
	}
	if err := f.ask(Op{Kind: kind, Name: name}); err != nil {
		return nil, err
	}
	inner, err := f.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{f: inner, fs: f}, nil
}

func (f *Fault) Remove(name string) error {
	if err := f.ask(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

func (f *Fault) RemoveAll(name string) error {
	if err := f.ask(Op{Kind: OpRemoveAll, Name: name}); err != nil {
		return err
	}
	return f.fs.RemoveAll(name)
}

func (f *Fault) Rename(oldName, newName string) error {
	if err := f.ask(Op{Kind: OpRename, Name: oldName, To: newName}); err != nil {
		return err
	}
	return f.fs.Rename(oldName, newName)
}

func (f *Fault) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.ask(Op{Kind: OpMkdirAll, Name: name}); err != nil {
		return err
	}
	return f.fs.MkdirAll(name, perm)
}

func (f *Fault) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.ask(Op{Kind: OpReadDir, Name: name}); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(name)
}

func (f *Fault) Stat(name string) (fs.FileInfo, error) {
	if err := f.ask(Op{Kind: OpStat, Name: name}); err != nil {
		return nil, err
	}
	return f.fs.Stat(name)
}

func (f *Fault) SyncDir(name string) error {
	if err := f.ask(Op{Kind: OpSyncDir, Name: name}); err != nil {
		return err
	}
	return f.fs.SyncDir(name)
}

func (f *Fault) Lock(name string) (Lock, error) {
	if err := f.ask(Op{Kind: OpLock, Name: name}); err != nil {
		return nil, err
	}
	l, err := f.fs.Lock(name)
	if err != nil {
		return nil, err
	}
	return &faultLock{Lock: l, fault: f, name: name}, nil
}

type faultLock struct {
	Lock
	fault *Fault
	name  string
}

func (l *faultLock) SyncFS() error {
	if err := l.fault.ask(Op{Kind: OpSyncFS, Name: l.name}); err != nil {
		return err
	}
	return l.Lock.SyncFS()
}

func (f *Fault) Free(name string) (uint64, error) {
	if err := f.ask(Op{Kind: OpFree, Name: name}); err != nil {
		return 0, err
	}
	return f.fs.Free(name)
}

func (f *Fault) Total(name string) (uint64, error) {
	if err := f.ask(Op{Kind: OpFree, Name: name}); err != nil {
		return 0, err
	}
	return f.fs.Total(name)
}
