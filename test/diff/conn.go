package diff

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience is how long an answer may take before the script says that there was none.
const patience = 10 * time.Second

// maxAnswer bounds what one answer may allocate.
const maxAnswer = 64 << 20

// clientID is the client id that requests carry; beyond the first connection its number is part of it, so that the members of a group
// can be told apart by the ids a broker makes of it.
const clientID = "diff"

func (c *Conn) client() *string {
	if c.number <= 0 {
		return ptr(clientID)
	}
	return ptr(fmt.Sprintf("%s-%d", clientID, c.number))
}

// Conn is one of a script's connections. It is dialled on first use and again after the broker has closed it.
type Conn struct {
	script      *Script
	number      int
	nc          net.Conn
	br          *bufio.Reader
	correlation int32
	patience    time.Duration // for the answer being read
}

// Pending is a request whose answer has not been read yet.
type Pending struct {
	conn        *Conn
	key         int16
	version     int16
	correlation int32
	answer      Answer
	err         error // sending failed
	sent        time.Time
	maxWait     time.Duration // how long the broker may hold the answer back
	patience    time.Duration // how long the script waits for it; 0: patience
}

// noticeable is the least time to hold an answer back that scripts tell from none.
const noticeable = time.Second

// Do sends a request, records the answer and returns it; nil where there was none that kmsg can read.
func (c *Conn) Do(req kmsg.Request) kmsg.Response { return c.Start(req).Answer() }

// Start sends a request; the answer is recorded when the caller asks for it.
func (c *Conn) Start(req kmsg.Request) *Pending {
	p := c.pending(req.Key(), req.GetVersion())
	p.answer.Request, p.answer.detail = c.script.describe(req, c.number)
	if f, ok := req.(*kmsg.FetchRequest); ok {
		p.maxWait = time.Duration(f.MaxWaitMillis) * time.Millisecond
	}
	body := req.AppendTo(nil)
	p.err = c.send(frame(header1(p.key, p.version, p.correlation, c.client(), req.IsFlexible()), body))
	return p
}

// Body sends a body made by hand under a proper header of the given API and version.
func (c *Conn) Body(key, version int16, flexible bool, body []byte) kmsg.Response {
	p := c.pending(key, version)
	p.err = c.send(frame(header1(key, version, p.correlation, c.client(), flexible), body))
	p.answer.Request, p.answer.detail = c.script.describeRaw(p.answer.Request, c.number, body)
	return p.Answer()
}

// Frame sends bytes made by hand, size and header included, which must carry correlation id 0 if an answer to them is expected in the
// format of the given API and version.
func (c *Conn) Frame(key, version int16, raw []byte) kmsg.Response {
	p := c.pending(key, version)
	p.correlation = 0
	p.err = c.send(raw)
	p.answer.Request, p.answer.detail = c.script.describeRaw("frame", c.number, raw)
	return p.Answer()
}

// Silent sends a request that must not be answered and finds out whether it was, by a second request on the same connection.
func (c *Conn) Silent(req kmsg.Request) {
	p := c.Start(req)
	probe := kmsg.NewPtrApiVersionsRequest()
	q := c.pending(keyApiVersions, 0)
	if p.err == nil {
		p.err = c.send(frame(header1(keyApiVersions, 0, q.correlation, ptr(clientID), false), probe.AppendTo(nil)))
	}
	payload, err := c.read(p.err)
	switch {
	case err != nil:
		p.answer.Outcome = c.failed(err)
	case len(payload) >= 4 && int32(binary.BigEndian.Uint32(payload)) == q.correlation:
		p.answer.Outcome = "no answer"
	default:
		p.decode(payload)
		if _, err := c.read(nil); err != nil {
			p.answer.Outcome = "answered, then " + c.failed(err)
		}
	}
	c.script.record(p.answer)
}

func (c *Conn) pending(key, version int16) *Pending {
	c.correlation++
	p := &Pending{conn: c, key: key, version: version, correlation: c.correlation, sent: time.Now()}
	p.answer.Request = fmt.Sprintf("%s v%d", kmsg.NameForKey(key), version)
	return p
}

// Answer waits for the answer, records it and returns it.
func (p *Pending) Answer() kmsg.Response {
	p.conn.patience = cmp.Or(p.patience, patience)
	payload, err := p.conn.read(p.err)
	if err != nil {
		p.answer.Outcome = p.conn.failed(err)
		p.conn.script.record(p.answer)
		return nil
	}
	resp := p.decode(payload)
	if p.maxWait >= noticeable && time.Since(p.sent) > p.maxWait/2 {
		p.answer.Leaves = append(p.answer.Leaves, Leaf{"", "waited", "true"})
	}
	p.conn.script.record(p.answer)
	return resp
}

// decode fills the recorded answer from a response.
func (p *Pending) decode(payload []byte) kmsg.Response {
	var resp kmsg.Response
	resp, p.answer.Outcome, p.answer.Leaves = p.conn.script.decode(p.key, p.version, p.correlation, payload)
	return resp
}

// addr is where the connection goes.
func (c *Conn) addr() string {
	if c.script.controller != nil && c.number >= 0 {
		return c.script.target.Controller
	}
	return c.script.target.Addr
}

func (c *Conn) send(b []byte) error {
	if c.nc == nil {
		nc, err := net.DialTimeout("tcp", c.addr(), patience)
		if err != nil {
			return fmt.Errorf("dial broker: %w", err)
		}
		c.nc, c.br = nc, bufio.NewReader(nc)
	}
	_ = c.nc.SetDeadline(time.Now().Add(patience)) // a connection that cannot take a deadline fails at the write
	_, err := c.nc.Write(b)
	return err
}

// read returns the next frame; sendErr is what went wrong before.
func (c *Conn) read(sendErr error) ([]byte, error) {
	if c.nc == nil {
		return nil, sendErr
	}
	// A broker that refuses a request may close before it was written whole: that is "closed", whichever call noticed.
	_ = c.nc.SetReadDeadline(time.Now().Add(cmp.Or(c.patience, patience)))
	var size [4]byte
	if _, err := io.ReadFull(c.br, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxAnswer {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(c.br, payload); err != nil {
		return nil, err
	}
	return payload, nil
}

// failed turns an error of the connection into the outcome that is recorded, and gives the connection up.
func (c *Conn) failed(err error) string {
	c.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer within " + cmp.Or(c.patience, patience).String()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return "connection refused"
	}
	return "connection closed"
}

// Close ends the connection; the next request dials a new one.
func (c *Conn) Close() {
	if c.nc != nil {
		_ = c.nc.Close() // nothing is lost with it: every answer expected on it was read or given up
	}
	c.nc, c.br = nil, nil
}

// header1 encodes a request header, with the tag section where the API and version ask for it.
func header1(key, version int16, correlation int32, client *string, flexible bool) []byte {
	h := binary.BigEndian.AppendUint16(nil, uint16(key))
	h = binary.BigEndian.AppendUint16(h, uint16(version))
	h = binary.BigEndian.AppendUint32(h, uint32(correlation))
	if client == nil {
		h = binary.BigEndian.AppendUint16(h, 0xffff)
	} else {
		h = binary.BigEndian.AppendUint16(h, uint16(len(*client)))
		h = append(h, *client...)
	}
	if flexible {
		h = append(h, 0)
	}
	return h
}

// frame puts the size before a header and a body.
func frame(header, body []byte) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(len(header)+len(body)))
	return append(append(f, header...), body...)
}
