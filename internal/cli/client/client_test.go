package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
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
		{ErrNotServed, "", "create topic a on h:1: the broker does not serve this request; this broker does not know the request; docs/compatibility.md lists what Moldau serves"},
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

func TestUnreachable(t *testing.T) {
	o := Options{Bootstrap: "h:1"}
	for want, err := range map[string]error{
		"nothing listens there":       fmt.Errorf("dial: %w", syscall.ECONNREFUSED),
		"the host kafak is not known": &net.OpError{Err: &net.DNSError{Name: "kafak", IsNotFound: true}},
		"no answer came in time":      context.DeadlineExceeded,
		"is a broker running there?":  errors.New("EOF"),
	} {
		if got := o.unreachable(err); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
