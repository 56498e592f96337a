package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sequences of quotas that act. Each connection but the first has a client id of its own, so that a quota of it concerns no other. How long
// the first request over a quota is throttled for follows from its bytes: it is noted with the request behind it, which waits for so long.

// limits sets the same quota of several clients, which it names by their connections.
func (s *Script) limits(quota string, from, n int) {
	req := alterQuotas(1)
	for i := range n {
		req.Entries = append(req.Entries, alteration(fmt.Sprintf("client-id=%s-%d", clientID, from+i), quota))
	}
	s.quiet(req)
	s.Settle()
}

// waits sends a request on a connection that was just throttled, with a note for how long.
func (s *Script) waits(connection int, resp kmsg.Response) {
	if t, ok := resp.(kmsg.ThrottleResponse); ok {
		ms, _ := t.Throttle()
		s.Note(fmt.Sprintf("after %d ms", ms))
	}
	s.On(connection).Do(metadata(9, false))
}

func actingQuotas() []Case {
	large := func(t Topic) part { return on(t, 0, batch{records: []rec{text("k", strings.Repeat("x", 10_400))}}) }
	return []Case{
		quotaSequence("bytes", func(x *Script) {
			a, small := x.Topic("a", 1), x.Topic("small", 1)
			x.limits("producer_byte_rate=1000", 1, 4)
			for i, acks := range []int16{1, -1} {
				x.waits(1+i, x.On(1+i).Do(produce(9, acks, large(a))))
			}
			x.Note("below the quota")
			x.On(3).Do(produce(9, -1, on(small, 0, batch{records: []rec{text("k", "small")}})))
			x.Note("not answered, throttled all the same")
			x.On(4).Silent(produce(9, 0, large(a)))
			x.Note("all before it is committed with it")
			x.On(3).Do(produce(9, -1, on(a, 0, batch{records: []rec{text("k", "small")}})))
			x.limits("consumer_byte_rate=1000", 5, 4)
			x.Note("less than the quota gives at once")
			x.On(5).Do(fetch(12, from(small, 0, 0)))
			x.Note("one batch above it, outside of a session")
			x.waits(6, x.On(6).Do(fetch(12, from(a, 0, 0))))
			open := fetch(12, from(a, 0, 0))
			open.SessionEpoch = 0
			x.Note("which would have opened a session")
			x.waits(7, x.On(7).Do(open))
			empty := fetch(12, from(a, 0, 4))
			empty.SessionEpoch = 0
			resp, ok := x.On(8).Do(empty).(*kmsg.FetchResponse)
			if !ok {
				panic("no session")
			}
			next := fetch(12, from(a, 0, 0))
			next.SessionID, next.SessionEpoch = resp.SessionID, 1
			x.Note("in a session")
			x.On(8).Do(next)
			x.forgets()
			x.Note("the session goes on")
			next = fetch(12)
			next.SessionID, next.SessionEpoch = resp.SessionID, 2
			x.On(8).Do(next)
		}),
		quotaSequence("time", func(x *Script) {
			a := x.Topic("a", 1)
			requests := []kmsg.Request{
				metadata(9, false), metadata(0, false, a.Name), produce(9, -1, on(a, 0, batch{records: []rec{text("k", "v")}})), fetch(12, from(a, 0, 0)), fetch(4, from(a, 0, 0)),
				listOffsets(7, a.Name, 0, -1), listOffsets(1, a.Name, 0, -1), initProducerID(4), initProducerID(0), describeQuotas(1, "user=nobody"), describeQuotas(0, "user=nobody"),
				alterQuotas(1), createTopics(7), createTopics(2), deleteTopics(6), deleteTopics(1), createPartitions(3), createPartitions(0),
			}
			x.limits("request_percentage=0.000001", 1, len(requests)+1)
			for i, req := range requests {
				if resp := x.On(1 + i).Do(req); i == 0 {
					x.waits(1, resp)
				}
			}
			x.Note("acks=0 counts for nothing")
			x.On(len(requests) + 1).Silent(produce(9, 0, on(a, 0, batch{records: []rec{text("k", "v")}})))
			x.forgets()
		}),
		quotaSequence("partitions", func(x *Script) {
			x.quiet(alterQuotas(1, alteration("user=ANONYMOUS", "controller_mutation_rate=1")))
			x.Settle()
			a, b := x.Name("a"), x.Name("b")
			x.Note("checked only, 4 of 11")
			dry := createTopics(7, newTopic(a, 4, 1))
			dry.ValidateOnly = true
			x.On(1).Do(dry)
			x.Note("refused for what it is, which counts for nothing")
			x.On(2).Do(createTopics(7, newTopic(x.Name("!"), 100, 1)))
			x.Note("as many as it likes while any are left")
			x.On(3).Do(createTopics(7, newTopic(a, 40, 1)))
			for i, v := range []int16{7, 6} {
				x.Note("and none then")
				x.On(4 + i).Do(createTopics(v, newTopic(b, 1, 1)))
			}
			x.On(6).Do(createTopics(5, newTopic(b, 1, 1)))
			x.On(7).Do(createPartitions(3, grow(b, 2)))
			x.On(8).Do(createPartitions(2, grow(b, 2)))
			x.On(9).Do(createPartitions(3, grow(x.Name("missing"), 2)))
			x.On(10).Do(deleteTopics(6, b))
			x.On(11).Do(deleteTopics(5, b))
			x.On(12).Do(deleteTopics(5, x.Name("missing")))
			x.On(13).Do(deleteTopics(4, b))
			x.Settle()
			x.Note("nothing is created on the way")
			x.On(14).Do(metadata(9, true, x.Name("auto")))
			x.Settle()
			x.On(15).Do(metadata(9, false, x.Name("auto")))
			x.forgets()
		}),
	}
}
