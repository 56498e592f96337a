package logdir

import (
	"sync"
	"sync/atomic"

	"github.com/moldau/moldau/internal/commitlog"
)

// state is what a Dir keeps of one log: one that it found, or that was asked for.
type state struct {
	id    commitlog.ID
	found commitlog.Recovery // what directory and checkpoints said when it was found

	highWatermark int64 // as the checkpoint had it

	opening  sync.Mutex                    // one opens it
	log      atomic.Pointer[commitlog.Log] // nil until it is opened
	err      error                         // why it could not be opened; after Open guarded by opening
	onSynced atomic.Pointer[func(end int64)]
	handed   atomic.Bool // Log returned it: it belongs to a partition
	removing atomic.Bool // it is to go, but may be there still: Remove could not remove it yet, or a move left it
	going    atomic.Bool // Remove was told to remove it, and will: nobody may have it again
	gone     bool        // it did, guarded by opening
	// unrecovered says that a start which was not clean could not open it, lost that it ended below what was synced. After Open guarded by opening.
	unrecovered, lost bool
	index             int // in Dir.mu.order, guarded by Dir.mu

	rest   *commitlog.Rest // it rests, as Open found, and was not asked for yet; nil: its files are to be opened, or it has been
	noted  *commitlog.Rest // what the file of logs at rest says, as far as it was true then; nil: nothing; guarded by Dir.rests
	looked int             // so often it was not ready to be described; the checkpoint writer's

	idle struct { // the sweeper's
		unflushed int32  // for so many sweeps it has had unflushed bytes
		unused    int32  // for so many nobody used its files
		uses      uint64 // what commitlog's Uses was then
	}
	committing struct { // guarded by committer.mu
		syncing   bool   // a worker has it
		again     bool   // it was announced meanwhile
		removed   bool   // nothing of it is written any more
		inFile    uint64 // the last journal file in whose list it is
		last      uint64 // the last journal file that may hold an entry of it; 0: none
		journaled int64  // end of what is in the journal
		round     uint64 // the last group it was in
	}
}

func keyOf(id commitlog.ID) partitionKey { return partitionKey{id.Topic, id.Partition} }

func (st *state) key() partitionKey { return keyOf(st.id) }

// synced passes on what commitlog says. The receiver changes when a log that recovery opened is handed out.
func (st *state) synced(end int64) {
	if f := st.onSynced.Load(); f != nil {
		(*f)(end)
	}
}

func (d *Dir) states() []*state {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*state(nil), d.mu.order...)
}

// addLocked makes the log known.
func (d *Dir) addLocked(st *state) {
	d.mu.logs[st.key()] = st
	st.index = len(d.mu.order)
	d.mu.order = append(d.mu.order, st)
}

// drop forgets the log and what the checkpoints say of it.
func (d *Dir) drop(st *state) {
	d.mu.Lock()
	if key := st.key(); d.mu.logs[key] == st {
		delete(d.mu.logs, key)
		last := len(d.mu.order) - 1
		d.mu.order[st.index] = d.mu.order[last]
		d.mu.order[st.index].index = st.index
		d.mu.order[last] = nil
		d.mu.order = d.mu.order[:last]
	}
	d.mu.Unlock()
	d.rests.forget(st)
	d.forget(st.key())
}

// each calls f for every log, by some goroutines, and returns when all are done.
func each(logs []*state, workers int, f func(*state)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(workers, len(logs)) {
		wait.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(logs); i = next.Add(1) - 1 {
				f(logs[i])
			}
		})
	}
	wait.Wait()
}
