package diff

import (
	"encoding/base64"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// rule normalises one field. Type and Field are the names kmsg gives; "*" stands for any type. How renders the value; an empty text
// leaves the field out. Every rule says why the field cannot be compared as it is.
type rule struct {
	Type, Field string
	How         func(n *normaliser, v reflect.Value) string
	Why         string
}

func (r *rule) apply(n *normaliser, v reflect.Value) string { return r.How(n, v) }

// rules is the whole list of fields that are not compared as they are. Record batches, which are no kmsg structs inside an answer, follow
// the same methods (time, producerID) and normalise their CRC to "valid" for the sake of those two.
var rules = []rule{
	{"DescribeQuorumResponseTopicPartition", "LeaderEpoch", (*normaliser).known, "how many elections a quorum had is its own affair; being known is compared"},
	{"DescribeQuorumResponseTopicPartition", "HighWatermark", (*normaliser).known, "the position in the metadata log; being known is compared"},
	{"DescribeQuorumResponseTopicPartitionReplicaState", "LogEndOffset", (*normaliser).known, "the position in the metadata log; being known is compared"},
	{"DescribeQuorumResponseTopicPartitionReplicaState", "LastFetchTimestamp", (*normaliser).timestamp, "times near the clock of this run become <now>"},
	{"DescribeQuorumResponseTopicPartitionReplicaState", "LastCaughtUpTimestamp", (*normaliser).timestamp, "times near the clock of this run become <now>"},
	{"DescribeProducersResponseTopicPartitionActiveProducer", "LastTimestamp", (*normaliser).timestamp, "times near the clock of this run become <now>"},
	{"*", "ThrottleMillis", (*normaliser).throttle, "how long a broker throttles depends on its load; only whether it does is compared"},
	{"*", "ClusterID", (*normaliser).cluster, "every cluster has its own id; the same one everywhere, in 22 characters, is compared"},
	{"*", "Host", (*normaliser).hostName, "the address of the broker; being the one the script dialled is compared"},
	{"*", "Port", (*normaliser).portNumber, "the port of the broker, or of its listener for controllers; being the ones the scripts dial is compared"},
	{"*", "TopicID", (*normaliser).topic, "topic ids are random; ids are replaced by the topic they belong to, or numbered as they appear"},
	{"GetTelemetrySubscriptionsResponse", "SubscriptionID", (*normaliser).any, "Kafka makes it from the random id of the client"},
	{"*", "SessionID", (*normaliser).session, "fetch session ids are random; they are numbered as they appear, and 0 stays 0"},
	{"InitProducerIDResponse", "ProducerID", (*normaliser).issuedProducer, "producer ids depend on what was handed out before; they are numbered as they appear"},
	{"InitProducerIDRequest", "ProducerID", (*normaliser).claimedProducer, "as in the answers"},
	{"ApiVersionsResponse", "FinalizedFeaturesEpoch", (*normaliser).known, "the epoch is the position in the metadata log; being known is compared"},
	{"DescribeLogDirsResponseDirTopicPartition", "Size", (*normaliser).sizeOfCopy, "only while a copy grows: how far it is depends on time; being behind is compared"},
	{"DescribeLogDirsResponseDirTopicPartition", "OffsetLag", (*normaliser).lagOfCopy, "as Size"},
	{"DescribeLogDirsResponseDir", "TotalBytes", (*normaliser).known, "sizes of the disk are those of the machine; being known is compared"},
	{"DescribeLogDirsResponseDir", "UsableBytes", (*normaliser).known, "as TotalBytes"},
	{"ProduceResponseTopicPartition", "LogAppendTime", (*normaliser).timestamp, "times near the clock of this run become <now>"},
	{"ListOffsetsResponseTopicPartition", "Timestamp", (*normaliser).timestamp, "times near the clock of this run become <now>"},
	{"ListOffsetsRequestTopicPartition", "Timestamp", (*normaliser).timestamp, "as in the answers"},
	{"*", "LeaderEpoch", (*normaliser).epoch, "only after a restart: how far a restart moves the leader epoch is the broker's affair; epochs are numbered as they appear"},
	{"*", "CurrentLeaderEpoch", (*normaliser).epoch, "as LeaderEpoch"},
	{"*", "LastFetchedEpoch", (*normaliser).epoch, "as LeaderEpoch"},
	{"FetchResponseTopicPartitionDivergingEpoch", "Epoch", (*normaliser).epoch, "as LeaderEpoch"},
	{"DescribeGroupsResponseGroupMember", "ClientHost", (*normaliser).exact, "the address of the script, which is no path though it looks like one"},
	{"DescribeConfigsResponseResourceConfig", "Documentation", (*normaliser).present, "the text is ours; that there is one is compared"},
}

// sets lists the lists whose order means nothing, with the fields that identify an element: the first that is set. Kafka fills most of
// them from hash maps. Topics and partitions of Fetch are not among them, because their order says whom a byte limit hit.
var sets = map[string][]string{
	"ListConfigResourcesResponse.ConfigResources":                {"Name"},
	"ApiVersionsResponse.ApiKeys":                                {"ApiKey"},
	"ApiVersionsResponse.SupportedFeatures":                      {"Name"},
	"ApiVersionsResponse.FinalizedFeatures":                      {"Name"},
	"MetadataResponse.Brokers":                                   {"NodeID"},
	"MetadataResponse.Topics":                                    {"Topic", "TopicID"},
	"MetadataResponseTopic.Partitions":                           {"Partition"},
	"CreateTopicsResponse.Topics":                                {"Topic"},
	"CreateTopicsResponseTopic.Configs":                          {"Name"},
	"DeleteTopicsResponse.Topics":                                {"Topic", "TopicID"},
	"CreatePartitionsResponse.Topics":                            {"Topic"},
	"ProduceResponse.Topics":                                     {"Topic", "TopicID"},
	"ProduceResponseTopic.Partitions":                            {"Partition"},
	"ListOffsetsResponse.Topics":                                 {"Topic"},
	"ListOffsetsResponseTopic.Partitions":                        {"Partition"},
	"OffsetForLeaderEpochResponse.Topics":                        {"Topic"},
	"OffsetForLeaderEpochResponseTopic.Partitions":               {"Partition"},
	"DeleteRecordsResponse.Topics":                               {"Topic"},
	"DeleteRecordsResponseTopic.Partitions":                      {"Partition"},
	"DescribeClusterResponse.Brokers":                            {"NodeID"},
	"DescribeConfigsResponse.Resources":                          {"ResourceName"},
	"DescribeConfigsResponseResource.Configs":                    {"Name"},
	"IncrementalAlterConfigsResponse.Resources":                  {"ResourceName"},
	"DescribeLogDirsResponseDir.Topics":                          {"Topic"},
	"AlterReplicaLogDirsResponse.Topics":                         {"Topic"},
	"AlterReplicaLogDirsResponseTopic.Partitions":                {"Partition"},
	"DescribeLogDirsResponseDirTopic.Partitions":                 {"Partition"},
	"ProduceResponse.Brokers":                                    {"NodeID"},
	"FetchResponse.Brokers":                                      {"NodeID"},
	"DescribeProducersResponseTopicPartition.ActiveProducers":    {"ProducerID"},
	"ElectLeadersResponse.Topics":                                {"Topic"},
	"UpdateFeaturesResponse.Results":                             {"Feature"},
	"DescribeUserSCRAMCredentialsResponse.Results":               {"User"},
	"DescribeUserSCRAMCredentialsResponseResult.CredentialInfos": {"Mechanism"},
	"AlterUserSCRAMCredentialsResponse.Results":                  {"User"},
	"AlterClientQuotasResponse.Entries":                          {"Entity"},
	"DescribeClientQuotasResponse.Entries":                       {"Entity"},
	"DescribeClientQuotasResponseEntry.Values":                   {"Key"},

	"JoinGroupResponse.Members":                {"MemberID"},
	"DescribeGroupsResponse.Groups":            {"Group"},
	"DescribeGroupsResponseGroup.Members":      {"MemberID"},
	"ListGroupsResponse.Groups":                {"Group"},
	"DeleteGroupsResponse.Groups":              {"Group"},
	"OffsetCommitResponse.Topics":              {"Topic", "TopicID"},
	"OffsetCommitResponseTopic.Partitions":     {"Partition"},
	"OffsetFetchResponse.Topics":               {"Topic"},
	"OffsetFetchResponseTopic.Partitions":      {"Partition"},
	"OffsetFetchResponse.Groups":               {"Group"},
	"OffsetFetchResponseGroup.Topics":          {"Topic", "TopicID"},
	"OffsetFetchResponseGroupTopic.Partitions": {"Partition"},
	"OffsetDeleteResponse.Topics":              {"Topic"},
	"OffsetDeleteResponseTopic.Partitions":     {"Partition"},
}

func ruleFor(typeName, field string) *rule {
	for i := range rules {
		if r := &rules[i]; r.Field == field && (r.Type == "*" || r.Type == typeName) {
			return r
		}
	}
	return nil
}

// normaliser holds what one script has learnt about the ids of one broker.
type normaliser struct {
	host, port   string
	controller   string // port of the listener for controllers
	prefix       string
	now          int64 // milliseconds when the script began
	topicIDs     map[[16]byte]string
	sessions     map[int32]string
	producers    map[int64]string
	members      map[string]string // ids of group members
	epochs       map[int32]string  // set once the script restarts the broker
	clusterID    string
	dirs         map[string]string // data directories that the script tells apart
	copies       bool              // copies of replicas are described while they grow
	numbers      map[string]int    // how many ids of each kind were numbered
	recompressed bool              // the broker changed the codec of what this script reads
	isResponse   bool              // an answer is being rendered, not a request
}

func newNormaliser(target *Target, prefix string) *normaliser {
	n := &normaliser{
		prefix: prefix, now: time.Now().UnixMilli() - 20, // no append of the script can have this very time
		topicIDs:  map[[16]byte]string{{}: "0"},
		sessions:  map[int32]string{0: "0"},
		producers: map[int64]string{},
		members:   map[string]string{},
		numbers:   map[string]int{},
	}
	n.broker(target)
	return n
}

// broker sets the address the broker is expected to name.
func (n *normaliser) broker(target *Target) {
	var err error
	if n.host, n.port, err = net.SplitHostPort(target.Addr); err != nil {
		panic(fmt.Sprintf("address of the broker: %v", err))
	}
	_, n.controller, _ = net.SplitHostPort(target.Controller) // some tests have none
}

// topicIs tells whose id this is.
func (n *normaliser) topicIs(id [16]byte, name string) { n.topicIDs[id] = "<id-of-" + name + ">" }

// numbered returns the name of an id that the broker chose, by the order in which they appear.
func numbered[K comparable](n *normaliser, m map[K]string, id K, what string) string {
	if name, ok := m[id]; ok {
		return name
	}
	n.numbers[what]++
	m[id] = fmt.Sprintf("<%s-%d>", what, n.numbers[what])
	return m[id]
}

func (n *normaliser) topicID(id [16]byte) string   { return numbered(n, n.topicIDs, id, "id") }
func (n *normaliser) topic(v reflect.Value) string { return n.topicID([16]byte(v.Bytes())) }
func (n *normaliser) session(v reflect.Value) string {
	return numbered(n, n.sessions, int32(v.Int()), "session")
}
func (n *normaliser) timestamp(v reflect.Value) string { return n.time(v.Int()) }
func (n *normaliser) known(v reflect.Value) string {
	return choose(v.Int() >= 0, "<known>", "<unknown>")
}
func (n *normaliser) any(reflect.Value) string { return "" }
func (n *normaliser) throttle(v reflect.Value) string {
	return choose(v.Int() > 0, "<throttled>", "<negative>")
}

func (n *normaliser) issuedProducer(v reflect.Value) string {
	if v.Int() < 0 {
		return strconv.FormatInt(v.Int(), 10)
	}
	return numbered(n, n.producers, v.Int(), "producer")
}

func (n *normaliser) epoch(v reflect.Value) string { return n.leaderEpoch(int32(v.Int())) }

// leaderEpoch renders a leader epoch as it is, or, in scripts that restart the broker, by its order of appearance. 0 is every topic's
// first epoch and negative numbers are no epochs: these stay.
func (n *normaliser) leaderEpoch(epoch int32) string {
	if n.epochs == nil || epoch <= 0 {
		return strconv.FormatInt(int64(epoch), 10)
	}
	return numbered(n, n.epochs, epoch, "epoch")
}

func (n *normaliser) claimedProducer(v reflect.Value) string { return n.producerID(v.Int()) }

// producerID renders the id in a batch: by its number if the broker issued it to this script, else as the script made it up.
func (n *normaliser) producerID(id int64) string {
	if name, ok := n.producers[id]; ok {
		return name
	}
	return strconv.FormatInt(id, 10)
}

// time replaces times of this run. An hour counts as near, which also names what a script puts some hours into the future.
func (n *normaliser) time(ms int64) string {
	const hour = 3_600_000
	d := ms - n.now
	if d == 0 {
		return "<start>" // what the script itself took for the time
	}
	if d < -48*hour || d > 48*hour {
		return strconv.FormatInt(ms, 10)
	}
	hours := (d + 48*hour + hour/2) / hour
	if hours == 48 {
		return "<now>"
	}
	return fmt.Sprintf("<now%+dh>", hours-48)
}

func (n *normaliser) hostName(v reflect.Value) string {
	return choose(v.String() == n.host, "<host>", strconv.Quote(v.String()))
}

// portOf reads a port, which some messages have as an unsigned number.
func portOf(v reflect.Value) int64 {
	if v.CanUint() {
		return int64(v.Uint())
	}
	return v.Int()
}

func (n *normaliser) portNumber(v reflect.Value) string {
	port := strconv.FormatInt(portOf(v), 10)
	return choose(port == n.port, "<port>", choose(port == n.controller, "<controller-port>", port))
}

func (n *normaliser) cluster(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	id := v.String()
	if n.clusterID == "" && len(id) == 22 {
		n.clusterID = id
	}
	return choose(id == n.clusterID && id != "", "<cluster>", strconv.Quote(id))
}

// memberID keeps what stands before the random part of a member's id and numbers the rest.
func (n *normaliser) memberID(id string) string {
	stem := id[:len(id)-len("00000000-0000-0000-0000-000000000000")]
	if name, ok := n.members[id]; ok {
		return name
	}
	n.numbers["member "+stem]++
	n.members[id] = fmt.Sprintf("%s<member-%d>", stem, n.numbers["member "+stem])
	return n.members[id]
}

func (n *normaliser) exact(v reflect.Value) string { return strconv.Quote(v.String()) }

func (n *normaliser) sizeOfCopy(v reflect.Value) string {
	return choose(n.copies, "", fmt.Sprint(v.Int()))
}

func (n *normaliser) lagOfCopy(v reflect.Value) string {
	return choose(n.copies && v.Int() > 0, "<some>", fmt.Sprint(v.Int()))
}

func (n *normaliser) present(v reflect.Value) string {
	return choose(v.Elem().Len() > 0, "<text>", `""`)
}

// texts lists what is normalised inside any string, in this order.
var texts = []struct {
	Pattern *regexp.Regexp // nil: the prefix of the script's topics
	How     func(n *normaliser, match string) string
	Why     string
}{
	{nil, func(*normaliser, string) string { return "~" }, "topics of cases are kept apart by a prefix"},
	{regexp.MustCompile(`[^ "]*-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), (*normaliser).memberID, "ids of group members end in a random UUID; they are numbered as they appear among those that begin in the same way"},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]+`), func(*normaliser, string) string { return "<host>:<port>" }, "ports of listeners are chosen by whoever starts the broker"},
	{regexp.MustCompile(`match the cluster id "[A-Za-z0-9_-]{22}"`), func(*normaliser, string) string { return "match the cluster id <cluster>" }, "every cluster has its own id"},
	{regexp.MustCompile(`^/.+`), func(*normaliser, string) string { return "<path>" }, "where data lies is chosen by whoever starts the broker"},
	{regexp.MustCompile(`-92233[0-9]{14}\b`), func(*normaliser, string) string { return "<now-for-ever>" }, "the earliest time allowed where a topic sets none: now less the largest number"},
	{regexp.MustCompile(`\b1[0-9]{12}\b`), (*normaliser).timeText, "times near the clock of this run"},
	{regexp.MustCompile(`\b[A-Za-z0-9_-]{22}\b`), (*normaliser).idText, "topic ids, as in their own fields"},
}

var foreign = regexp.MustCompile(`^d[0-9a-f]{8}-`)

// text normalises what can stand inside any string.
func (n *normaliser) text(s string) string {
	if name, ok := n.dirs[s]; ok {
		return name
	}
	for _, t := range texts {
		if t.Pattern == nil {
			s = strings.ReplaceAll(s, n.prefix, t.How(n, n.prefix))
			continue
		}
		s = t.Pattern.ReplaceAllStringFunc(s, func(match string) string { return t.How(n, match) })
	}
	return s
}

func (n *normaliser) timeText(digits string) string {
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return digits
	}
	return n.time(ms)
}

func (n *normaliser) idText(id string) string {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != 16 {
		return id
	}
	if name, ok := n.topicIDs[[16]byte(raw)]; ok {
		return name
	}
	return id
}

// foreign reports whether an element of an answer is a topic or a group of another case, which a request for all returns too.
func (n *normaliser) foreign(field string, v reflect.Value) bool {
	s := ""
	switch field {
	case "MetadataResponse.Topics":
		if name := v.FieldByName("Topic"); !name.IsNil() {
			s = name.Elem().String()
		}
	case "DescribeLogDirsResponseDir.Topics":
		return !strings.HasPrefix(v.FieldByName("Topic").String(), n.prefix) // the broker's own topics come and go as other cases need them
	case "ElectLeadersResponse.Topics":
		if s = v.FieldByName("Topic").String(); strings.HasPrefix(s, "__") {
			return true // whoever asks for all gets the topics of coordinators too
		}
	case "DescribeUserSCRAMCredentialsResponse.Results":
		s = v.FieldByName("User").String()
	case "ListGroupsResponse.Groups":
		if s = v.FieldByName("Group").String(); s == "" {
			return true // some cases commit offsets of a group without a name
		}
	}
	return foreign.MatchString(s) && !strings.HasPrefix(s, n.prefix)
}

func choose(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}
