package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// groupSettings are the settings of one group. Those of a broker give the defaults and the limits. Nothing of it concerns classic
// groups, so that nothing of it acts before groups of the other kinds are served.
var groupSettings = []Setting{
	accepted("consumer.session.timeout.ms", Int, "45000", atLeast(1), "Session time-out of this consumer group.").from("group.consumer.session.timeout.ms"),
	accepted("consumer.heartbeat.interval.ms", Int, "5000", atLeast(1), "Heartbeat interval of this consumer group.").from("group.consumer.heartbeat.interval.ms"),
	accepted("consumer.assignment.interval.ms", Int, "1000", atLeast(0), "Pause between two assignments of this consumer group.").from("group.consumer.assignment.interval.ms"),
	accepted("share.session.timeout.ms", Int, "45000", atLeast(1), "Session time-out of this share group.").from("group.share.session.timeout.ms"),
	accepted("share.heartbeat.interval.ms", Int, "5000", atLeast(1), "Heartbeat interval of this share group.").from("group.share.heartbeat.interval.ms"),
	accepted("share.assignment.interval.ms", Int, "1000", atLeast(0), "Pause between two assignments of this share group.").from("group.share.assignment.interval.ms"),
	accepted("share.record.lock.duration.ms", Int, "30000", atLeast(1000), "How long a record is locked for its consumer.").from("group.share.record.lock.duration.ms"),
	accepted("share.delivery.count.limit", Int, "5", atLeast(2), "Deliveries of a record before it is given up.").from("group.share.delivery.count.limit"),
	accepted("share.partition.max.record.locks", Int, "2000", atLeast(100), "Records of a partition locked at once.").from("group.share.partition.max.record.locks"),
	accepted("share.auto.offset.reset", String, "latest", shareReset, "Where a share group begins: earliest, latest or by_duration:DURATION."),
	accepted("share.isolation.level", String, "read_uncommitted", oneOf("read_committed", "read_uncommitted"), "Whether a share group reads what is not committed."),
	accepted("share.renew.acknowledge.enable", Bool, "true", anything, "Let consumers renew the locks of records."),
	accepted("streams.session.timeout.ms", Int, "45000", atLeast(1), "Session time-out of this streams group.").from("group.streams.session.timeout.ms"),
	accepted("streams.heartbeat.interval.ms", Int, "5000", atLeast(1), "Heartbeat interval of this streams group.").from("group.streams.heartbeat.interval.ms"),
	accepted("streams.assignment.interval.ms", Int, "1000", atLeast(0), "Pause between two assignments of this streams group.").from("group.streams.assignment.interval.ms"),
	accepted("streams.num.standby.replicas", Int, "0", atLeast(0), "Standby replicas of a task.").from("group.streams.num.standby.replicas"),
	accepted("streams.initial.rebalance.delay.ms", Int, "3000", atLeast(0), "Wait for more members of a new streams group.").from("group.streams.initial.rebalance.delay.ms"),
	accepted("streams.assignor.name", String, "sticky", anything, "Assignor of the streams group.").from("group.streams.assignors"),
	accepted("streams.rack.aware.assignment.tags", List, "", list(), "Client tags that standby replicas are spread over.").from("group.streams.rack.aware.assignment.tags"),
	accepted("errors.deadletterqueue.topic.name", String, "", anything, "Topic for records that are given up; empty for none."),
	accepted("errors.deadletterqueue.copy.record.enable", Bool, "false", anything, "Copy the record itself into that topic."),
}

// limits are the broker settings that bound a group setting.
var groupLimits = []struct{ name, least, most string }{
	{"consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{"share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	{"share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	{"share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"},
	{"share.partition.max.record.locks", "group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"},
	{"share.assignment.interval.ms", "group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
	{"streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	{"streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
}

// clientMetricsSettings are the settings of one subscription to the metrics of clients (KIP-714).
var clientMetricsSettings = []Setting{
	accepted("interval.ms", Int, "300000", anything, "Pause between two pushes of a client."),
	accepted("match", List, "", list(), "Which clients, as NAME=PATTERN."),
	accepted("metrics", List, "", list(), "Prefixes of the metrics' names; empty for none, * for all."),
}

var (
	groupTable         = sorted(groupSettings)
	groupIndex         = index(groupTable)
	clientMetricsTable = sorted(clientMetricsSettings)
	clientMetricsIndex = index(clientMetricsTable)
)

// ValidateGroup judges all settings that a group would have.
func (c *Config) ValidateGroup(after map[string]string) error {
	names := slices.Sorted(maps.Keys(after))
	for _, name := range names {
		if groupIndex[name] == nil {
			return errorf("Unknown group config name: %s", name)
		}
	}
	parsed := map[string]value{}
	for _, name := range names {
		v, err := groupIndex[name].parse(after[name])
		if err != nil {
			return err
		}
		parsed[name] = v
	}
	number := func(name string) int64 {
		if v, ok := parsed[name]; ok {
			return v.num
		}
		return c.Number(groupIndex[name].From)
	}
	for _, l := range groupLimits {
		n, least, most := number(l.name), c.Number(l.least), c.Number(l.most)
		if _, set := parsed[l.name]; set && (n < least || n > most) {
			return errorf("%s must be in the range %d to %d inclusive.", l.name, least, most)
		}
	}
	if most := c.Number("group.streams.max.standby.replicas"); number("streams.num.standby.replicas") > most {
		return errorf("streams.num.standby.replicas must be less than or equal to %d", most)
	}
	if v, set := parsed["streams.assignor.name"]; set {
		if known := c.parsed["group.streams.assignors"].list; !slices.Contains(known, v.text) {
			return errorf("streams.assignor.name '%s' is not a registered task assignor. Registered assignors are: [%s].", v.text, strings.Join(known, ", "))
		}
	}
	if strings.HasPrefix(parsed["errors.deadletterqueue.topic.name"].text, "__") {
		return errorf("errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'")
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if number(session) <= number(heartbeat) {
			return errorf("%s must be greater than %s", session, heartbeat)
		}
	}
	return nil
}

// Durations as the Java platform writes them, without a sign.
var isoDuration = regexp.MustCompile(`^(?i)P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d{1,9})?S)?)?$`)

func shareReset(s *Setting, v *value) error {
	since, by := strings.CutPrefix(v.text, "by_duration:")
	last := strings.ToUpper(since)
	if v.text == "earliest" || v.text == "latest" || by && isoDuration.MatchString(since) && !strings.HasSuffix(last, "P") && !strings.HasSuffix(last, "T") {
		return nil
	}
	return s.invalid(v.text, "Invalid value `"+v.text+"` for configuration "+s.Name+". The value must be either 'earliest', 'latest' or of the format "+
		"'by_duration:<PnDTnHnMn.nS>'.")
}

// DescribeGroup returns every setting of a group with its effective value, sorted by name. A group need not exist.
func (c *Config) DescribeGroup(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(groupTable))
	for i := range groupTable {
		s := &groupTable[i]
		text, from := s.Default, []Synonym(nil)
		if brokerIndex[s.From] != nil {
			text, from = c.Value(s.From), c.synonyms(s.From)
		}
		entries = append(entries, describeOwn(s, text, overrides, from, SourceGroup))
	}
	return entries
}

// describeOwn describes a setting of a resource that is neither topic nor broker.
func describeOwn(s *Setting, text string, overrides map[string]string, from []Synonym, source Source) Entry {
	e := Entry{Name: s.Name, Type: s.Type, Doc: s.Doc, Synonyms: from}
	if raw, own := overrides[s.Name]; own {
		if v, err := s.parse(raw); err == nil {
			text = s.format(v)
			if len(from) == 0 && source == SourceGroup {
				from = []Synonym{{s.Name, &s.Default, SourceDefault}}
			}
			e.Synonyms = append([]Synonym{{s.Name, &text, source}}, from...)
		}
	} else if len(from) == 0 && source == SourceGroup {
		e.Synonyms = []Synonym{{s.Name, &text, SourceDefault}}
	}
	e.Value, e.Source = &text, SourceDefault
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// What the patterns of a subscription may look at.
var clientMatches = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// ValidateClientMetrics judges all settings that a subscription to clients' metrics would have.
func ValidateClientMetrics(after map[string]string) error {
	names := slices.Sorted(maps.Keys(after))
	for _, name := range names {
		if clientMetricsIndex[name] == nil {
			return requestErrorf("Unknown client metrics configuration: %s", name)
		}
	}
	for _, name := range names {
		v, err := clientMetricsIndex[name].parse(after[name])
		if err != nil {
			return err
		}
		switch name {
		case "interval.ms":
			if v.num < 100 || v.num > 3600000 {
				return requestErrorf("Invalid value %d for interval.ms, interval must be between 100 and 3600000 (1 hour)", v.num)
			}
		case "match":
			for _, pattern := range v.list {
				parts := strings.Split(pattern, "=")
				if len(parts) == 2 && parts[1] != "" && slices.Contains(clientMatches, strings.TrimSpace(parts[0])) {
					if _, err := regexp.Compile(strings.TrimSpace(parts[1])); err == nil {
						continue
					}
				}
				return errorf("Illegal client matching pattern: %s", pattern)
			}
		}
	}
	return nil
}

// DescribeClientMetrics returns every setting of a subscription to clients' metrics, sorted by name.
func DescribeClientMetrics(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(clientMetricsTable))
	for i := range clientMetricsTable {
		s := &clientMetricsTable[i]
		entries = append(entries, describeOwn(s, s.Default, overrides, nil, SourceClientMetrics))
	}
	return entries
}
