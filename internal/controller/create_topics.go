package controller

import (
	"fmt"
	"strings"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// maxPartitionsPerRequest bounds how many partitions one request may add; the number is Kafka's.
const maxPartitionsPerRequest = 10000

// metadataTopic is the name that Kafka keeps for its own metadata log.
const metadataTopic = "__cluster_metadata"

type (
	// CreateTopics makes topics; each succeeds or fails alone. Response: CreateTopicsResponse.
	CreateTopics struct {
		Topics       []NewTopic
		ValidateOnly bool
		Quota        Quota `json:"-"`
	}

	// NewTopic asks for a topic: either by counts, where -1 means the default, or by Assignments, with both counts -1.
	NewTopic struct {
		Name              string
		Partitions        int32
		ReplicationFactor int16
		Assignments       []Assignment
		Configs           []Config
	}

	// Assignment places one partition by hand, preferred leader first.
	Assignment struct {
		Partition int32
		Brokers   []int32
	}

	// Config is one configuration in a request; a nil value is refused.
	Config struct {
		Name  string
		Value *string
	}

	// CreateTopicsResponse has a result for every topic of the request, one for each name that came several times.
	CreateTopicsResponse struct{ Topics []TopicCreated }

	// TopicCreated is the result for one topic; the fields after Error are set on success only.
	TopicCreated struct {
		Name              string
		Error             Error
		ID                uuid.UUID
		Partitions        int32
		ReplicationFactor int16
		Configs           map[string]string // the overrides of the new topic
	}
)

func (*CreateTopics) urgent() bool { return false }

func (r *CreateTopics) step(s *step) Response {
	response := new(CreateTopicsResponse)
	times := make(map[string]int, len(r.Topics))
	for i := range r.Topics {
		times[r.Topics[i].Name]++
	}
	var topics, refused []*NewTopic
	for i := range r.Topics {
		t := &r.Topics[i]
		switch {
		case times[t.Name] > 1:
			times[t.Name] = -1 // answered once
			refused = append(refused, t)
		case times[t.Name] < 0:
		case t.Name == metadataTopic:
			refused = append(refused, t)
		default:
			topics = append(topics, t)
		}
	}
	if s.tooManyPartitions(topics) {
		// Kafka refuses the request as a whole, which its response can only say of each topic.
		for i := range r.Topics {
			response.Topics = append(response.Topics, TopicCreated{Name: r.Topics[i].Name, Error: Error{protocol.PolicyViolation, "Excessively large number of partitions per request."}})
		}
		return response
	}
	for _, t := range topics {
		result := TopicCreated{Name: t.Name}
		result.Error = s.createTopic(t, r.Quota, &result)
		if result.Error.Failed() {
			result = TopicCreated{Name: t.Name, Error: result.Error}
		}
		response.Topics = append(response.Topics, result)
	}
	for _, t := range refused {
		why := Error{protocol.InvalidRequest, "Duplicate topic name."}
		if times[t.Name] > 0 {
			why.Message = "Creation of internal topic " + metadataTopic + " is prohibited."
		}
		response.Topics = append(response.Topics, TopicCreated{Name: t.Name, Error: why})
	}
	if r.ValidateOnly {
		s.drop()
	}
	return response
}

func (s *step) tooManyPartitions(topics []*NewTopic) bool {
	var sum int64
	for _, t := range topics {
		switch {
		case len(t.Assignments) > 0:
			sum += int64(len(t.Assignments))
		case t.Partitions == -1:
			sum += int64(s.defaultPartitions())
		case t.Partitions > 0:
			sum += int64(t.Partitions)
		}
		if sum > maxPartitionsPerRequest {
			return true
		}
	}
	return false
}

func (s *step) defaultPartitions() int32 { return max(1, s.settings.Partitions) }

func (s *step) createTopic(t *NewTopic, quota Quota, result *TopicCreated) Error {
	if err := s.checkNewName(t.Name); err.Failed() {
		return err
	}
	overrides, err := s.creationConfigs(t.Configs)
	if err.Failed() {
		return err
	}
	partitions, err := s.newPartitions(t)
	if err.Failed() {
		return err
	}
	if err := within(quota, len(partitions)); err.Failed() {
		return err
	}
	id := uuid.New(s.random)
	for s.img.TopicByID(id) != nil {
		id = uuid.New(s.random) // costs nothing and makes "never" true
	}
	s.add(&metadata.TopicRecord{Name: t.Name, ID: id})
	resource := metadata.Resource{Type: metadata.ResourceTopic, Name: t.Name}
	for _, name := range sortedKeys(overrides) {
		s.add(&metadata.ConfigRecord{Resource: resource, Name: name, Value: new(overrides[name])})
	}
	for i, p := range partitions {
		s.add(&metadata.PartitionRecord{TopicID: id, Number: int32(i), Partition: p})
	}
	result.ID, result.Partitions, result.ReplicationFactor = id, int32(len(partitions)), int16(len(partitions[0].Replicas))
	result.Configs = overrides
	return Error{}
}

// checkNewName judges the name of a new topic. Two topics must not differ in '.' and '_' only: Kafka's metrics would mix them.
func (s *step) checkNewName(name string) Error {
	if s.img.Topic(name) != nil {
		return Error{protocol.TopicAlreadyExists, fmt.Sprintf("Topic '%s' already exists.", name)}
	}
	if other := s.img.Colliding(name); other != "" {
		return Error{protocol.InvalidTopic, fmt.Sprintf("Topic '%s' collides with existing topic: %s", name, other)}
	}
	if why := InvalidTopicName(name); why != "" {
		return Error{protocol.InvalidTopic, why}
	}
	return Error{}
}

// maxTopicName leaves room in a file name for the partition number and a suffix; the number is Kafka's.
const maxTopicName = 249

// InvalidTopicName says what is wrong with a topic name in Kafka's words; "" when it is valid.
func InvalidTopicName(name string) string {
	why := ""
	switch {
	case name == "":
		why = "the empty string is not allowed"
	case name == ".":
		why = "'.' is not allowed"
	case name == "..":
		why = "'..' is not allowed"
	case utf16Len(name) > maxTopicName:
		why = fmt.Sprintf("the length of '%s' is longer than the max allowed length %d", name, maxTopicName)
	case strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c == '.' || c == '_' || c == '-')
	}):
		why = fmt.Sprintf("'%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
	default:
		return ""
	}
	return "Topic name is invalid: " + why
}

// utf16Len is the length as Java counts it.
func utf16Len(s string) int {
	n := 0
	for _, c := range s {
		if n++; c > 0xffff {
			n++
		}
	}
	return n
}

func (s *step) creationConfigs(configs []Config) (map[string]string, Error) {
	var null []string
	overrides := make(map[string]string, len(configs))
	for _, c := range configs {
		if c.Value == nil {
			null = append(null, c.Name)
		} else {
			overrides[c.Name] = *c.Value
		}
	}
	if null != nil {
		return nil, Error{protocol.InvalidConfig, "Null value not supported for topic configs: " + strings.Join(null, ",")}
	}
	return overrides, s.checkConfigs(overrides, overrides)
}

// newPartitions places the partitions of a new topic.
func (s *step) newPartitions(t *NewTopic) ([]metadata.Partition, Error) {
	switch {
	case len(t.Assignments) > 0:
		return s.assignedPartitions(t)
	case t.ReplicationFactor < -1 || t.ReplicationFactor == 0:
		return nil, Error{protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."}
	case t.Partitions < -1 || t.Partitions == 0:
		return nil, Error{protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."}
	}
	count, factor := t.Partitions, t.ReplicationFactor
	if count == -1 {
		count = s.defaultPartitions()
	}
	if factor == -1 {
		factor = s.defaultReplicationFactor()
	}
	placed, why := place(s.img.Brokers(), int(count), int(factor), s.random)
	if why != "" {
		return nil, Error{protocol.InvalidReplicationFactor, fmt.Sprintf("Unable to replicate the partition %d time(s): %s", factor, why)}
	}
	partitions := make([]metadata.Partition, len(placed))
	for i, replicas := range placed {
		p, ok := s.newPartition(replicas)
		if !ok {
			return nil, allFenced(factor)
		}
		partitions[i] = p
	}
	return partitions, Error{}
}

func allFenced(factor int16) Error {
	return Error{protocol.InvalidReplicationFactor,
		fmt.Sprintf("Unable to replicate the partition %d time(s): All brokers are currently fenced or in controlled shutdown.", factor)}
}

// newPartition starts a partition on the replicas: in sync are those that are active, and the first of them leads.
func (s *step) newPartition(replicas []int32) (metadata.Partition, bool) {
	p := metadata.Partition{Replicas: replicas, Directories: make([]uuid.UUID, len(replicas))}
	for i, id := range replicas {
		b := s.img.Broker(id)
		p.Directories[i] = b.Directory()
		if b.Active() {
			p.ISR = append(p.ISR, id)
		}
	}
	if len(p.ISR) == 0 {
		return p, false
	}
	p.Leader = p.ISR[0]
	return p, true
}

func (s *step) assignedPartitions(t *NewTopic) ([]metadata.Partition, Error) {
	if t.ReplicationFactor != -1 {
		return nil, Error{protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."}
	}
	if t.Partitions != -1 {
		return nil, Error{protocol.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."}
	}
	byNumber := make(map[int32]metadata.Partition, len(t.Assignments))
	factor := -1
	for _, a := range t.Assignments {
		if _, ok := byNumber[a.Partition]; ok {
			return nil, Error{protocol.InvalidReplicaAssignment, fmt.Sprintf("Found multiple manual partition assignments for partition %d", a.Partition)}
		}
		if err := s.checkAssignment(a.Brokers, factor); err.Failed() {
			return nil, err
		}
		factor = len(a.Brokers)
		p, ok := s.newPartition(a.Brokers)
		if !ok {
			return nil, assignedToFenced(a.Partition)
		}
		byNumber[a.Partition] = p
	}
	partitions := make([]metadata.Partition, len(byNumber))
	for i := range partitions {
		p, ok := byNumber[int32(i)]
		if !ok {
			return nil, Error{protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"}
		}
		partitions[i] = p
	}
	return partitions, Error{}
}

func assignedToFenced(partition int32) Error {
	return Error{protocol.InvalidReplicaAssignment, fmt.Sprintf(
		"All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", partition)}
}
