package diff

import (
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// quotaKeys lists the APIs of quotas. Quotas of everybody would slow the cases of others down, so that these have a broker of their own.
var quotaKeys = []int16{keyDescribeClientQuotas, keyAlterClientQuotas}

// alteration changes quotas of one entity, which is written "user=me,client-id": a kind without a name is the default. A change is
// "producer_byte_rate=1000", or a name alone to remove it.
func alteration(entity string, changes ...string) kmsg.AlterClientQuotasRequestEntry {
	e := kmsg.NewAlterClientQuotasRequestEntry()
	for _, part := range strings.Split(entity, ",") {
		if part == "" {
			continue
		}
		one := kmsg.NewAlterClientQuotasRequestEntryEntity()
		kind, name, named := strings.Cut(part, "=")
		if one.Type = kind; named {
			one.Name = &name
		}
		e.Entity = append(e.Entity, one)
	}
	for _, c := range changes {
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		name, value, set := strings.Cut(c, "=")
		if op.Key, op.Remove = name, !set; set {
			var err error
			if op.Value, err = strconv.ParseFloat(value, 64); err != nil {
				panic(err)
			}
		}
		e.Ops = append(e.Ops, op)
	}
	return e
}

func alterQuotas(v int16, entries ...kmsg.AlterClientQuotasRequestEntry) *kmsg.AlterClientQuotasRequest {
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Version, req.Entries = v, entries
	return req
}

// alters changes quotas of one entity and waits until they are seen.
func (s *Script) alters(v int16, entity string, changes ...string) {
	s.Do(alterQuotas(v, alteration(entity, changes...)))
	s.Settle()
}

// describeQuotas asks for entities. A part of the filter is "user=me", "user" for the default, or "user?" for any.
func describeQuotas(v int16, filter ...string) *kmsg.DescribeClientQuotasRequest {
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Version = v
	for _, part := range filter {
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		if kind, name, named := strings.Cut(part, "="); named {
			c.EntityType, c.Match = kind, &name
		} else if kind, any := strings.CutSuffix(part, "?"); any {
			c.EntityType, c.MatchType = kind, 2
		} else {
			c.EntityType, c.MatchType = part, 1
		}
		req.Components = append(req.Components, c)
	}
	return req
}

// forgets removes all quotas of the broker, so that the next case finds none.
func (s *Script) forgets() {
	s.Settle()
	resp, ok := s.quiet(describeQuotas(1)).(*kmsg.DescribeClientQuotasResponse)
	if !ok {
		panic("quotas are not described")
	}
	req := alterQuotas(1)
	for _, found := range resp.Entries {
		e := kmsg.NewAlterClientQuotasRequestEntry()
		for _, part := range found.Entity {
			e.Entity = append(e.Entity, kmsg.AlterClientQuotasRequestEntryEntity{Type: part.Type, Name: part.Name})
		}
		for _, value := range found.Values {
			e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: value.Key, Remove: true})
		}
		req.Entries = append(req.Entries, e)
	}
	s.quiet(req)
	s.Settle()
}

// plain hides the prefix of the script in a note.
func (s *Script) plain(text string) string { return strings.ReplaceAll(text, s.prefix, "~") }

// quotasOfAllKinds sets one of each kind of entity that can have some.
func (s *Script) quotasOfAllKinds(v int16) {
	a, b := s.Name("a"), s.Name("b")
	var all []kmsg.AlterClientQuotasRequestEntry
	for i, entity := range []string{
		"user=" + a, "user=" + b, "user", "client-id=" + a, "client-id=" + b, "client-id", "user=" + a + ",client-id=" + a, "user=" + a + ",client-id=" + b,
		"user=" + a + ",client-id", "user,client-id=" + a, "user,client-id", "client-id=" + b + ",user=" + b,
	} {
		all = append(all, alteration(entity, "producer_byte_rate="+strconv.Itoa(1000000+i), "request_percentage=99999.5"))
	}
	all = append(all, alteration("ip", "connection_creation_rate=100000"), alteration("ip=127.0.0.1", "connection_creation_rate=100001"),
		alteration("ip=192.0.2.7", "connection_creation_rate=5"))
	s.Do(alterQuotas(v, all...))
	s.Settle()
}

func alterQuotasCases(v int16) *suite {
	s := newSuite(keyAlterClientQuotas, v)
	s.add(Ordinary, "", func(x *Script) {
		a := "user=" + x.Name("a")
		show := func() { x.Do(describeQuotas(1, a)) }
		x.alters(v, a, "producer_byte_rate=1000", "consumer_byte_rate=2000")
		show()
		x.alters(v, a, "producer_byte_rate=1500", "request_percentage=12.5", "controller_mutation_rate=0.25")
		show()
		x.alters(v, a, "producer_byte_rate", "consumer_byte_rate=3000")
		show()
		x.alters(v, a, "consumer_byte_rate", "request_percentage", "controller_mutation_rate")
		show()
	})
	s.add(Ordinary, "kinds", func(x *Script) {
		x.quotasOfAllKinds(v)
		x.Do(describeQuotas(1))
		x.forgets()
		x.Do(describeQuotas(1))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := "user="+x.Name("a"), "client-id="+x.Name("b")
		x.Do(alterQuotas(v))
		x.Note("no change")
		x.alters(v, a)
		x.Note("what is not there is removed")
		x.alters(v, a, "producer_byte_rate", "nobody_knows", "connection_creation_rate")
		x.Note("the same again")
		x.alters(v, a, "producer_byte_rate=1000")
		x.alters(v, a, "producer_byte_rate=1000")
		x.Note("a removal with a value")
		removal := alterQuotas(v, alteration(a, "producer_byte_rate"))
		removal.Entries[0].Ops[0].Value = -5
		x.Do(removal)
		dry := alterQuotas(v, alteration(a, "producer_byte_rate=5000"), alteration(b, "producer_byte_rate=0"), alteration(a+","+b, "consumer_byte_rate=1"))
		dry.ValidateOnly = true
		x.Note("a dry run")
		x.Do(dry)
		for _, value := range []string{"1", "0.5", "1.0000001", "0.9999995", "1e-7", "9.2e18", "9223372036854775807", "9.3e18", "1e300", "Inf", "4e-320"} {
			x.Note("producer " + value)
			x.Do(alterQuotas(v, alteration(a, "producer_byte_rate="+value)))
			x.Note("percentage " + value)
			x.Do(alterQuotas(v, alteration(b, "controller_mutation_rate="+value, "request_percentage="+value)))
			x.Note("connections " + value)
			x.Do(alterQuotas(v, alteration("ip=192.0.2.1", "connection_creation_rate="+value)))
		}
		for _, value := range []string{"2147483647", "2147483648"} {
			x.Note("connections " + value)
			x.Do(alterQuotas(v, alteration("ip=192.0.2.1", "connection_creation_rate="+value)))
		}
		x.Settle()
		x.Do(describeQuotas(1))
		x.forgets()
	})
	s.add(Boundary, "names", func(x *Script) {
		for _, name := range []string{"a b", "a/b", "a%20b", "<default>", "ü", "*", "User:me", " "} {
			x.Do(alterQuotas(v, alteration("user="+name+x.Name(""), "producer_byte_rate=1000"), alteration("client-id="+name+x.Name(""), "producer_byte_rate=1000"),
				alteration("user="+name, "producer_byte_rate=1000")))
		}
		x.Settle()
		x.Do(describeQuotas(1))
		x.forgets()
		for _, name := range []string{
			"127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "[::1]", "::ffff:192.0.2.1", "127.1", "192.0.2", "2130706433", "4294967296", "256.1.1.1", "1.2.3.4.5", "010.0.0.1",
			"fe80::1%nowhere", "2001:db8::g", "localhost", "a b", "-", ".", "no.such.host.invalid", "192.0.2.1/32", "*", " 192.0.2.1", "192.0.2.1 ", "1.2.3.", "0x7f.1", "1",
		} {
			x.Note(name)
			x.Do(alterQuotas(v, alteration("ip="+name, "connection_creation_rate=100000")))
		}
		x.Settle()
		x.Do(describeQuotas(1))
		x.forgets()
	})
	s.add(Boundary, "twice", func(x *Script) {
		a, b := x.Name("a"), x.Name("b")
		both := "user=" + a + ",client-id=" + b
		x.Note("an entity twice")
		x.Do(alterQuotas(v, alteration("user="+a, "producer_byte_rate=1000"), alteration("user="+a, "producer_byte_rate=2000", "consumer_byte_rate=1")))
		x.Note("an entity twice, its parts in another order")
		x.Do(alterQuotas(v, alteration(both, "producer_byte_rate=1000"), alteration("client-id="+b+",user="+a, "consumer_byte_rate=2000")))
		x.Note("an entity three times, the first refused")
		x.Do(alterQuotas(v, alteration("user="+b, "producer_byte_rate=0"), alteration("user="+b, "producer_byte_rate=3"), alteration("user="+b, "producer_byte_rate=4")))
		x.Note("a quota twice")
		x.Do(alterQuotas(v, alteration("client-id="+a, "producer_byte_rate=1000", "producer_byte_rate=2000")))
		x.Note("a quota set and removed")
		x.Do(alterQuotas(v, alteration("client-id="+b, "producer_byte_rate=1000", "producer_byte_rate")))
		x.Note("a quota removed twice")
		x.Do(alterQuotas(v, alteration("client-id="+b, "nobody_knows", "nobody_knows")))
		x.Note("a quota twice of an entity that is refused")
		x.Do(alterQuotas(v, alteration("group="+b, "producer_byte_rate=1", "producer_byte_rate=1")))
		x.Note("a quota twice for defaults")
		x.Do(alterQuotas(v, alteration("client-id,user", "producer_byte_rate=1", "producer_byte_rate=1"), alteration("ip", "a", "a")))
		x.Note("a kind twice")
		x.Do(alterQuotas(v, alteration("user="+a+",user="+b, "consumer_byte_rate=1234"), alteration("ip=127.0.0.1,ip=x y,ip=127.0.0.1", "connection_creation_rate=1234")))
		x.Settle()
		x.Do(describeQuotas(1))
		x.forgets()
	})
	s.add(Wrong, "", func(x *Script) {
		a := "user=" + x.Name("a")
		for _, value := range []string{"0", "-0", "-1", "-Inf", "1.5", "1.000002", "0.5"} {
			x.Note(value)
			x.Do(alterQuotas(v, alteration(a, "producer_byte_rate="+value)))
			x.Note(value)
			x.Do(alterQuotas(v, alteration("ip=127.0.0.1", "connection_creation_rate="+value)))
		}
		x.Do(alterQuotas(v, alteration(a, "consumer_byte_rate=1.5")))
		x.Do(alterQuotas(v, alteration(a, "request_percentage=0")))
		x.Do(alterQuotas(v, alteration(a, "controller_mutation_rate=-1")))
		for _, name := range []string{"nobody_knows", "", "Producer_byte_rate", "connection_creation_rate", "SCRAM-SHA-256"} {
			x.Note(name)
			x.Do(alterQuotas(v, alteration(a, name+"=1")))
		}
		x.Do(alterQuotas(v, alteration(a, "nobody_knows=0")))
		for _, name := range []string{"producer_byte_rate", "request_percentage", "controller_mutation_rate"} {
			x.Do(alterQuotas(v, alteration("ip", name+"=1")))
		}
		for _, entity := range []string{
			"", "user=", "client-id=", "ip=", "group", "group=a", "User=a", "=", a + ",client-id=", "user=,client-id=", a + ",group=b", "ip=127.0.0.1," + a,
			"ip=127.0.0.1,client-id", "ip,user,client-id", "ip=not an address,user", "ip=not an address",
		} {
			x.Note(x.plain(entity))
			x.Do(alterQuotas(v, alteration(entity, "producer_byte_rate=1000", "nobody_knows")))
			x.Note(x.plain(entity) + ", without a change")
			x.Do(alterQuotas(v, alteration(entity)))
		}
		x.Note("one of several")
		x.Do(alterQuotas(v, alteration(a, "producer_byte_rate=1000"), alteration("client-id="+x.Name("b"), "producer_byte_rate=1000", "nobody_knows=1"), alteration("ip=127.0.0.1", "connection_creation_rate=100000"),
			alteration("", "producer_byte_rate=1000")))
		x.Settle()
		x.Do(describeQuotas(1))
		x.forgets()
	})
	s.add(Wrong, "no-number", func(x *Script) {
		for _, name := range []string{"producer_byte_rate", "request_percentage", "nobody_knows"} {
			x.Note(name)
			x.alters(v, "user="+x.Name("a"), name+"="+strconv.FormatFloat(math.NaN(), 'f', -1, 64))
		}
		x.Do(describeQuotas(1))
		x.forgets()
	})
	s.malformed(func(*Script) kmsg.Request { return alterQuotas(v, alteration("user=nobody", "producer_byte_rate")) })
	return s
}

func describeQuotasCases(v int16) *suite {
	s := newSuite(keyDescribeClientQuotas, v)
	s.add(Ordinary, "", func(x *Script) {
		a, b := "="+x.Name("a"), "="+x.Name("b")
		x.quotasOfAllKinds(1)
		for _, filter := range [][]string{
			{}, {"user" + a}, {"user" + b}, {"user"}, {"user?"}, {"client-id" + a}, {"client-id"}, {"client-id?"}, {"ip"}, {"ip?"}, {"ip=127.0.0.1"}, {"ip=192.0.2.9"},
			{"user" + a, "client-id" + a}, {"client-id" + b, "user" + b}, {"user", "client-id"}, {"user?", "client-id?"}, {"user" + a, "client-id?"}, {"user?", "client-id"},
			{"user=" + x.Name("nobody")},
		} {
			for _, strict := range []bool{false, true} {
				req := describeQuotas(v, filter...)
				req.Strict = strict
				x.Note(x.plain(strings.Join(filter, ",")))
				x.Do(req)
			}
		}
		x.forgets()
	})
	s.add(Boundary, "", func(x *Script) {
		x.Do(describeQuotas(v))
		x.Do(describeQuotas(v, "user?"))
		x.quotasOfAllKinds(1)
		x.Note("an empty name")
		x.Do(describeQuotas(v, "user="))
		x.Note("a name that is no address")
		x.Do(describeQuotas(v, "ip=not an address"))
		x.Note("the same address in another form")
		x.Do(describeQuotas(v, "ip=127.1"))
		x.forgets()
	})
	s.add(Wrong, "", func(x *Script) {
		x.quotasOfAllKinds(1)
		for _, filter := range [][]string{
			{"group"}, {""}, {"?"}, {"=a"}, {"User?"}, {"user", "user"}, {"user?", "user=a"}, {"user=a", "user?"}, {"ip", "user"}, {"ip?", "client-id?"}, {"user=a", "ip=127.0.0.1"},
			{"user", "group"}, {"group", "user", "user"}, {"ip", "ip"}, {"group", "group"}, {"ip", "user", "group"}, {"user", ""},
		} {
			x.Note(strings.Join(filter, ","))
			x.Do(describeQuotas(v, filter...))
		}
		odd := func(note string, kind string, matchType kmsg.QuotasMatchType, match *string) {
			req := describeQuotas(v, kind)
			req.Components[0].MatchType, req.Components[0].Match = matchType, match
			x.Note(note)
			x.Do(req)
		}
		odd("exact without a name", "user", 0, nil)
		odd("default with a name", "user", 1, ptr("a"))
		odd("default with an empty name", "user", 1, ptr(""))
		odd("any with a name", "user", 2, ptr("a"))
		odd("an unknown match", "user", 3, nil)
		odd("a negative match", "user", -1, ptr("a"))
		odd("an unknown match of an unknown kind", "group", 3, nil)
		x.forgets()
	})
	s.malformed(func(*Script) kmsg.Request { return describeQuotas(v, "user=nobody", "client-id?") })
	return s
}

// quotaSequence is a sequence on the broker that has quotas.
func quotaSequence(name string, run func(*Script)) Case {
	c := sequence("quotas-"+name, run)
	c.Broker = quotasBroker
	return c
}

func quotaSequences() []Case {
	return []Case{
		quotaSequence("one-request", func(x *Script) {
			a, b := x.Name("a"), x.Name("b")
			x.alters(1, "user="+a, "producer_byte_rate=1", "consumer_byte_rate=2", "request_percentage=3")
			x.Do(alterQuotas(1, alteration("user="+a, "producer_byte_rate", "consumer_byte_rate=20"), alteration("user="+b, "producer_byte_rate=1"),
				alteration("user="+a+",client-id="+b, "producer_byte_rate=7", "consumer_byte_rate"), alteration("client-id="+b, "request_percentage=0.001")))
			x.Settle()
			x.Do(describeQuotas(1))
			x.Do(alterQuotas(0, alteration("user="+a, "request_percentage", "consumer_byte_rate"), alteration("client-id="+b, "request_percentage")))
			x.Settle()
			x.Do(describeQuotas(0))
			x.forgets()
		}),
		quotaSequence("restart", func(x *Script) {
			x.quotasOfAllKinds(1)
			x.Restart()
			x.Do(describeQuotas(1))
			x.Do(alterQuotas(1, alteration("user="+x.Name("a"), "producer_byte_rate", "request_percentage=1000"), alteration("ip", "connection_creation_rate")))
			x.Restart()
			x.Do(describeQuotas(1))
			x.forgets()
			x.Restart()
			x.Do(describeQuotas(1))
		}),
	}
}
