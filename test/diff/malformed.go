package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// malformed adds the cases that every version of every API has: a body that ends early, one that goes on behind its end, and, where the
// version is flexible, tagged fields nobody knows. The sample must be harmless and the same in every run.
func (s *suite) malformed(sample func(*Script) kmsg.Request) {
	s.add(Wrong, "malformed", func(x *Script) {
		req := sample(x)
		body := req.AppendTo(nil)
		key, version, flexible := req.Key(), req.GetVersion(), req.IsFlexible()
		if n := len(body); n > 0 {
			x.On(0).Body(key, version, flexible, body[:n-1])
			x.On(0).Body(key, version, flexible, body[:n/2])
			x.On(0).Body(key, version, flexible, nil)
		}
		x.On(0).Body(key, version, flexible, append(body[:len(body):len(body)], 0, 1, 2))
		x.On(0).Body(key, version, flexible, hostile)
	})
	probe := kmsg.RequestForKey(s.api.Key)
	probe.SetVersion(s.version)
	if !probe.IsFlexible() {
		return
	}
	s.add(Boundary, "unknown-tags", func(x *Script) {
		req := sample(x)
		body := req.AppendTo(nil)
		// The tag section of the whole request is its last byte, a zero for "none"; it becomes two unknown tags.
		tagged := append(body[:len(body)-1:len(body)-1], 2, 100, 2, 'h', 'i', 101, 0)
		x.On(0).Body(req.Key(), req.GetVersion(), true, tagged)
	})
}

// hostile is a body whose every length says "very many": no broker may believe it.
var hostile = []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}
