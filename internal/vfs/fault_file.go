package vfs

import "errors"

// faultFile is a file of a Fault. It is no Raw, even over a file that is: reads must come through the hook.
type faultFile struct {
	f  File
	fs *Fault
}

func (f *faultFile) ask(kind OpKind, off, n int64) error {
	return f.fs.ask(Op{Kind: kind, Name: f.f.Name(), Off: off, N: n})
}

func (f *faultFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.ask(OpRead, off, int64(len(b))); err != nil {
		return 0, err
	}
	return f.f.ReadAt(b, off)
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	return f.WritevAt([][]byte{b}, off)
}

func (f *faultFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	size := int64(0)
	for _, b := range bufs {
		size += int64(len(b))
	}
	err := f.ask(OpWrite, off, size)
	if err == nil {
		return f.f.WritevAt(bufs, off)
	}
	part, ok := errors.AsType[*Partial](err)
	if !ok {
		return 0, err
	}
	total := 0
	for _, b := range bufs {
		b = b[:max(min(int64(len(b)), part.N-int64(total)), 0)]
		n, innerErr := f.f.WriteAt(b, off+int64(total))
		total += n
		if innerErr != nil {
			return total, innerErr
		}
	}
	return total, err
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.ask(OpTruncate, 0, size); err != nil {
		return err
	}
	return f.f.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.ask(OpSync, 0, 0); err != nil {
		return err
	}
	return f.f.Sync()
}

func (f *faultFile) Datasync() error {
	if err := f.ask(OpDatasync, 0, 0); err != nil {
		return err
	}
	return f.f.Datasync()
}

func (f *faultFile) Preallocate(off, n int64) error {
	if err := f.ask(OpPreallocate, off, n); err != nil {
		return err
	}
	return f.f.Preallocate(off, n)
}

func (f *faultFile) WriteBack(off, n int64) error {
	if err := f.ask(OpWriteBack, off, n); err != nil {
		return err
	}
	return f.f.WriteBack(off, n)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.ask(OpSize, 0, 0); err != nil {
		return 0, err
	}
	return f.f.Size()
}

// Close closes the inner file even when the hook fails it, as close(2) does.
func (f *faultFile) Close() error {
	err := f.ask(OpClose, 0, 0)
	if innerErr := f.f.Close(); err == nil {
		err = innerErr
	}
	return err
}

func (f *faultFile) Name() string { return f.f.Name() }
