// Package coordinator runs state machines that are kept on the partitions of an internal topic, one machine a partition. It loads
// a machine from the log when this broker becomes the partition's leader, and drops it when the leadership ends. In between it gives
// the machine requests one by one, appends the records that it decides on, and answers once they are committed. It knows no groups
// and no transactions, and never speaks Kafka's protocol.
//
// A machine changes its state when it decides; the records follow in batches. Every answer waits until all that the
// machine had decided by then is committed, so nobody ever sees state that could be taken back. If an append fails the
// whole machine is dropped and loaded again from the log: nothing else can tell which of its changes never happened.
package coordinator

import "time"

// Machine is the state kept on one partition. Only the goroutine of its shard calls it. It is pure: what it does follows from
// its state, its input, the time it is given and the random source it was made with.
type Machine interface {
	// Replay takes over one record of the log, oldest first, before Loaded. Records may be missing that a later one with the
	// same key made needless. An error ends the load; unknown kinds of records are no error.
	Replay(r Record) error
	// Loaded is called once, after the last record. Time-outs begin here.
	Loaded(now time.Time, out *Out)
	// Step handles a call, which must be answered through out, in this step or in a later one.
	Step(now time.Time, call *Call, out *Out)
	// Tick does what is due at now.
	Tick(now time.Time, out *Out)
	// Due is when Tick has something to do next; the zero time means never. It must be cheap.
	Due() time.Time
}

// Record is one record of the log. A nil Value is a tombstone. The machine must not change or keep the slices that Replay hands it.
type Record struct {
	Key, Value []byte
	Timestamp  int64 // milliseconds since 1970
}

// Call is one request on its way through a machine.
type Call struct {
	Request any // by convention a pointer to a request type of the machine's package; never changed
	done    func(response any, err error)
	over    bool // answered, or on its way to be
}

// NewCall returns a call for tests of machines, which have no shard. done is called when Out's answers are delivered.
func NewCall(request any, done func(response any, err error)) *Call {
	return &Call{Request: request, done: done}
}

// Out collects what a machine wants done: records to be appended, and answers, which are given when these records and all before
// them are committed. The records of one step stay together whatever happens.
type Out struct {
	Records []Record
	Answers []Answer
}

// Answer is the response to a call.
type Answer struct {
	Call     *Call
	Response any
}

// Append adds a record; a nil value is a tombstone. The slices belong to the record from then on.
func (o *Out) Append(key, value []byte) {
	o.Records = append(o.Records, Record{Key: key, Value: value})
}

// Answer gives the response to a call. Each call is answered once; calls that only tell something (Coordinator.Tell) need none.
func (o *Out) Answer(c *Call, response any) {
	if c.over {
		return
	}
	c.over = true
	o.Answers = append(o.Answers, Answer{c, response})
}

// Deliver calls the functions of all answers, for tests of machines.
func (o *Out) Deliver() {
	for _, a := range o.Answers {
		if a.Call.done != nil {
			a.Call.done(a.Response, nil)
		}
	}
	o.Answers = nil
}
