package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Explain wraps what a broker answered: what was tried ("create topic orders"), the broker's own message if it sent one, and
// what to do next.
func (o *Options) Explain(tried string, err error, message string) error {
	return o.explain(tried, err, message, nextStep(err))
}

// ExplainTopic is Explain for what concerns one topic. Where that is not there it names the one that was probably meant.
func (o *Options) ExplainTopic(ctx context.Context, cl *kgo.Client, tried, topic string, err error, message string) error {
	next := nextStep(err)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if topics, listErr := kadm.NewClient(cl).ListTopicsWithInternal(ctx); listErr == nil {
			if near := Nearest(topic, slices.Sorted(maps.Keys(topics))); near != "" {
				next = fmt.Sprintf("did you mean %s? \"moldau topic list\" shows what there is", near)
			}
		}
	}
	return o.explain(tried, err, message, next)
}

// ExplainGroup is Explain for what concerns one group, as ExplainTopic is for topics.
func (o *Options) ExplainGroup(ctx context.Context, cl *kgo.Client, tried, group string, err error, message string) error {
	next := nextStep(err)
	if errors.Is(err, kerr.GroupIDNotFound) {
		if groups, listErr := kadm.NewClient(cl).ListGroups(ctx); listErr == nil {
			if near := Nearest(group, groups.Groups()); near != "" {
				next = fmt.Sprintf("did you mean %s? \"moldau group list\" shows what there is", near)
			}
		}
	}
	return o.explain(tried, err, message, next)
}

func (o *Options) explain(tried string, err error, message, next string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var code *kerr.Error
	if errors.As(err, &code) {
		if text = code.Message; message != "" {
			text += ": " + strings.TrimSuffix(message, ".")
		}
	}
	if next != "" {
		text += "; " + next
	}
	return &explained{fmt.Sprintf("%s on %s: %s", tried, o.Bootstrap, text), err}
}

type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// ErrNotServed is what a request ends with that no broker of the cluster knows.
var ErrNotServed = errors.New("the broker does not serve this request")

// NotServed recognizes it in the client's words, for which it has no value to compare with.
func NotServed(err error) bool {
	return errors.Is(err, ErrNotServed) || errors.Is(err, kerr.UnsupportedVersion) ||
		strings.Contains(err.Error(), "request key is unknown") || strings.Contains(err.Error(), "broker is too old")
}

func nextStep(err error) string {
	if err == nil {
		return ""
	}
	for _, hint := range []struct {
		err  error
		next string
	}{
		{kerr.UnknownTopicOrPartition, "see what there is with \"moldau topic list\""},
		{kerr.TopicAlreadyExists, "look at it with \"moldau topic describe\", or choose another name"},
		{kerr.InvalidTopicException, "use up to 249 letters, digits, points, underscores and dashes"},
		{kerr.InvalidReplicationFactor, "ask for as many replicas as there are brokers, or fewer"},
		{kerr.InvalidConfig, "docs/configuration.md lists the settings of a topic"},
		{kerr.MessageTooLarge, "raise max.message.bytes of the topic, or send smaller records"},
		{kerr.InvalidRecord, "a compacted topic takes only records with a key: give one with --key-separator"},
		{kerr.NotEnoughReplicas, "wait for replicas to come back, or send with --acks 1"},
		{kerr.OffsetOutOfRange, "start inside the log: --from start, --from end or an offset between them"},
		{kerr.TopicDeletionDisabled, "the broker has delete.topic.enable=false"},
		{kerr.TopicAuthorizationFailed, "the cluster asks for a login this command cannot give yet"},
		{kerr.GroupAuthorizationFailed, "the cluster asks for a login this command cannot give yet"},
		{kerr.GroupIDNotFound, "see what there is with \"moldau group list\""},
		{kerr.InvalidGroupID, "a group needs a name"},
		{kerr.NonEmptyGroup, "stop its members, which \"moldau group describe\" shows, or wait until their session time-out has passed"},
		{kerr.GroupSubscribedToTopic, "stop the members that subscribe to the topic; \"moldau group describe\" shows them"},
		{kerr.UnknownMemberID, "a member has joined the group meanwhile: stop it first; \"moldau group describe\" shows who it is"},
		{kerr.InvalidSessionTimeout, "the broker allows from group.min.session.timeout.ms to group.max.session.timeout.ms, 6s to 30m by default: see --session-timeout"},
		{kerr.IllegalGeneration, "the group has gone on without this member; what it printed last may come again"},
		{kerr.GroupMaxSizeReached, "stop a member of the group, or raise group.max.size of the broker"},
		{kerr.InconsistentGroupProtocol, "its members assign partitions in a way this command does not know (range, round robin and cooperative sticky); use another group"},
		{kerr.FencedInstanceID, "another member with the same --instance-id has taken its place"},
		{kerr.CoordinatorNotAvailable, "the coordinator of the group is not ready; try again, and look at the broker's log if this stays"},
		{kerr.CoordinatorLoadInProgress, "the coordinator still reads its log; try again in a moment"},
		{kgo.ErrRecordTimeout, "the broker kept refusing or did not answer; its log says why"},
		{context.DeadlineExceeded, "the broker did not answer in time; look at its log"},
	} {
		if errors.Is(err, hint.err) {
			return hint.next
		}
	}
	if NotServed(err) {
		return "this broker does not know the request; docs/compatibility.md lists what Moldau serves"
	}
	return ""
}
