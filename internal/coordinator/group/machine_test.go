package group

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
)

// start is when every test of this package begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script runs the commands of a file of testdata against a machine and prints what comes out: answers, by the name of their call, and
// records. Random member ids are printed, and can be given, as the name before them and a number: c1#1.
type script struct {
	m       *Machine
	s       Settings
	now     time.Time
	log     []coordinator.Record
	ids     map[string]string // id by printed name
	printed map[string]string // printed name by id
	text    strings.Builder
}

func TestScripts(t *testing.T) {
	for _, path := range scripts(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := &script{ids: map[string]string{}, printed: map[string]string{}, now: start}
			s.s = Settings{MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute, InitialRebalanceDelay: 3 * time.Second,
				MaxSize: 1<<31 - 1, OffsetsRetention: 7 * 24 * time.Hour, RetentionCheck: 10 * time.Minute, MaxMetadataBytes: 4096}
			s.m = New(s.s, random.Seeded(1), nil)
			s.m.Loaded(s.now, &coordinator.Out{})
			runScript(t, path, func(c *command) string {
				s.text.Reset()
				s.run(t, c)
				if s.text.Len() == 0 {
					return "nothing\n"
				}
				return s.text.String()
			})
		})
	}
}

var randomID = regexp.MustCompile(`([a-zA-Z0-9_.]*)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// print writes a line with printed names in the place of member ids.
func (s *script) print(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.text.WriteString(randomID.ReplaceAllStringFunc(line, func(id string) string {
		if s.printed[id] == "" {
			base := randomID.FindStringSubmatch(id)[1]
			for n := 1; ; n++ {
				if name := fmt.Sprintf("%s#%d", base, n); s.ids[name] == "" {
					s.ids[name], s.printed[id] = id, name
					break
				}
			}
		}
		return s.printed[id]
	}) + "\n")
}

func (s *script) run(t *testing.T, c *command) {
	has := func(key string) bool { _, ok := c.arg(key); return ok }
	arg := func(key, otherwise string) string {
		values, ok := c.arg(key)
		if !ok {
			return otherwise
		}
		v := strings.Join(values, ",")
		if id := s.ids[v]; id != "" {
			return id
		}
		return v
	}
	maybe := func(key string) *string {
		if !has(key) {
			return nil
		}
		return new(arg(key, ""))
	}
	duration := func(key, otherwise string) time.Duration {
		v, err := time.ParseDuration(arg(key, otherwise))
		if err != nil {
			t.Fatalf("%v", err)
		}
		return v
	}
	number := func(key, otherwise string) (n int32) {
		if _, err := fmt.Sscan(arg(key, otherwise), &n); err != nil {
			t.Fatalf("%v", err)
		}
		return n
	}
	group, name := arg("group", "g"), arg("as", c.name)
	switch c.name {
	case "settings":
		s.s.InitialRebalanceDelay = duration("delay", "3s")
		s.s.MaxSize = int(number("max-size", "2147483647"))
		s.s.MaxRecordBytes = int(number("max-record", "0"))
		s.m.settings = s.s
	case "join":
		r := &JoinRequest{Group: group, Member: arg("member", ""), Instance: maybe("instance"), ClientID: arg("client", "c"), ClientHost: "/127.0.0.1",
			SessionTimeout: duration("session", "10s"), ProtocolType: arg("type", "consumer"), RequireMemberID: has("new"), SkipAssignment: has("skip"), Reason: "test"}
		r.RebalanceTimeout = duration("rebalance", "30s")
		for _, p := range strings.Split(arg("protocols", "range:a"), ",") {
			if n, md, ok := strings.Cut(p, ":"); ok {
				r.Protocols = append(r.Protocols, Protocol{Name: n, Metadata: subscriptionOf(strings.Split(md, "+")...)})
			}
		}
		s.step(name, r)
	case "sync":
		r := &SyncRequest{Group: group, Generation: number("gen", "1"), Member: arg("member", ""), Instance: maybe("instance"), ProtocolType: maybe("type"), Protocol: maybe("protocol")}
		for _, line := range strings.Fields(c.input) {
			id, bytes, _ := strings.Cut(line, "=")
			if known := s.ids[id]; known != "" {
				id = known
			}
			r.Assignments = append(r.Assignments, Assignment{Member: id, Bytes: []byte(bytes)})
		}
		s.step(name, r)
	case "heartbeat":
		s.step(name, &HeartbeatRequest{Group: group, Generation: number("gen", "1"), Member: arg("member", ""), Instance: maybe("instance")})
	case "leave":
		r := &LeaveRequest{Group: group}
		for _, line := range strings.Fields(c.input) {
			id, instance, static := strings.Cut(line, "/")
			if known := s.ids[id]; known != "" {
				id = known
			}
			l := LeaveMember{Member: id}
			if static {
				l.Instance = &instance
			}
			r.Members = append(r.Members, l)
		}
		s.step(name, r)
	case "describe":
		s.step(name, &DescribeRequest{Group: group, MissingErr: has("missing")})
	case "list":
		r := &ListRequest{}
		r.States, _ = c.arg("states")
		r.Types, _ = c.arg("types")
		s.step(name, r)
	case "delete":
		s.step(name, &DeleteRequest{Group: group})
	case "may-commit": // only the check, which is this file's business
		code := protocol.GroupIDNotFound
		if g := s.m.find(group); g != nil {
			code = g.validateCommit(arg("member", ""), maybe("instance"), number("gen", "1"))
			if code == protocol.None {
				s.m.now = s.now
				s.m.touch(g, arg("member", ""))
			}
		}
		s.print("%v", code)
	case "subscribes":
		s.print("%v", s.m.find(group).subscribes(arg("topic", "a")))
	case "wait": // time passes, and the machine is called when it wants to be
		end := s.now.Add(duration("for", "1s"))
		for due := s.m.Due(); !due.IsZero() && !due.After(end); due = s.m.Due() {
			if due.After(s.now) {
				s.now = due
			}
			out := &coordinator.Out{}
			s.m.Tick(s.now, out)
			if len(out.Records)+len(out.Answers) > 0 {
				s.print("at %v:", s.now.Sub(start))
			}
			s.show(out)
		}
		s.now = end
	case "reload":
		m := New(s.s, random.Seeded(2), nil)
		for _, r := range s.log {
			if err := m.Replay(r); err != nil {
				t.Fatalf("%v", err)
			}
		}
		out := &coordinator.Out{}
		m.Loaded(s.now, out)
		s.m = m
		s.show(out)
	case "generation": // as if there had been so many rebalances
		s.m.find(group).generation = number("is", "0")
	default:
		t.Fatalf("unknown command")
	}
}

func (s *script) step(name string, request any) {
	out := &coordinator.Out{}
	s.m.Step(s.now, coordinator.NewCall(request, func(response any, _ error) { s.print("%s: %s", name, show(response)) }), out)
	s.show(out)
}

func (s *script) show(out *coordinator.Out) {
	for _, r := range out.Records {
		s.print("record %s", showRecord(r))
	}
	s.log = append(s.log, out.Records...)
	out.Deliver()
}

// show prints an answer as a script wants it: nothing that is at its default.
func show(response any) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	text := func(name string, s *string) {
		if s != nil {
			add("%s=%s", name, *s)
		}
	}
	switch r := response.(type) {
	case *JoinResponse:
		add("%v gen=%d member=%s", r.Code, r.Generation, r.Member)
		text("type", r.ProtocolType)
		text("protocol", r.Protocol)
		if r.Leader != "" {
			add("leader=%s", r.Leader)
		}
		if r.SkipAssignment {
			add("skip")
		}
		for _, m := range r.Members {
			add("[%s", m.Member)
			text("instance", m.Instance)
			topics := map[string]struct{}{}
			if appendTopics(topics, m.Metadata) {
				add("reads=%s", strings.Join(sortedKeys(topics), "+"))
			}
			b.WriteString("]")
		}
	case *SyncResponse:
		add("%v", r.Code)
		text("type", r.ProtocolType)
		text("protocol", r.Protocol)
		if r.Code == protocol.None {
			add("assignment=%q", r.Assignment)
		}
	case *HeartbeatResponse:
		add("%v", r.Code)
	case *LeaveResponse:
		add("%v", r.Code)
		for _, m := range r.Members {
			add("[%s %v", m.Member, m.Code)
			text("instance", m.Instance)
			b.WriteString("]")
		}
	case *DescribeResponse:
		add("%v state=%s type=%s protocol=%s", r.Code, r.State, r.ProtocolType, r.Protocol)
		text("message", r.Message)
		for _, m := range r.Members {
			add("[%s %s %s metadata=%d assignment=%q", m.Member, m.ClientID, m.ClientHost, len(m.Metadata), m.Assignment)
			text("instance", m.Instance)
			b.WriteString("]")
		}
	case *ListResponse:
		for _, g := range r.Groups {
			add("[%s %s %s %s]", g.Group, g.ProtocolType, g.State, g.Type)
		}
	case *DeleteResponse:
		add("%v", r.Code)
		text("message", r.Message)
	default:
		add("%+v", response)
	}
	return strings.TrimSpace(b.String())
}

func showRecord(r coordinator.Record) string {
	key, err := stored.DecodeKey(r.Key)
	if err != nil || key.Kind != stored.KindGroup {
		return fmt.Sprintf("%x", r.Key)
	}
	if r.Value == nil {
		return fmt.Sprintf("%s: tombstone", key.Group)
	}
	g, err := stored.DecodeGroup(r.Value)
	if err != nil {
		return err.Error()
	}
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	b := fmt.Sprintf("%s: type=%s gen=%d protocol=%s leader=%s since=%v", key.Group, g.ProtocolType, g.Generation, text(g.Protocol), text(g.Leader),
		time.UnixMilli(g.StateSinceMs).Sub(start))
	for _, m := range g.Members {
		b += fmt.Sprintf(" [%s instance=%s %s %s rebalance=%d session=%d subscription=%d assignment=%q]", m.Member, text(m.Instance), m.ClientID, m.ClientHost,
			m.RebalanceTimeoutMs, m.SessionTimeoutMs, len(m.Subscription), m.Assignment)
	}
	return b
}

func sortedKeys(set map[string]struct{}) (keys []string) {
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// subscriptionOf is a ConsumerProtocolSubscription of version 0.
func subscriptionOf(topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	return binary.BigEndian.AppendUint32(b, 1<<32-1)
}
