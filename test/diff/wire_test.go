package diff

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// impostor is a broker that answers Metadata and nothing else, in ways a test chooses.
type impostor struct {
	cluster string
	id      byte                                 // distinguishes topic ids
	answer  func(resp *kmsg.MetadataResponse)    // changes the answer
	bytes   func(body []byte) (changed []byte)   // changes its bytes
	silent  bool                                 // closes instead of answering
	late    func(correlation int32) (sent int32) // changes the correlation id
}

// start serves until the test ends.
func (b impostor) start(t *testing.T) *Target {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.serve(conn)
		}
	}()
	return &Target{Addr: listener.Addr().String()}
}

// serve answers the requests of one connection.
func (b impostor) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	addr := conn.LocalAddr().(*net.TCPAddr)
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(in, request); err != nil || b.silent {
			return
		}
		correlation := int32(binary.BigEndian.Uint32(request[4:]))
		if b.late != nil {
			correlation = b.late(correlation)
		}
		var req kmsg.MetadataRequest
		req.Version = 12
		if err := req.ReadFrom(request[8+2+len(clientID)+1:]); err != nil {
			return
		}
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version, resp.ClusterID, resp.ControllerID = 12, &b.cluster, 1
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = 1, "127.0.0.1", int32(addr.Port)
		resp.Brokers = append(resp.Brokers, broker)
		for i := range req.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic = req.Topics[len(req.Topics)-1-i].Topic // the order means nothing
			topic.TopicID = [16]byte{b.id, byte(len(*topic.Topic))}
			resp.Topics = append(resp.Topics, topic)
		}
		if b.answer != nil {
			b.answer(resp)
		}
		body := resp.AppendTo(nil)
		if b.bytes != nil {
			body = b.bytes(body)
		}
		out := binary.BigEndian.AppendUint32(nil, uint32(5+len(body)))
		out = binary.BigEndian.AppendUint32(out, uint32(correlation))
		out = append(append(out, 0), body...)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// TestOverTheWire plays one case to brokers that differ only in what is normalised, and to brokers that differ in something else.
func TestOverTheWire(t *testing.T) {
	c := Case{Suite: "x", Name: "y", Run: func(x *Script) {
		x.Do(metadata(12, false, x.Name("a"), x.Name("long")))
		x.Do(metadata(12, false, x.Name("a")))
	}}
	honest := impostor{cluster: "AAAAAAAAAAAAAAAAAAAAAA", id: 1}
	want := Play(honest.start(t), c)

	same := impostor{cluster: "BBBBBBBBBBBBBBBBBBBBBB", id: 2}.start(t)
	same.Tag = "another run"
	if d := Compare(c.ID(), want, Play(same, c)); len(d) != 0 {
		t.Errorf("differs only in ids and addresses, but: %v", d)
	}

	first := func(f func(*kmsg.MetadataResponse)) impostor {
		b := honest
		b.answer = f
		return b
	}
	raw := func(f func([]byte) []byte) impostor {
		b := honest
		b.bytes = f
		return b
	}
	for name, planted := range map[string]struct {
		broker impostor
		path   string
	}{
		"error code":            {first(func(r *kmsg.MetadataResponse) { r.Topics[0].ErrorCode = 3 }), "ErrorCode"},
		"other port":            {first(func(r *kmsg.MetadataResponse) { r.Brokers[0].Port++ }), "Port"},
		"other host":            {first(func(r *kmsg.MetadataResponse) { r.Brokers[0].Host = "localhost" }), "Host"},
		"no topic id":           {first(func(r *kmsg.MetadataResponse) { r.Topics[0].TopicID = [16]byte{} }), "TopicID"},
		"same id for two":       {first(func(r *kmsg.MetadataResponse) { r.Topics[0].TopicID = r.Topics[len(r.Topics)-1].TopicID }), "TopicID"},
		"empty cluster id":      {first(func(r *kmsg.MetadataResponse) { r.ClusterID = ptr("") }), "ClusterID"},
		"topic missing":         {first(func(r *kmsg.MetadataResponse) { r.Topics = r.Topics[1:] }), "ErrorCode"},
		"topic twice":           {first(func(r *kmsg.MetadataResponse) { r.Topics = append(r.Topics, r.Topics[0]) }), "#2"},
		"throttled":             {first(func(r *kmsg.MetadataResponse) { r.ThrottleMillis = 5 }), "ThrottleMillis"},
		"unknown tag":           {first(func(r *kmsg.MetadataResponse) { r.UnknownTags.Set(77, []byte{1}) }), "Tag77"},
		"bytes behind the end":  {raw(func(b []byte) []byte { return append(b, 0) }), "encoding"},
		"answer cut":            {raw(func(b []byte) []byte { return b[:len(b)-3] }), "outcome"},
		"connection closed":     {impostor{silent: true}, "outcome"},
		"another correlation":   {impostor{cluster: honest.cluster, id: 1, late: func(c int32) int32 { return c + 1 }}, "outcome"},
		"cluster id too short":  {impostor{cluster: "short", id: 1}, "ClusterID"},
		"cluster id that moves": {first(func(r *kmsg.MetadataResponse) { r.ClusterID = ptr(strings.Repeat("C", 20+len(r.Topics))) }), "ClusterID"},
	} {
		d := Compare(c.ID(), want, Play(planted.broker.start(t), c))
		if len(d) == 0 {
			t.Errorf("%s: not found", name)
			continue
		}
		found := false
		for _, x := range d {
			found = found || strings.Contains(x.Path, planted.path)
		}
		if !found {
			t.Errorf("%s: found, but elsewhere: %v", name, d)
		}
	}
}
