package metadata

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Subscriber is told of every new image, in order, by the one goroutine that applies the metadata log, before the image is the
// current one. It must be quick: the log waits for it.
type Subscriber func(before, after *Image, delta *Delta)

// Publisher folds the committed log into the current image. It is the state machine that the quorum drives: Apply, Restore and
// Snapshot are called by one goroutine, Image by anyone.
type Publisher struct {
	current     atomic.Pointer[Image]
	subscribers []Subscriber
	publishing  sync.Mutex // held while subscribers follow

	mu      sync.Mutex
	changed chan struct{} // closed with the next image; nil while nobody waits
}

// NewPublisher returns a publisher of the empty image. Subscribers are called in their order; the set cannot change later, so
// that none misses an image.
func NewPublisher(subscribers ...Subscriber) *Publisher {
	p := &Publisher{subscribers: subscribers}
	p.current.Store(Empty)
	return p
}

// Image returns the current image.
func (p *Publisher) Image() *Image { return p.current.Load() }

// Apply folds one committed entry into the image. An empty entry, as a new leader writes one, changes nothing.
func (p *Publisher) Apply(index uint64, entry []byte) error {
	before := p.current.Load()
	if index <= before.index {
		return fmt.Errorf("metadata entry %d comes after %d", index, before.index)
	}
	var records []Record
	if len(entry) > 0 {
		var err error
		if records, err = Decode(entry); err != nil {
			return fmt.Errorf("decode metadata entry %d: %w", index, err)
		}
	}
	after, delta, err := Apply(before, index, records)
	if err != nil {
		return err
	}
	p.publish(before, after, delta)
	return nil
}

// Restore replaces the image by the one of a snapshot.
func (p *Publisher) Restore(index uint64, snapshot []byte) error {
	after, err := DecodeSnapshot(snapshot)
	if err != nil {
		return err
	}
	before := p.current.Load()
	if after.index > index || after.index < before.index {
		return fmt.Errorf("%w: snapshot of index %d says %d, the image is at %d", ErrCorrupt, index, after.index, before.index)
	}
	after.index = index // entries after the last one with records changed nothing
	p.publish(before, after, Diff(before, after))
	return nil
}

// Snapshot returns the bytes of the current image and the index it stands at.
func (p *Publisher) Snapshot() (index uint64, snapshot []byte) {
	img := p.current.Load()
	return img.index, img.EncodeSnapshot()
}

// publish lets the subscribers follow first: who sees a topic in the current image finds its replicas and its coordinators too.
func (p *Publisher) publish(before, after *Image, delta *Delta) {
	p.publishing.Lock()
	for _, told := range p.subscribers {
		told(before, after, delta)
	}
	p.current.Store(after)
	p.publishing.Unlock()
	p.mu.Lock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	p.mu.Unlock()
}

// While runs f between two images: who takes over the current one in f is told of every one that comes after it.
func (p *Publisher) While(f func()) {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	f()
}

// Watch returns the current image, and a channel that is closed when there is another one.
func (p *Publisher) Watch() (*Image, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.current.Load(), p.changed
}

// Await returns when the image has reached an index.
func (p *Publisher) Await(ctx context.Context, index uint64) error {
	for {
		img, changed := p.Watch()
		if img.index >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
