package handler

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// The topics on which coordinators keep their state. The names are Kafka's and frozen.
const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
	shareStateTopic   = "__share_group_state"
)

func isInternal(topic string) bool {
	return topic == offsetsTopic || topic == transactionsTopic || topic == shareStateTopic
}

// newOffsetsTopic asks for __consumer_offsets with the settings that Kafka gives it. A cluster that has fewer brokers than the
// replication factor gets as many replicas as it has brokers, where Kafka would wait for more.
func (h *Handler) newOffsetsTopic(img *metadata.Image) controller.NewTopic {
	factor := min(h.Config.Number("offsets.topic.replication.factor"), int64(max(len(img.Brokers()), 1)))
	set := func(name, value string) controller.Config { return controller.Config{Name: name, Value: &value} }
	return controller.NewTopic{
		Name:              offsetsTopic,
		Partitions:        int32(h.Config.Number("offsets.topic.num.partitions")),
		ReplicationFactor: int16(factor),
		Configs: []controller.Config{
			set("cleanup.policy", "compact"),
			set("compression.type", "producer"),
			set("segment.bytes", strconv.FormatInt(h.Config.Number("offsets.topic.segment.bytes"), 10)),
		},
	}
}

// firstUse creates __consumer_offsets when somebody needs it. One request to the controller serves all who ask meanwhile.
type firstUse struct {
	mu      sync.Mutex // guards what follows
	waiting []func()   // a creation is under way while there is one
	told    string     // why the last creation failed; the log tells it once, not at every retry of every client
}

// withOffsetsTopic calls then when __consumer_offsets exists, or could not be created: then has to look. It does not wait.
func (h *Handler) withOffsetsTopic(then func()) {
	if h.Metadata.Image().Topic(offsetsTopic) != nil {
		then()
		return
	}
	u := &h.firstUse
	u.mu.Lock()
	made := h.Metadata.Image().Topic(offsetsTopic) != nil // by a creation that has ended meanwhile
	if !made {
		u.waiting = append(u.waiting, then)
	}
	first := !made && len(u.waiting) == 1
	u.mu.Unlock()
	switch {
	case made:
		then()
	case first:
		h.pending.Go(h.makeOffsetsTopic)
	}
}

func (h *Handler) makeOffsetsTopic() {
	err := h.createOffsetsTopic()
	u := &h.firstUse
	u.mu.Lock()
	waiting := u.waiting
	u.waiting = nil
	u.tell(h, err)
	u.mu.Unlock()
	for _, then := range waiting {
		then()
	}
}

func (h *Handler) createOffsetsTopic() error {
	create := &controller.CreateTopics{Topics: []controller.NewTopic{h.newOffsetsTopic(h.Metadata.Image())}}
	resp, err := h.askController(create)
	if err != nil {
		return err
	}
	why := resp.(*controller.CreateTopicsResponse).Topics[0].Error
	if why.Failed() && why.Code != protocol.TopicAlreadyExists {
		return fmt.Errorf("%s: %s", why.Code, why.Message)
	}
	return nil
}

func (u *firstUse) tell(h *Handler, err error) {
	why := ""
	if err != nil && !errors.Is(err, controller.ErrNoSpace) { // of which the quorum tells once
		why = err.Error()
	}
	if why != "" && why != u.told {
		h.Log.Warn("create internal topic on first use", "topic", offsetsTopic, "error", err)
	}
	u.told = why
}
