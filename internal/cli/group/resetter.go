package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/client"
)

// resetter finds out what a plan depends on, and commits it.
type resetter struct {
	asker
	group string
	notes io.Writer
}

func (r resetter) plan(ctx context.Context, goal aim, choices []choice) ([]change, error) {
	tried := "reset group " + r.group
	one, err := r.state(ctx, r.group)
	switch {
	case errors.Is(err, kerr.GroupIDNotFound) && (len(choices) > 0 || goal.kind == fromFile):
		fmt.Fprintf(r.notes, "moldau: there is no group %s yet; these offsets would be its first\n", r.group)
	case err != nil:
		return nil, err
	case len(one.Members) > 0 || one.State != "Empty" && one.State != "Dead":
		return nil, r.to.Explain(tried, &liveError{one.State, len(one.Members)}, "")
	}
	committed := kadm.OffsetResponses{}
	if one != nil {
		if committed, err = r.committed(ctx, r.group); err != nil {
			return nil, err
		}
	}
	places, err := r.places(ctx, goal, choices, committed)
	if err != nil {
		return nil, err
	}
	all, err := r.know(ctx, goal, places, committed)
	if err != nil {
		return nil, err
	}
	changes, err := goal.plan(all)
	return changes, r.to.Explain(tried, err, "")
}

// liveError says that a group is in use.
type liveError struct {
	state   string
	members int
}

func (e *liveError) Error() string {
	return fmt.Sprintf("the group is %s and has %s that would commit over it; stop every member first, \"moldau group describe\" shows who they are", e.state, members(e.members))
}

// places are the partitions to reset, in order.
func (r resetter) places(ctx context.Context, goal aim, choices []choice, committed kadm.OffsetResponses) ([]place, error) {
	var places []place
	switch {
	case goal.kind == fromFile:
		places = slices.Collect(maps.Keys(goal.file))
	case len(choices) == 0:
		committed.Each(func(o kadm.OffsetResponse) { places = append(places, place{o.Topic, o.Partition}) })
		if len(places) == 0 {
			return nil, r.to.Explain("reset group "+r.group, errors.New("it has committed nothing; name topics with --topic"), "")
		}
	}
	for _, one := range choices {
		if len(one.partitions) == 0 {
			topics, err := r.adm.ListTopicsWithInternal(ctx, one.topic)
			if err == nil {
				err = topics[one.topic].Err
			}
			if err != nil {
				return nil, r.to.ExplainTopic(ctx, r.cl, "reset group "+r.group+" in topic "+one.topic, one.topic, err, "")
			}
			one.partitions = topics[one.topic].Partitions.Numbers()
		}
		for _, p := range one.partitions {
			places = append(places, place{one.topic, p})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return slices.Compact(places), nil
}

// know asks for the ends of the logs and, where the aim is a time, for what is there at that time.
func (r resetter) know(ctx context.Context, goal aim, places []place, committed kadm.OffsetResponses) ([]known, error) {
	var topics []string
	for _, p := range places {
		topics = append(topics, p.topic)
	}
	topics = slices.Compact(topics)
	e, err := r.ends(ctx, topics)
	if err != nil {
		return nil, err
	}
	var timed kadm.ListedOffsets
	if goal.kind == toTime {
		timed, err = r.adm.ListOffsetsAfterMilli(ctx, goal.at.UnixMilli(), topics...)
		if err != nil && !partial(err) {
			return nil, r.to.Explain("find the offsets at "+goal.at.UTC().Format(time.RFC3339Nano), err, "")
		}
	}
	var all []known
	for _, p := range places {
		k := known{place: p, committed: -1, timed: -1}
		if k.start, k.end, err = e.of(p.topic, p.partition); err != nil {
			return nil, r.to.ExplainTopic(ctx, r.cl, fmt.Sprintf("reset group %s in %v", r.group, p), p.topic, err, "")
		}
		if o, ok := committed.Lookup(p.topic, p.partition); ok {
			k.committed = o.At
		}
		if goal.kind == toTime {
			o, ok := timed.Lookup(p.topic, p.partition)
			if !ok {
				o.Err = kerr.UnknownTopicOrPartition
			}
			if o.Err != nil {
				return nil, r.to.Explain(fmt.Sprintf("find the offset at that time in %v", p), o.Err, "")
			}
			if o.Timestamp >= 0 { // with the end of the log comes none
				k.timed = o.Offset
			}
		}
		all = append(all, k)
	}
	return all, nil
}

func (r resetter) commit(ctx context.Context, changes []change) error {
	tried := "commit offsets of group " + r.group
	offsets := kadm.Offsets{}
	for _, c := range changes {
		offsets.Add(kadm.Offset{Topic: c.Topic, Partition: c.Partition, At: c.After, LeaderEpoch: -1})
	}
	var answers kadm.OffsetResponses
	err := client.UntilReady(ctx, func() (err error) {
		if answers, err = r.adm.CommitOffsets(ctx, r.group, offsets); err == nil {
			err = answers.Error()
		}
		return err
	})
	if answers == nil && err != nil {
		return r.to.Explain(tried, err, "")
	}
	var failed error
	for _, a := range answers.Sorted() {
		if errors.Is(a.Err, kerr.UnknownMemberID) || errors.Is(a.Err, kerr.RebalanceInProgress) { // of all partitions, so it is said once
			return r.to.Explain(tried, a.Err, "")
		}
		failed = errors.Join(failed, r.to.Explain(fmt.Sprintf("%s for %v", tried, place{a.Topic, a.Partition}), a.Err, ""))
	}
	return failed
}
