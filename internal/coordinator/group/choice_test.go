package group

import (
	"fmt"
	"strings"
	"testing"
)

// groupOf is a group of members that support these protocols, each a list with commas.
func groupOf(lists ...string) *group {
	g := &group{id: "g", state: Stable, protocolType: consumerType}
	for i, list := range lists {
		m := &member{id: fmt.Sprint(i)}
		for name := range strings.SplitSeq(list, ",") {
			m.protocols = append(m.protocols, Protocol{Name: name})
		}
		g.add(m)
	}
	return g
}

// TestVoteTies takes what Java's HashMap says: each name has one vote, and Kafka's choice is the first in the table.
func TestVoteTies(t *testing.T) {
	for list, want := range map[string]string{
		"range,roundrobin": "range", "roundrobin,range": "range", "rr,range": "rr", "sticky,cooperative-sticky": "sticky",
		"cooperative-sticky,sticky": "sticky", "range,cooperative-sticky": "range", "sticky,range,roundrobin": "sticky",
		"stream,consumer": "stream", "v1,v0": "v0", "compatible,sessioned,default": "compatible", "Aa,BB": "Aa", "BB,Aa": "BB",
		"žluťoučký,kůň": "kůň", "😀,x": "😀", "a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4": "b1",
	} {
		names := strings.Split(list, ",")
		var members []string // each prefers another one
		for i := range names {
			members = append(members, strings.Join(append(append([]string{}, names[i:]...), names[:i]...), ","))
		}
		if got := groupOf(members...).vote(); got != want {
			t.Errorf("%s: %q is chosen, Kafka chooses %q", list, got, want)
		}
	}
}

func TestVote(t *testing.T) {
	for _, c := range []struct {
		want    string
		members []string
	}{
		{"a", []string{"a"}},
		{"a", []string{"a,b"}},
		{"b", []string{"a,b", "b,a", "b,a"}},
		{"b", []string{"a,b,c", "b,c", "c,b"}},
		{"c", []string{"a,c,b", "d,c", "c"}},
		{"a", []string{"a,a", "a"}},
		{"", nil},
	} {
		if got := groupOf(c.members...).vote(); got != c.want {
			t.Errorf("%v: %q is chosen, want %q", c.members, got, c.want)
		}
	}
}

// TestCommonProtocols compares what is kept with what is counted anew, while members come, change and go.
func TestCommonProtocols(t *testing.T) {
	m := newTestMachine(Settings{})
	g := groupOf("a,b,c", "c,b,a")
	check := func(want string) {
		t.Helper()
		kept := strings.Join(g.commonProtocols(), ",")
		g.commonValid = false
		if anew := strings.Join(g.commonProtocols(), ","); kept != anew || kept != want {
			t.Errorf("kept %q, counted %q, want %q", kept, anew, want)
		}
	}
	check("a,b,c")
	g.add(&member{id: "x", protocols: []Protocol{{Name: "c"}, {Name: "d"}, {Name: "a"}}})
	check("a,c")
	g.add(&member{id: "y", protocols: []Protocol{{Name: "e"}}})
	check("")
	m.removeOne(g, g.member("y"))
	check("a,c")
	m.removeOne(g, g.member("x"))
	check("a,b,c")
	var many []Protocol
	for i := range 1000 {
		many = append(many, Protocol{Name: fmt.Sprint(i)})
	}
	g.add(&member{id: "z", protocols: append(many, Protocol{Name: "b"})})
	check("b")
}
