package client

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestExplainSaysWhatToDoNext(t *testing.T) {
	o := Options{Bootstrap: "h:1"}
	for _, c := range []struct {
		err     error
		message string
		want    string
	}{
		{kerr.TopicAlreadyExists, "Topic 'a' already exists.", `create topic a on h:1: TOPIC_ALREADY_EXISTS: Topic 'a' already exists; look at it with "moldau topic describe", or choose another name`},
		{kerr.UnknownTopicOrPartition, "", `create topic a on h:1: UNKNOWN_TOPIC_OR_PARTITION; see what there is with "moldau topic list"`},
		{kerr.NotController, "", "create topic a on h:1: NOT_CONTROLLER"},
		{kgo.ErrRecordTimeout, "", "create topic a on h:1: " + kgo.ErrRecordTimeout.Error() + "; the broker kept refusing or did not answer; its log says why"},
		{context.DeadlineExceeded, "", "create topic a on h:1: context deadline exceeded; the broker did not answer in time; look at its log"},
	} {
		got := o.Explain("create topic a", c.err, c.message)
		if got.Error() != c.want || !errors.Is(got, c.err) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if o.Explain("x", nil, "") != nil {
		t.Error("no error is explained")
	}
}
