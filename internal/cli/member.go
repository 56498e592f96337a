package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
)

const (
	// nothingToDo is how long a member without a partition waits for one. Two rebalances may pass before it gets its share.
	nothingToDo = 3 * silence
	// lastWord bounds committing and leaving at the end, since a person waits for the prompt.
	lastWord = 10 * time.Second
)

// member is a reader that takes its partitions from a group and commits what it has printed.
type member struct {
	*reader
	group    string
	instance string
	session  time.Duration
	commits  time.Duration
	where    position
	found    map[place]span // what there was to read at the start

	owned    map[place]bool // what the group has given to this member
	awaited  int            // partitions given whose offsets are still being fetched
	settled  bool           // the group is not rebalancing
	progress time.Time      // of the last record or rebalance
	failing  time.Time      // since when the group cannot be reached; zero if it can
	told     string         // the last note, which is not repeated

	mu     sync.Mutex
	events []event // what the client has reported since the last poll; guarded by mu
}

// event is something that the client's goroutine for the group reports. The one that polls acts on it, so that nothing else
// needs a lock.
type event struct {
	settled, unsettled bool
	awaited            int
	added              map[place]span
	removed            []place
	note               string
}

func (m *member) report(e event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
}

func (m *member) run(ctx context.Context) error {
	if m.left == 0 {
		return nil
	}
	defer heedPipe()()
	m.spans, m.owned, m.progress = map[place]span{}, map[place]bool{}, time.Now()
	cl, err := m.to.Connect(ctx, append(fetching(), m.options()...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for done := false; !done && err == nil; {
		done, err = m.poll(ctx, cl)
	}
	return errors.Join(err, m.leave(cl))
}

// poll prints what comes next and says whether that was all.
func (m *member) poll(ctx context.Context, cl *kgo.Client) (done bool, err error) {
	patience := 100 * time.Millisecond // until it looks whether there is anything left to read
	if m.follow {
		patience = 500 * time.Millisecond
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	fetches := cl.PollFetches(wait)
	waited := wait.Err() != nil
	cancel()
	defer cl.AllowRebalance()
	if ctx.Err() != nil {
		return true, nil
	}
	m.heed()
	for _, e := range fetches.Errors() {
		if waited && errors.Is(e.Err, context.DeadlineExceeded) {
			continue
		}
		if err := m.endure(e); err != nil {
			return true, err
		}
	}
	done, err = m.print(cl, fetches)
	if err != nil || done {
		return done, err
	}
	return m.atEnd(ctx, cl)
}

// print prints the records that are wanted, and marks them as what to commit once they are out.
func (m *member) print(cl *kgo.Client, fetches kgo.Fetches) (done bool, err error) {
	last := map[place]*kgo.Record{}
	for it := fetches.RecordIter(); !it.Done() && !done; {
		rec := it.Next()
		at := place{rec.Topic, rec.Partition}
		if s, wanted := m.spans[at]; !wanted || rec.Offset >= s.end {
			delete(m.spans, at)
			continue
		}
		if _, err = m.take(rec); err != nil {
			return true, err
		}
		last[at] = rec
		done = m.left == 0
	}
	if err := m.out.Flush(); err != nil {
		return true, broken(err)
	}
	for _, rec := range last {
		cl.MarkCommitRecords(rec)
		m.progress, m.failing = time.Now(), time.Time{}
	}
	return done, nil
}

// heed acts on what the client has reported.
func (m *member) heed() {
	m.mu.Lock()
	events := m.events
	m.events = nil
	m.mu.Unlock()
	for _, e := range events {
		switch {
		case e.settled:
			m.settled, m.awaited, m.failing, m.told = true, m.awaited+e.awaited, time.Time{}, ""
		case e.unsettled:
			m.settled, m.awaited = false, 0
		}
		for at, s := range e.added {
			m.owned[at] = true
			m.awaited = max(m.awaited-1, 0)
			if s.start < s.end {
				m.spans[at] = s
			}
		}
		for _, at := range e.removed {
			delete(m.owned, at)
			delete(m.spans, at)
		}
		if e.note != "" {
			m.tell(e.note)
			continue
		}
		m.progress = time.Now()
	}
}

// tell says something once.
func (m *member) tell(note string) {
	if note != m.told {
		fmt.Fprintf(m.notes, "moldau: %s\n", note)
		m.told = note
	}
}

// endure tells what will pass, such as a coordinator that moves, from what ends the command.
func (m *member) endure(e kgo.FetchError) error {
	var session *kgo.ErrGroupSession
	if !errors.As(e.Err, &session) {
		var loss *kgo.ErrDataLoss
		if errors.As(e.Err, &loss) {
			m.tell(e.Err.Error())
			return nil
		}
		return m.fatal(e)
	}
	if m.failing.IsZero() {
		m.failing = time.Now()
	}
	failed := m.to.Explain(fmt.Sprintf("join group %s", m.group), session.Err, "")
	var code *kerr.Error
	switch {
	case client.NotServed(session.Err):
		return failed
	case errors.As(session.Err, &code):
		if code.Retriable || errors.Is(code, kerr.UnknownMemberID) || errors.Is(code, kerr.IllegalGeneration) {
			return nil // the client joins again by itself
		}
		return failed
	case !m.follow && time.Since(m.failing) > 30*time.Second:
		return failed
	}
	m.tell(failed.Error())
	return nil
}

// atEnd says whether this member has read what it was to read.
func (m *member) atEnd(ctx context.Context, cl *kgo.Client) (bool, error) {
	if m.follow || !m.settled || m.awaited > 0 {
		return false, nil
	}
	idle := time.Since(m.progress)
	switch {
	case len(m.owned) > 0 && len(m.spans) == 0:
		return true, nil
	case len(m.owned) == 0 && idle > nothingToDo:
		fmt.Fprintf(m.notes, "moldau: group %s gave this member no partition within %v: its other members have them all\n", m.group, nothingToDo)
		return true, nil
	case len(m.owned) > 0 && idle > silence:
		return true, m.silence(ctx, cl)
	}
	return false, nil
}

// leave commits what is printed and gives the partitions back. The command's own context may have ended, which is why it has
// another.
func (m *member) leave(cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWord)
	defer cancel()
	err := m.to.Explain("commit offsets of group "+m.group, cl.CommitMarkedOffsets(ctx), "")
	if left := cl.LeaveGroupContext(ctx); err == nil && !errors.Is(left, kerr.UnknownMemberID) {
		err = m.to.Explain("leave group "+m.group, left, "")
	}
	return err
}
