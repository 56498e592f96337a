package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/quorum"
	"github.com/moldau/moldau/internal/random"
)

// ErrNotController is returned for a request that reached a node which is not the active controller, or that lost its place
// while the request was under way; then it is not known whether the request was carried out.
var ErrNotController = errors.New("not the active controller")

// ErrNotDone is returned beside ErrNotController where it is known that the request was not carried out: another node may be asked.
var ErrNotDone = errors.New("the request was not carried out")

// ErrNoSpace is returned for a request that was not carried out, because the disk has no room for its records.
var ErrNoSpace = errors.New("no space to change metadata")

// Log is the metadata log as the loop needs it; the quorum implements it.
type Log interface {
	// Lead waits until this node leads the quorum and has applied everything that was committed before, and returns the term. Where another
	// node may be asked instead it does not wait for the first, but returns quorum.ErrNotLeader.
	Lead(ctx context.Context) (term uint64, err error)
	// Propose appends an entry if this node still leads in that term, and returns once it is committed and applied here.
	// An urgent entry may use the space that the log keeps back for the time when the disk is full; quorum.ErrFull says that
	// there is no room for it and that it is not appended.
	Propose(ctx context.Context, term uint64, entry []byte, urgent bool) error
}

// Images is where applied metadata can be read; metadata.Publisher implements it.
type Images interface{ Image() *metadata.Image }

// LoopOptions configures a Loop. All fields but Random are required.
type LoopOptions struct {
	Log      Log
	Images   Images
	Settings Settings
	Random   random.Source // default random.Real
}

// mailbox bounds how many requests wait; one more waits outside.
const mailbox = 256

// batchMax bounds the requests of one entry.
const batchMax = 256

// batchRecords is how many records an entry has at least before it is closed, so that an entry stays below a few megabytes.
const batchRecords = maxPartitionsPerRequest

// Loop runs the controller. One goroutine, in Run, decides; Do may be called by any.
type Loop struct {
	options  LoopOptions
	requests chan *pending
	held     *pending // taken from requests and not of the kind that the batch is of; Run's own
	stopped  chan struct{}
}

type pending struct {
	request  Request
	response Response
	err      error
	done     chan struct{}
}

// NewLoop returns a loop; nothing happens before Run.
func NewLoop(options LoopOptions) *Loop {
	if options.Random == nil {
		options.Random = random.Real
	}
	return &Loop{options: options, requests: make(chan *pending, mailbox), stopped: make(chan struct{})}
}

// Do carries out one request and returns its response, whose metadata is then applied on this node. An error means that there
// is no response: with ErrNoSpace the request was not carried out, with ErrNotController or the context's error that is not known.
func (l *Loop) Do(ctx context.Context, request Request) (Response, error) {
	p := &pending{request: request, done: make(chan struct{})}
	select {
	case l.requests <- p:
	case <-l.stopped:
		return nil, fmt.Errorf("%w: it is stopping", ErrNotController)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-p.done:
		return p.response, p.err
	case <-l.stopped:
		select {
		case <-p.done: // answered just before the end
			return p.response, p.err
		default:
			return nil, fmt.Errorf("%w: it is stopping", ErrNotController)
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Run decides requests until the context ends or the log fails, and returns why.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.stopped)
	for {
		first := l.held
		l.held = nil
		if first == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case first = <-l.requests:
			}
		}
		if err := l.batch(ctx, first); err != nil {
			return err
		}
	}
}

// batch decides the request and those that wait behind it, and answers them. Urgent and ordinary requests do not share an entry,
// so that none fails because of the other.
func (l *Loop) batch(ctx context.Context, first *pending) error {
	term, err := l.options.Log.Lead(ctx)
	if err != nil {
		first.answer(nil, fmt.Errorf("%w: %w: %w", ErrNotController, ErrNotDone, err))
		return ctx.Err()
	}
	img := l.options.Images.Image()
	var batch []*pending
	var records []metadata.Record
	for p := first; p != nil; p = l.more(first, len(batch), len(records)) {
		var more []metadata.Record
		more, p.response = Step(img, l.options.Settings, p.request, l.options.Random)
		if len(more) > 0 {
			if img, _, err = metadata.Apply(img, img.Index()+1, more); err != nil {
				return fmt.Errorf("decide %T: %w", p.request, err)
			}
		}
		records = append(records, more...)
		batch = append(batch, p)
	}
	if len(records) > 0 {
		err = l.options.Log.Propose(ctx, term, metadata.Encode(records), first.request.urgent())
	}
	if errors.Is(err, quorum.ErrFull) && len(batch) > 1 && first.request.urgent() {
		l.singly(ctx, term, batch)
		return ctx.Err()
	}
	for _, p := range batch {
		p.proposed(err)
	}
	return ctx.Err()
}

// singly decides urgent requests for which there is no room together: what is left may do for some of them.
func (l *Loop) singly(ctx context.Context, term uint64, batch []*pending) {
	for _, p := range batch {
		var records []metadata.Record
		var err error
		records, p.response = Step(l.options.Images.Image(), l.options.Settings, p.request, l.options.Random)
		if len(records) > 0 {
			err = l.options.Log.Propose(ctx, term, metadata.Encode(records), true)
		}
		p.proposed(err)
	}
}

// more returns the next waiting request of the first one's kind, nil when none waits or the entry is full.
func (l *Loop) more(first *pending, requests, records int) *pending {
	if requests >= batchMax || records >= batchRecords {
		return nil
	}
	select {
	case p := <-l.requests:
		if p.request.urgent() != first.request.urgent() {
			l.held = p
			return nil
		}
		return p
	default:
		return nil
	}
}

// proposed answers with the response, or with what became of the entry instead.
func (p *pending) proposed(err error) {
	switch {
	case err == nil:
		p.answer(p.response, nil)
	case errors.Is(err, quorum.ErrFull):
		p.answer(nil, fmt.Errorf("%w: %w", ErrNoSpace, err))
	case errors.Is(err, quorum.ErrNotLeader):
		p.answer(nil, fmt.Errorf("%w: %w: %w", ErrNotController, ErrNotDone, err))
	default:
		p.answer(nil, fmt.Errorf("%w: %w", ErrNotController, err))
	}
}

func (p *pending) answer(response Response, err error) {
	p.response, p.err = response, err
	close(p.done)
}
