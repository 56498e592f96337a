package controller

import (
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
)

// Settings are what the controller reads of the configuration.
type Settings struct {
	Partitions        int32 // of a topic that names none (num.partitions); default 1
	ReplicationFactor int16 // of a topic that names none (default.replication.factor); default 0: 3 once three brokers are registered, else 1
	Configs           Configs
	InternalFactors   map[string]int16 // of internal topics that grow to them as brokers join, by name
}

// Configs is what the controller asks of the table of configurations. The errors' texts reach clients.
type Configs interface {
	// ValidateTopicSet judges all overrides of a topic, each and together; an unknown name is an error.
	ValidateTopicSet(overrides map[string]string) error
	// TopicList says whether the configuration is a list, and its value where a topic has no override.
	TopicList(name string) (value string, list bool)
	// TopicRules gives what a topic with these overrides asks of the controller.
	TopicRules(overrides map[string]string) Rules
	// CheckBroker judges the name of a broker whose settings are to be changed, as that broker itself is asked to; "" stands for all brokers.
	CheckBroker(asked int32, name string) Error
	// BrokerList gives the default of a list setting of brokers; an error where it is none. done is what is to be done to it.
	BrokerList(name, done string) (string, Error)
	// ValidateBroker judges all that is set of a broker, or of all where the name is empty, beside what the image has of the other.
	ValidateBroker(img *metadata.Image, name string, after map[string]string) Error
	// ValidateGroup and ValidateClientMetrics judge all that is set of such a resource.
	ValidateGroup(after map[string]string) Error
	ValidateClientMetrics(after map[string]string) Error
}

// Rules are the effective configurations of a topic that the controller acts on.
type Rules struct {
	MinISR  int  // min.insync.replicas, 0 where nobody set it; see metadata.MinISR
	Unclean bool // unclean.leader.election.enable
}

// Error is an answer to a client: Kafka's code and words. The zero value means success; an empty Message is none.
type Error struct {
	Code    protocol.ErrorCode
	Message string
}

// Failed says that the answer is an error.
func (e Error) Failed() bool { return e.Code != protocol.None }

// Request is one of the request types of this package. The Response to each is a pointer to the type it names.
type Request interface {
	step(*step) Response
	// urgent says whether a node whose disk is full needs the request: to start, to change its state, or to free space. It may
	// then use what the log keeps in reserve.
	urgent() bool
}

// Response is the answer to a Request.
type Response any

// step is one request being decided.
type step struct {
	img      *metadata.Image // with the records up to settled applied
	settings Settings
	random   random.Source
	records  []metadata.Record
	settled  int
}

// Step decides one request: the records that carry it out, none where it is refused or changes nothing, and the response. It is
// pure: the same arguments, with a random source in the same state, give the same results.
func Step(img *metadata.Image, settings Settings, request Request, rnd random.Source) ([]metadata.Record, Response) {
	s := &step{img: img, settings: settings, random: rnd}
	response := request.step(s)
	return s.records, response
}

func (s *step) add(records ...metadata.Record) { s.records = append(s.records, records...) }

// settle makes the records so far visible in the image of the step.
func (s *step) settle() {
	img, _, err := metadata.Apply(s.img, s.img.Index(), s.records[s.settled:])
	invariant.Check(err == nil, "controller wrote records that do not fit: %v", err)
	s.img, s.settled = img, len(s.records)
}

// drop forgets the records, for a request that only asks whether it would be carried out.
func (s *step) drop() { s.records, s.settled = nil, 0 }

// defaultReplicationFactor is the factor of a topic that names none.
func (s *step) defaultReplicationFactor() int16 {
	switch {
	case s.settings.ReplicationFactor > 0:
		return s.settings.ReplicationFactor
	case len(s.img.Brokers()) >= 3:
		return 3
	}
	return 1
}
