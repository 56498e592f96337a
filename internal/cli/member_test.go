package cli

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
)

func newMember(follow bool) (*member, *bytes.Buffer) {
	var notes bytes.Buffer
	r := &reader{to: &client.Options{Bootstrap: "h:1"}, topics: []string{"t"}, follow: follow, left: -1, notes: &notes, spans: map[place]span{}}
	return &member{reader: r, group: "g", owned: map[place]bool{}, progress: time.Now(),
		found: map[place]span{{"t", 0}: {2, 9}, {"t", 1}: {4, 4}, {"t", 2}: {0, 5}}}, &notes
}

// offsets are what the client has fetched of the group; -2 is the start, for nothing committed.
func offsets(committed map[int32]int64) map[string]map[int32]kgo.Offset {
	of := map[int32]kgo.Offset{}
	for p, at := range committed {
		if of[p] = kgo.NewOffset().At(at); at < 0 {
			of[p] = kgo.NewOffset().AtStart()
		}
	}
	return map[string]map[int32]kgo.Offset{"t": of}
}

func TestMemberStartsWhereTheGroupHasStopped(t *testing.T) {
	for _, follow := range []bool{false, true} {
		m, _ := newMember(follow)
		m.report(event{settled: true, awaited: 4})
		got, err := m.start(t.Context(), offsets(map[int32]int64{0: 7, 1: -2, 2: -2, 8: -2}))
		if err != nil {
			t.Fatal(err)
		}
		m.heed()
		for p, want := range map[int32]int64{0: 7, 1: 4, 2: 0, 8: -2} { // partition 8 was added after the start
			if at := got["t"][p].EpochOffset().Offset; at != want {
				t.Errorf("partition %d starts at %d, want %d", p, at, want)
			}
		}
		want := map[place]span{{"t", 0}: {7, 9}, {"t", 2}: {0, 5}}
		if follow {
			want = map[place]span{{"t", 0}: {7, math.MaxInt64}, {"t", 1}: {4, math.MaxInt64}, {"t", 2}: {0, math.MaxInt64}, {"t", 8}: {0, math.MaxInt64}}
		}
		if fmt.Sprint(m.spans) != fmt.Sprint(want) || len(m.owned) != 4 || m.awaited != 0 {
			t.Errorf("follow %v: to read %v, want %v; owned %v, awaited %d", follow, m.spans, want, m.owned, m.awaited)
		}
	}
}

func TestMemberEndsWhenItHasReadWhatItWasGiven(t *testing.T) {
	m, notes := newMember(false)
	ended := func(want bool, when string) {
		t.Helper()
		m.heed()
		if got, err := m.atEnd(t.Context(), nil); err != nil || got != want {
			t.Errorf("%s: ended %v, %v", when, got, err)
		}
	}
	ended(false, "before it has joined")
	m.report(event{settled: true, awaited: 2})
	ended(false, "before its offsets are known")
	m.report(event{added: map[place]span{{"t", 0}: {8, 9}, {"t", 1}: {4, 4}}})
	ended(false, "with a record to read")
	delete(m.spans, place{"t", 0})
	ended(true, "with all read")
	m.report(event{unsettled: true, removed: []place{{"t", 0}}})
	ended(false, "while the group rebalances")
	m.report(event{settled: true})
	ended(true, "with one partition left, which is read")
	m.report(event{unsettled: true, removed: []place{{"t", 1}}})
	m.report(event{settled: true})
	ended(false, "without a partition, at first")
	m.progress = time.Now().Add(-time.Hour)
	ended(true, "without a partition for long")
	if want := "moldau: group g gave this member no partition within 15s: its other members have them all\n"; notes.String() != want {
		t.Errorf("notes %q", notes.String())
	}

	m, _ = newMember(true)
	m.report(event{settled: true, awaited: 1})
	m.report(event{added: map[place]span{{"t", 0}: {9, 9}}})
	ended(false, "when it follows")
}

func TestMemberTellsWhatPassesFromWhatEnds(t *testing.T) {
	session := func(err error) kgo.FetchError { return kgo.FetchError{Err: &kgo.ErrGroupSession{Err: err}} }
	for _, c := range []struct {
		err         kgo.FetchError
		fatal, note string
	}{
		{session(kerr.UnknownMemberID), "", ""},
		{session(kerr.IllegalGeneration), "", ""},
		{session(kerr.NotCoordinator), "", ""},
		{session(errors.New("dial: connection refused")), "", "moldau: join group g on h:1: dial: connection refused\n"},
		{session(kerr.FencedInstanceID), "join group g on h:1: FENCED_INSTANCE_ID; another member with the same --instance-id", ""},
		{session(kerr.InconsistentGroupProtocol), "join group g on h:1: INCONSISTENT_GROUP_PROTOCOL; its members assign", ""},
		{session(kerr.InvalidSessionTimeout), "join group g on h:1: INVALID_SESSION_TIMEOUT; the broker allows", ""},
		{session(client.ErrNotServed), "join group g on h:1: the broker does not serve this request; this broker does not know", ""},
		{kgo.FetchError{Topic: "t", Partition: 3, Err: kerr.TopicAuthorizationFailed}, "consume topic t partition 3 on h:1: TOPIC_AUTHORIZATION_FAILED", ""},
		{kgo.FetchError{Topic: "t", Partition: 3, Err: kerr.NotLeaderForPartition}, "", ""},
		{kgo.FetchError{Topic: "t", Err: &kgo.ErrDataLoss{Topic: "t", Partition: 3, ConsumedTo: 9, ResetTo: 7}}, "", "moldau: " + (&kgo.ErrDataLoss{Topic: "t", Partition: 3, ConsumedTo: 9, ResetTo: 7}).Error() + "\n"},
	} {
		m, notes := newMember(true)
		for range 2 { // a note is not repeated
			err := m.endure(c.err)
			if (err == nil) != (c.fatal == "") || err != nil && !strings.HasPrefix(err.Error(), c.fatal) {
				t.Errorf("%v: %v", c.err.Err, err)
			}
		}
		if notes.String() != c.note {
			t.Errorf("%v: notes %q", c.err.Err, notes.String())
		}
	}
	m, _ := newMember(false)
	m.failing = time.Now().Add(-time.Minute)
	if err := m.endure(session(errors.New("dial: connection refused"))); err == nil {
		t.Error("a command that is to end waits for a broker for ever")
	}
}
