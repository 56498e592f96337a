package vfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
	"time"
)

// ErrCrashed is what every operation on a Mem, and on files of it, returns after its Crash.
var ErrCrashed = errors.New("the file system has crashed")

// Mem is a file system in memory that remembers what has been synced: Crash shows what a disk could hold after a power
// loss at this moment. It promises as little as POSIX does: a file's content is safe after Sync of the file, its name after
// SyncDir of its directory, and neither implies the other. The working directory and the root are one and the same.
//
// A Mem is safe for concurrent use.
type Mem struct {
	mu sync.RWMutex // guards everything below and all nodes
	// root is the root directory; it always exists and is always durable.
	root *memNode
	// dirOps are the changes of directories since they were last synced, oldest first.
	dirOps  []dirOp
	crashed bool
	locks   map[*memNode]bool
	// capacity bounds used; 0 means no bound.
	capacity, used int64
	changes        int64 // so far; the nanosecond at which the last one was
}

// memNode is a file or a directory. A file is held by its names and by its open handles.
type memNode struct {
	dir     map[string]*memNode // the entries as they are now; nil for a file
	durable map[string]*memNode // the entries that survive any crash
	perm    fs.FileMode
	modTime time.Time // of the last change, which are a nanosecond apart from one another
	oldTime time.Time // the same, when it was last synced

	data     []byte
	reserved int64 // end of the blocks taken by Preallocate
	synced   []byte
	dirty    ranges // where data may differ from synced
	low      int64  // lowest size since the last sync: from here on sectors may be zero as well as old or new
	links    int    // names
	open     int    // handles
}

// dirOp is one change of directories that a crash keeps as a whole or loses as a whole, as a journal does a rename.
type dirOp []dirChange

type dirChange struct {
	dir  *memNode
	name string
	node *memNode // nil removes the name
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newDir(0o755), locks: make(map[*memNode]bool)}
}

func newDir(perm fs.FileMode) *memNode {
	return &memNode{dir: map[string]*memNode{}, durable: map[string]*memNode{}, perm: perm | fs.ModeDir, modTime: time.Unix(0, 0), oldTime: time.Unix(0, 0)}
}

// SetCapacity bounds the bytes that files may take; a write beyond writes what fits and returns ENOSPC. 0 ends the bound.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns the bytes that files take, blocks reserved by Preallocate included.
func (m *Mem) Used() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.used
}

// takes returns the space that n takes.
func (m *Mem) takes(n *memNode) int64 { return max(int64(len(n.data)), n.reserved) }

// release gives the space of n back once nothing holds it. Its content stays, because a crash may bring its name back.
func (m *Mem) release(n *memNode) {
	if n.links == 0 && n.open == 0 && n.dir == nil {
		m.used -= m.takes(n)
	}
}

func split(name string) []string {
	name = filepath.ToSlash(filepath.Clean(name))
	name = name[len(filepath.VolumeName(name)):]
	var parts []string
	for at := 0; at < len(name); {
		end := at
		for end < len(name) && name[end] != '/' {
			end++
		}
		if part := name[at:end]; part != "" && part != "." {
			parts = append(parts, part)
		}
		at = end + 1
	}
	return parts
}

// find returns the node of name.
func (m *Mem) find(name string) (*memNode, error) {
	if m.crashed {
		return nil, ErrCrashed
	}
	n := m.root
	for _, part := range split(name) {
		if n.dir == nil {
			return nil, syscall.ENOTDIR
		}
		next, ok := n.dir[part]
		if !ok {
			return nil, syscall.ENOENT
		}
		n = next
	}
	return n, nil
}

// parent returns the directory that holds name, and name's last part, which is empty for the root.
func (m *Mem) parent(name string) (*memNode, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return m.root, "", nil
	}
	dir, err := m.find(filepath.Join(parts[:len(parts)-1]...))
	if err != nil {
		return nil, "", err
	}
	if dir.dir == nil {
		return nil, "", syscall.ENOTDIR
	}
	return dir, parts[len(parts)-1], nil
}

// change applies a change of directories now and notes that it is not durable yet.
func (m *Mem) change(op ...dirChange) {
	for _, c := range op {
		m.changed(c.dir)
		if old := c.dir.dir[c.name]; old != nil {
			old.links--
			defer m.release(old)
		}
		if c.node == nil {
			delete(c.dir.dir, c.name)
		} else {
			c.dir.dir[c.name] = c.node
			c.node.links++
		}
	}
	m.dirOps = append(m.dirOps, op)
}

// changed notes the time of a change.
func (m *Mem) changed(n *memNode) {
	m.changes++
	n.modTime = time.Unix(0, m.changes)
}

// commit makes a change of directories durable.
func (op dirOp) commit() {
	for _, c := range op {
		c.dir.oldTime = c.dir.modTime
		if c.node == nil {
			delete(c.dir.durable, c.name)
		} else {
			c.dir.durable[c.name] = c.node
		}
	}
}

func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.openLocked(name, flag, perm)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	n.open++
	return &memFile{fs: m, node: n, name: name, writable: flag&ReadWrite != 0}, nil
}

func (m *Mem) openLocked(name string, flag int, perm fs.FileMode) (*memNode, error) {
	n, err := m.find(name)
	switch {
	case err == nil && flag&Create != 0 && flag&Exclusive != 0:
		return nil, syscall.EEXIST
	case err == nil && n.dir != nil:
		if flag&(ReadWrite|Create|Truncate) != 0 {
			return nil, syscall.EISDIR
		}
	case err == nil:
		if flag&Truncate != 0 {
			m.truncate(n, 0)
		}
	case errors.Is(err, syscall.ENOENT) && flag&Create != 0:
		dir, base, err := m.parent(name)
		if err != nil {
			return nil, err
		}
		n = &memNode{perm: perm}
		m.changed(n)
		n.oldTime = n.modTime
		m.change(dirChange{dir, base, n})
	default:
		return nil, err
	}
	return n, nil
}

func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	if len(n.dir) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	dir, base, err := m.parent(name)
	if err == nil && base == "" {
		err = syscall.EBUSY
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	m.change(dirChange{dir, base, nil})
	return nil
}

func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return pathError("unlinkat", name, err)
	}
	m.clear(n)
	if dir, base, err := m.parent(name); err == nil && base != "" {
		m.change(dirChange{dir, base, nil})
	}
	return nil
}

// clear removes what is below n, each name by a change of its own, as a crash in the middle would leave it.
func (m *Mem) clear(n *memNode) {
	for _, name := range sortedNames(n.dir) {
		m.clear(n.dir[name])
		m.change(dirChange{n, name, nil})
	}
}

func sortedNames(dir map[string]*memNode) []string {
	names := make([]string, 0, len(dir))
	for name := range dir {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldName, newName); err != nil {
		return pathError("rename", oldName, err)
	}
	return nil
}

func (m *Mem) rename(oldName, newName string) error {
	n, err := m.find(oldName)
	if err != nil {
		return err
	}
	from, fromBase, err := m.parent(oldName)
	if err != nil {
		return err
	}
	to, toBase, err := m.parent(newName)
	if err != nil {
		return err
	}
	if fromBase == "" || toBase == "" {
		return syscall.EBUSY
	}
	if n.dir != nil && (to == n || below(n, to)) {
		return syscall.EINVAL
	}
	if old := to.dir[toBase]; old != nil {
		switch {
		case old == n:
			return nil
		case old.dir == nil && n.dir != nil:
			return syscall.ENOTDIR
		case old.dir != nil:
			return syscall.EEXIST // package os never replaces a directory
		}
	}
	m.change(dirChange{to, toBase, n}, dirChange{from, fromBase, nil})
	return nil
}

// below says whether dir lies anywhere under n.
func below(n, dir *memNode) bool {
	for _, child := range n.dir {
		if child == dir || below(child, dir) {
			return true
		}
	}
	return false
}

func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return pathError("mkdir", name, ErrCrashed)
	}
	n := m.root
	for _, part := range split(name) {
		if n.dir == nil {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
		next, ok := n.dir[part]
		if !ok {
			next = newDir(perm)
			m.change(dirChange{n, part, next})
		}
		n = next
	}
	if n.dir == nil {
		return pathError("mkdir", name, syscall.ENOTDIR)
	}
	return nil
}

func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find(name)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	entries := make([]fs.DirEntry, 0, len(n.dir))
	for _, base := range sortedNames(n.dir) {
		entries = append(entries, fs.FileInfoToDirEntry(n.dir[base].info(base)))
	}
	return entries, nil
}

func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return n.info(filepath.Base(name)), nil
}

func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err == nil && n.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("sync", name, err)
	}
	// A change that also touches another directory becomes durable there too, since it is one transaction of the journal.
	// Earlier changes that it builds on in that other directory may be lost still.
	rest := m.dirOps[:0]
	for _, op := range m.dirOps {
		switch {
		case op.touches(n):
			op.commit()
		case m.dead(op): // nobody can sync these directories any more; a crash may still bring them back as they were
		default:
			rest = append(rest, op)
		}
	}
	clear(m.dirOps[len(rest):])
	m.dirOps = rest
	return nil
}

func (op dirOp) touches(dir *memNode) bool {
	for _, c := range op {
		if c.dir == dir {
			return true
		}
	}
	return false
}

// dead says whether op changed nothing but directories that have no name any more.
func (m *Mem) dead(op dirOp) bool {
	for _, c := range op {
		if c.dir.links > 0 || c.dir == m.root {
			return false
		}
	}
	return true
}

func syncTree(n *memNode) {
	n.sync()
	for _, child := range n.dir {
		syncTree(child)
	}
}

func (m *Mem) Lock(name string) (Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.openLocked(name, ReadWrite|Create, 0o644)
	if err == nil && m.locks[n] {
		err = ErrLocked
	}
	if err != nil {
		return nil, pathError("lock", name, err)
	}
	m.locks[n] = true
	return &memLock{fs: m, name: name, node: n}, nil
}

type memLock struct {
	fs   *Mem
	name string
	node *memNode
	once sync.Once
}

func (l *memLock) SyncFS() error {
	m := l.fs
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.find(l.name)
	if err == nil && !m.locks[l.node] {
		err = fs.ErrClosed
	}
	if err != nil {
		return pathError("syncfs", l.name, err)
	}
	for _, op := range m.dirOps {
		op.commit()
	}
	m.dirOps = nil
	syncTree(m.root)
	return nil
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	err := fs.ErrClosed
	l.once.Do(func() { delete(l.fs.locks, l.node); err = nil })
	return err
}

// unbounded is what Free answers without a capacity: as good as any number, and far from overflowing.
const unbounded = 1 << 50

func (m *Mem) Free(name string) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find(name); err != nil {
		return 0, pathError("statfs", name, err)
	}
	if m.capacity == 0 {
		return unbounded, nil
	}
	return uint64(max(m.capacity-m.used, 0)), nil
}

func (m *Mem) Total(name string) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find(name); err != nil {
		return 0, pathError("statfs", name, err)
	}
	if m.capacity == 0 {
		return unbounded, nil
	}
	return uint64(m.capacity), nil
}
