package diff

import (
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Target is a broker that scripts are played to.
type Target struct {
	Addr       string       // HOST:PORT
	Controller string       // HOST:PORT of the listener for controllers
	Restart    func() error // stops the broker cleanly, starts it again on the same data and sets Addr; the restart sequences need it
	Settle     func()       // returns when changes of metadata that were answered have taken effect everywhere; nil: they have when answered
	Tag        string       // distinguishes the topics of several runs against one broker
}

// Script is one run of a case: its connections, its topics, what it recorded.
type Script struct {
	target     *Target
	prefix     string // opens the names of all topics of this script
	conns      map[int]*Conn
	controller func(key int16) bool // Case.Controller
	norm       *normaliser
	answers    []Answer
	note       string    // what the next request is about
	waiting    time.Time // since when the script waits for what it waits for
	kept       Topic     // one that groups have offsets of so that they stay
}

// maxWaiting bounds how long a script waits for something to appear.
const maxWaiting = time.Minute

// Play runs a case against a broker and returns the normalised answers.
func Play(target *Target, c Case) (answers []Answer) {
	sum := crc32.Checksum([]byte(target.Tag+" "+c.ID()), castagnoli)
	s := &Script{target: target, prefix: fmt.Sprintf("d%08x-", sum), conns: map[int]*Conn{}, controller: c.Controller}
	s.norm = newNormaliser(target, s.prefix)
	defer func() {
		for _, conn := range s.conns {
			conn.Close()
		}
		// A script reads what it needs from the answers. A broker that does not give it ends the script, not the suite.
		if r := recover(); r != nil {
			answers = append(s.answers, Answer{Request: "script", Outcome: fmt.Sprintf("stopped: %v", r)})
		}
	}()
	c.Run(s)
	return s.answers
}

// Warm waits until a broker that was just started hands out producer ids, which Kafka's needs a moment for.
func Warm(target *Target) error {
	answers := Play(target, Case{Suite: "warm", Run: func(s *Script) {
		for {
			resp, ok := s.quiet(initProducerID(4)).(*kmsg.InitProducerIDResponse)
			if !ok || resp.ErrorCode == 0 {
				return
			}
			s.again("a producer id")
		}
	}})
	for _, a := range answers {
		return fmt.Errorf("warm broker up: %s", a.Outcome)
	}
	return nil
}

func (s *Script) record(a Answer) { s.answers = append(s.answers, a) }

// Note says in a word or two what the next request is about; it is kept with the answer.
func (s *Script) Note(about string) { s.note = about }

// On returns one of the script's connections.
func (s *Script) On(number int) *Conn {
	c, ok := s.conns[number]
	if !ok {
		c = &Conn{script: s, number: number}
		s.conns[number] = c
	}
	return c
}

// aside is the connection to the broker of a case whose own requests go to the listener for controllers.
const aside = -2

// Do sends a request on the first connection, or aside.
func (s *Script) Do(req kmsg.Request) kmsg.Response {
	if s.controller != nil && !s.controller(req.Key()) {
		return s.On(aside).Do(req)
	}
	return s.On(0).Do(req)
}

// Name is the full name of a topic of this script.
func (s *Script) Name(topic string) string { return s.prefix + topic }

// Topic is a topic that a script made.
type Topic struct {
	Name string
	ID   [16]byte
}

// Topic makes a topic and waits until all its partitions answer. Configurations are "name=value".
func (s *Script) Topic(name string, partitions int32, configs ...string) Topic {
	t := newTopic(s.Name(name), partitions, 1, configs...)
	req := createTopics(7, t)
	resp, ok := s.quiet(req).(*kmsg.CreateTopicsResponse)
	if !ok || len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
		panic(fmt.Sprintf("create topic %s: %+v", name, resp))
	}
	topic := Topic{Name: t.Topic, ID: resp.Topics[0].TopicID}
	s.norm.topicIs(topic.ID, name)
	s.await(topic.Name, partitions)
	return topic
}

// await waits until the partitions of a topic have leaders that answer.
func (s *Script) await(topic string, partitions int32) {
	for p := int32(0); p < partitions; {
		req := listOffsets(7, topic, p, -1)
		resp, ok := s.quiet(req).(*kmsg.ListOffsetsResponse)
		if !ok {
			panic("no answer while waiting for topic " + topic)
		}
		if resp.Topics[0].Partitions[0].ErrorCode == 0 {
			p++
			s.waiting = time.Time{}
			continue
		}
		s.again("partition of " + topic)
	}
}

// again is called before another poll for something that is not there yet and gives up in the end. Each poll is a round trip, which is
// pause enough.
func (s *Script) again(what string) {
	if s.waiting.IsZero() {
		s.waiting = time.Now()
	}
	if time.Since(s.waiting) > maxWaiting {
		panic("gave up waiting for " + what)
	}
}

// Settle waits until changes of metadata that were answered have taken effect.
func (s *Script) Settle() {
	if s.target.Settle != nil {
		s.target.Settle()
	}
}

// Restarts says that the script will restart the broker, after which leader epochs are compared by their order of appearance.
func (s *Script) Restarts() { s.norm.epochs = map[int32]string{} }

// Restart stops the broker and starts it again. Every connection of the script ends with it.
func (s *Script) Restart() {
	for _, c := range s.conns {
		c.Close()
	}
	if s.target.Restart == nil {
		panic("this target cannot be restarted")
	}
	if err := s.target.Restart(); err != nil {
		panic(fmt.Sprintf("restart broker: %v", err))
	}
	s.norm.broker(s.target)
	if err := Warm(s.target); err != nil {
		panic(err)
	}
}

// quiet sends a request whose answer is not recorded, on a connection that only setting up uses.
func (s *Script) quiet(req kmsg.Request) kmsg.Response {
	c := s.On(-1)
	p := c.pending(req.Key(), req.GetVersion())
	p.err = c.send(frame(header1(p.key, p.version, p.correlation, ptr(clientID), req.IsFlexible()), req.AppendTo(nil)))
	payload, err := c.read(p.err)
	if err != nil {
		panic(fmt.Sprintf("%s: %s", p.answer.Request, c.failed(err)))
	}
	resp := kmsg.ResponseForKey(p.key)
	resp.SetVersion(p.version)
	body := payload[4:]
	if resp.IsFlexible() && p.key != keyApiVersions {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		panic(fmt.Sprintf("%s: %v", p.answer.Request, err))
	}
	return resp
}

// describe names a request in the recording and renders it whole for a reader of a failed test.
func (s *Script) describe(req kmsg.Request, conn int) (line, detail string) {
	detail = leavesText(s.norm.request(req))
	return s.line(fmt.Sprintf("%s v%d", kmsg.NameForKey(req.Key()), req.GetVersion()), conn, []byte(detail)), detail
}

func (s *Script) describeRaw(what string, conn int, raw []byte) (line, detail string) {
	plain := strings.ReplaceAll(string(raw), s.prefix, strings.Repeat("~", len(s.prefix)))
	return s.line(what, conn, []byte(plain)), fmt.Sprintf("%x\n", plain)
}

func (s *Script) line(what string, conn int, content []byte) string {
	line := fmt.Sprintf("%s %08x", what, crc32.Checksum(content, castagnoli))
	if conn != 0 {
		line += fmt.Sprintf(" connection %d", conn)
	}
	if s.note != "" {
		line += ": " + s.note
	}
	s.note = ""
	return line
}
