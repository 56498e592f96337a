package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/vfs"
)

// TestFirstUseOfGroups goes to the coordinators that the first FindCoordinator of a cluster names, as fast as it can, where one of them is slow to learn
// of __consumer_offsets: none says that it is not the coordinator, and none that it is loading what is empty.
func TestFirstUseOfGroups(t *testing.T) {
	c := newSeveral(t, "")
	var gate atomic.Pointer[chan struct{}] // holds up what is written to the slow node's metadata log
	slow := 0
	c.fault = func(id int, op vfs.Op) error {
		if held := gate.Load(); held != nil && id == slow && op.Kind.Changes() && strings.Contains(op.Name, "quorum") {
			<-*held
		}
		return nil
	}
	c.start(1, 2, 3)
	for _, n := range c.nodes {
		c.until("three brokers that serve", n, unfenced(1, 2, 3))
	}
	lead := c.leader()
	slow = lead%3 + 1
	cl := c.client(kgo.RequestRetries(0))
	for id := 1; id <= 3; id++ { // so that connections are there, and franz-go knows what the brokers speak
		if _, err := cl.Broker(id).Request(t.Context(), kmsg.NewPtrMetadataRequest()); err != nil {
			t.Fatal(err)
		}
	}

	held := make(chan struct{})
	gate.Store(&held)
	open := func() {
		if gate.Swap(nil) != nil {
			close(held)
		}
	}
	defer open()
	find := kmsg.NewPtrFindCoordinatorRequest()
	for i := range 30 {
		find.CoordinatorKeys = append(find.CoordinatorKeys, fmt.Sprint("group-", i))
	}
	found, err := find.RequestWith(t.Context(), cl.Broker(lead))
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, len(find.CoordinatorKeys))
	var asking sync.WaitGroup
	defer asking.Wait()
	at := map[int32]int{}
	for _, g := range found.Coordinators {
		if g.ErrorCode != 0 {
			t.Fatalf("found %+v", g)
		}
		at[g.NodeID]++
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID = g.Key, "stranger"
		asking.Go(func() {
			resp, err := beat.RequestWith(t.Context(), cl.Broker(int(g.NodeID)))
			if err == nil {
				err = kerr.ErrorForCode(resp.ErrorCode)
			}
			if errors.Is(err, kerr.UnknownMemberID) { // what a coordinator says
				answers <- nil
			} else {
				answers <- fmt.Errorf("broker %d of group %s: %w", g.NodeID, g.Key, err)
			}
		})
	}
	if len(at) != 3 {
		t.Errorf("30 groups are kept by brokers %v", at)
	}
	for i := range find.CoordinatorKeys {
		if i == at[int32(lead)] { // as many have been answered: there is nothing to wait for
			open()
		}
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}
