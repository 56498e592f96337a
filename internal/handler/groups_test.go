package handler

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
)

func join() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = "orders", "me", "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10000, 60000
	req.Reason = new("new code" + strings.Repeat(".", 1000))
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("topics")}, {Name: "sticky"}}
	return req
}

func TestJoinGroupAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 9; v++ {
		for _, instance := range []*string{nil, new("disk-1")} {
			if v < 5 {
				instance = nil
			}
			r.groups.reply(&group.JoinResponse{
				Generation: 3, ProtocolType: new("consumer"), Protocol: new("range"), Leader: "me", Member: "me", SkipAssignment: true,
				Members: []group.JoinMember{{Member: "me", Instance: instance, Metadata: []byte("topics")}, {Member: "you"}},
			}, nil)
			req := join()
			req.InstanceID = instance
			resp := roundTrip[*kmsg.JoinGroupResponse](w, v, req)

			want := &group.JoinRequest{
				Group: "orders", Member: "me", Instance: instance, ClientID: "tester", ClientHost: "/client", // as the network in memory calls it
				SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute, ProtocolType: "consumer",
				Protocols:       []group.Protocol{{Name: "range", Metadata: []byte("topics")}, {Name: "sticky", Metadata: []byte{}}},
				RequireMemberID: v >= 4 && instance == nil, SkipAssignment: v >= 9,
			}
			if v == 0 {
				want.RebalanceTimeout = 10 * time.Second
			}
			if v >= 8 {
				want.Reason = "new code" + strings.Repeat(".", 255-len("new code"))
			}
			if got := r.groups.last(); !reflect.DeepEqual(got, want) {
				t.Errorf("version %d asked %+v, want %+v", v, got, want)
			}
			if resp.ErrorCode != 0 || resp.Generation != 3 || orEmpty(resp.Protocol) != "range" || resp.LeaderID != "me" || resp.MemberID != "me" ||
				resp.SkipAssignment != (v >= 9) || (v >= 7) != (resp.ProtocolType != nil) {
				t.Errorf("version %d answers %+v", v, resp)
			}
			if len(resp.Members) != 2 || resp.Members[0].MemberID != "me" || string(resp.Members[0].ProtocolMetadata) != "topics" ||
				(resp.Members[0].InstanceID == nil) != (instance == nil) || resp.Members[1].MemberID != "you" {
				t.Errorf("version %d answers members %+v", v, resp.Members)
			}
		}
		r.groups.reply(&group.JoinResponse{Code: protocol.MemberIDRequired, Generation: -1, Member: "fresh"}, nil)
		resp := roundTrip[*kmsg.JoinGroupResponse](w, v, join())
		if resp.ErrorCode != int16(protocol.MemberIDRequired) || resp.MemberID != "fresh" || resp.Generation != -1 || (resp.Protocol == nil) != (v >= 7) {
			t.Errorf("version %d refuses with %+v", v, resp)
		}
		r.groups.reply(&group.JoinResponse{Generation: 1, Protocol: new("")}, nil)
		if resp = roundTrip[*kmsg.JoinGroupResponse](w, v, join()); orEmpty(resp.Protocol) != "" || (resp.Protocol == nil) != (v >= 7) {
			t.Errorf("version %d answers a protocol without a name with %+v", v, resp)
		}
		req := join()
		req.Group = ""
		resp = roundTrip[*kmsg.JoinGroupResponse](w, v, req)
		if resp.ErrorCode != int16(protocol.InvalidGroupID) || resp.MemberID != "me" || resp.Generation != -1 {
			t.Errorf("version %d answers an empty group with %+v", v, resp)
		}
	}
}

func TestSyncGroupAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 5; v++ {
		r.groups.reply(&group.SyncResponse{ProtocolType: new("consumer"), Protocol: new("range"), Assignment: []byte("mine")}, nil)
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group, req.Generation, req.MemberID = "orders", 4, "me"
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "me", MemberAssignment: []byte("mine")}}
		if v == 5 {
			for _, half := range [][2]*string{{nil, new("range")}, {new("consumer"), nil}} {
				req.ProtocolType, req.Protocol = half[0], half[1]
				if resp := roundTrip[*kmsg.SyncGroupResponse](w, v, req); resp.ErrorCode != int16(protocol.InconsistentGroupProtocol) {
					t.Errorf("half a protocol is answered %+v", resp)
				}
			}
		}
		req.InstanceID, req.ProtocolType, req.Protocol = new("disk-1"), new("consumer"), new("range")
		resp := roundTrip[*kmsg.SyncGroupResponse](w, v, req)
		want := &group.SyncRequest{Group: "orders", Generation: 4, Member: "me", Assignments: []group.Assignment{{Member: "me", Bytes: []byte("mine")}}}
		if v >= 3 {
			want.Instance = new("disk-1")
		}
		if v >= 5 {
			want.ProtocolType, want.Protocol = new("consumer"), new("range")
		}
		if got := r.groups.last(); !reflect.DeepEqual(got, want) {
			t.Errorf("version %d asked %+v, want %+v", v, got, want)
		}
		if resp.ErrorCode != 0 || string(resp.MemberAssignment) != "mine" || (resp.ProtocolType != nil) != (v >= 5) || (resp.Protocol != nil) != (v >= 5) {
			t.Errorf("version %d answers %+v", v, resp)
		}
		req.Group = ""
		if resp := roundTrip[*kmsg.SyncGroupResponse](w, v, req); resp.ErrorCode != int16(protocol.InvalidGroupID) || resp.MemberAssignment == nil {
			t.Errorf("version %d answers an empty group with %+v", v, resp)
		}
	}
}

func TestHeartbeatAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 4; v++ {
		r.groups.reply(&group.HeartbeatResponse{Code: protocol.RebalanceInProgress}, nil)
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.Generation, req.MemberID, req.InstanceID = "orders", 4, "me", new("disk-1")
		if resp := roundTrip[*kmsg.HeartbeatResponse](w, v, req); resp.ErrorCode != int16(protocol.RebalanceInProgress) {
			t.Errorf("version %d answers %+v", v, resp)
		}
		want := &group.HeartbeatRequest{Group: "orders", Generation: 4, Member: "me"}
		if v >= 3 {
			want.Instance = new("disk-1")
		}
		if got := r.groups.last(); !reflect.DeepEqual(got, want) {
			t.Errorf("version %d asked %+v, want %+v", v, got, want)
		}
		for _, id := range []string{"", "\xfe"} {
			req.Group = id
			if resp := roundTrip[*kmsg.HeartbeatResponse](w, v, req); resp.ErrorCode != int16(protocol.InvalidGroupID) {
				t.Errorf("version %d answers group %q with %+v", v, id, resp)
			}
		}
	}
}

func TestLeaveGroupAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 5; v++ {
		r.groups.reply(&group.LeaveResponse{Members: []group.LeftMember{{Member: "me", Code: protocol.UnknownMemberID}}}, nil)
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.MemberID = "orders", "me"
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "me", Reason: new("done")}, {InstanceID: new("disk-1")}}
		resp := roundTrip[*kmsg.LeaveGroupResponse](w, v, req)
		want := &group.LeaveRequest{Group: "orders", Members: []group.LeaveMember{{Member: "me"}}}
		if v >= 3 {
			want.Members = append(want.Members, group.LeaveMember{Instance: new("disk-1")})
		}
		if v >= 5 {
			want.Members[0].Reason = "done"
		}
		if got := r.groups.last(); !reflect.DeepEqual(got, want) {
			t.Errorf("version %d asked %+v, want %+v", v, got, want)
		}
		if v < 3 && resp.ErrorCode != int16(protocol.UnknownMemberID) {
			t.Errorf("version %d answers %+v", v, resp)
		}
		if v >= 3 && (resp.ErrorCode != 0 || len(resp.Members) != 1 || resp.Members[0].MemberID != "me" || resp.Members[0].ErrorCode != int16(protocol.UnknownMemberID)) {
			t.Errorf("version %d answers %+v", v, resp)
		}
		req.Group = ""
		if resp := roundTrip[*kmsg.LeaveGroupResponse](w, v, req); resp.ErrorCode != int16(protocol.InvalidGroupID) || len(resp.Members) != 0 {
			t.Errorf("version %d answers an empty group with %+v", v, resp)
		}
	}
}

func TestDescribeGroupsAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 6; v++ {
		r.groups.reply(nil, nil)
		r.groups.answer = func(request any) (any, error) {
			switch req := request.(*group.DescribeRequest); {
			case req.MissingErr != (v >= 6):
				t.Errorf("version %d asked %+v", v, req)
			case req.Group == "moved":
				return nil, coordinator.ErrNotCoordinator
			case req.Group == "orders":
				return &group.DescribeResponse{State: "Stable", ProtocolType: "consumer", Protocol: "range", Members: []group.DescribedMember{
					{Member: "me", Instance: new("disk-1"), ClientID: "c", ClientHost: "/h", Metadata: []byte("topics"), Assignment: []byte("mine")}}}, nil
			case v >= 6:
				return &group.DescribeResponse{Code: protocol.GroupIDNotFound, Message: new("Group  not found."), State: "Dead"}, nil
			}
			return &group.DescribeResponse{State: "Dead"}, nil
		}
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{"orders", "", "moved", "orders"}, true
		resp := roundTrip[*kmsg.DescribeGroupsResponse](w, v, req)
		got := ""
		for _, g := range resp.Groups {
			got += fmt.Sprintf("%s:%s:%d:%s:%d ", g.Group, g.State, g.ErrorCode, orEmpty(g.ErrorMessage), g.AuthorizedOperations)
		}
		operations := int32(notRequested)
		if v >= 3 {
			operations = 3400 // as Kafka prints it
		}
		dead := fmt.Sprintf(":Dead:0::%d ", operations)
		if v >= 6 {
			dead = fmt.Sprintf(":Dead:69:Group  not found.:%d ", notRequested)
		}
		stable := fmt.Sprintf("orders:Stable:0::%d ", operations)
		if want := stable + dead + fmt.Sprintf("moved::16::%d ", notRequested) + stable; got != want {
			t.Errorf("version %d answers %q, want %q", v, got, want)
		}
		m := resp.Groups[0].Members[0]
		if m.MemberID != "me" || (m.InstanceID != nil) != (v >= 4) || m.ClientID != "c" || m.ClientHost != "/h" || string(m.ProtocolMetadata) != "topics" || string(m.MemberAssignment) != "mine" {
			t.Errorf("version %d answers member %+v", v, m)
		}
	}
	if resp := roundTrip[*kmsg.DescribeGroupsResponse](w, 6, kmsg.NewPtrDescribeGroupsRequest()); len(resp.Groups) != 0 {
		t.Errorf("nothing is described as %+v", resp)
	}
}

func TestListGroupsAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 5; v++ {
		r.groups.reply([]any{
			&group.ListResponse{Groups: []group.ListedGroup{{Group: "a", ProtocolType: "consumer", State: "Stable", Type: "classic"}}},
			&group.ListResponse{},
			&group.ListResponse{Groups: []group.ListedGroup{{Group: "b", State: "Empty", Type: "classic"}}},
		}, nil)
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = []string{"stable", "Empty", "nonsense", "STABLE"}, []string{"nonsense"}
		resp := roundTrip[*kmsg.ListGroupsResponse](w, v, req)
		want := &group.ListRequest{}
		got := *r.groups.last().(*group.ListRequest)
		if v >= 4 {
			want.States = []string{"stable", "empty"}
		}
		if v >= 5 {
			want.Types = []string{""} // lets nothing pass, while none would let all
		}
		if !slices.Equal(got.States, want.States) || !slices.Equal(got.Types, want.Types) {
			t.Errorf("version %d asked %+v, want %+v", v, got, want)
		}
		if len(resp.Groups) != 2 || resp.Groups[0].Group != "a" || resp.Groups[0].ProtocolType != "consumer" ||
			(resp.Groups[0].GroupState == "Stable") != (v >= 4) || (resp.Groups[1].GroupType == "classic") != (v >= 5) {
			t.Errorf("version %d answers %+v", v, resp.Groups)
		}
		r.groups.reply(nil, coordinator.ErrLoading)
		if resp := roundTrip[*kmsg.ListGroupsResponse](w, v, req); resp.ErrorCode != int16(protocol.CoordinatorLoadInProgress) {
			t.Errorf("version %d answers %+v while a shard loads", v, resp)
		}
	}
}

func TestDeleteGroupsAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 3; v++ {
		r.groups.reply(nil, nil)
		r.groups.answer = func(request any) (any, error) {
			switch request.(*group.DeleteRequest).Group {
			case "a":
				return &group.DeleteResponse{}, nil
			case "moved":
				return nil, coordinator.ErrNotCoordinator
			}
			return &group.DeleteResponse{Code: protocol.NonEmptyGroup, Message: new("why")}, nil
		}
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"a", "", "a", "moved", ""}
		got := ""
		for _, g := range roundTrip[*kmsg.DeleteGroupsResponse](w, v, req).Groups {
			got += fmt.Sprintf("%s:%d:%s ", g.Group, g.ErrorCode, orEmpty(g.ErrorMessage))
		}
		want := "a:0: :68: moved:16: "
		if v >= 3 {
			want = "a:0: :68:why moved:16: "
		}
		if got != want {
			t.Errorf("version %d answers %q, want %q", v, got, want)
		}
		if len(r.groups.asked) != 3 {
			t.Errorf("version %d asked %d times", v, len(r.groups.asked))
		}
	}
}

// TestCoordinatorErrors sends what clients do when the coordinator has moved, loads, or cannot write.
func TestCoordinatorErrors(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for err, want := range map[error]protocol.ErrorCode{
		coordinator.ErrNotCoordinator: protocol.NotCoordinator, coordinator.ErrLoading: protocol.CoordinatorLoadInProgress,
		coordinator.ErrUnavailable: protocol.CoordinatorNotAvailable, coordinator.ErrTimeout: protocol.CoordinatorNotAvailable,
		fmt.Errorf("read the log: %w", errors.New("broken")): protocol.NotCoordinator,
		// What it was that kept it from its log is nothing for a member, whose library knows it not of these requests.
		fmt.Errorf("%w: %w", coordinator.ErrNotCoordinator, partition.ErrNotLeader):      protocol.NotCoordinator,
		fmt.Errorf("%w: %w", coordinator.ErrUnavailable, partition.ErrNotEnoughReplicas): protocol.CoordinatorNotAvailable,
	} {
		r.groups.reply(nil, err)
		if resp := roundTrip[*kmsg.JoinGroupResponse](w, 9, join()); resp.ErrorCode != int16(want) || resp.MemberID != "" {
			t.Errorf("%v: join is answered %+v", err, resp)
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group = "orders"
		if resp := roundTrip[*kmsg.SyncGroupResponse](w, 4, sync); resp.ErrorCode != int16(want) {
			t.Errorf("%v: sync is answered %+v", err, resp)
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.Members = "orders", []kmsg.LeaveGroupRequestMember{{MemberID: "me"}}
		for v := int16(0); v <= 5; v++ {
			if resp := roundTrip[*kmsg.LeaveGroupResponse](w, v, leave); resp.ErrorCode != int16(want) || len(resp.Members) != 0 {
				t.Errorf("%v: leave %d is answered %+v", err, v, resp)
			}
		}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group = "orders"
		if want == protocol.CoordinatorLoadInProgress {
			want = protocol.None
		}
		if resp := roundTrip[*kmsg.HeartbeatResponse](w, 4, beat); resp.ErrorCode != int16(want) {
			t.Errorf("%v: heartbeat is answered %+v", err, resp)
		}
	}
}

// TestAnswersInOrder sees that a connection goes on while a join waits, and that its answers keep their order all the same.
func TestAnswersInOrder(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	r.groups.reply(nil, nil)
	w.send(5, join())
	joined := <-r.groups.held
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group = "orders"
	w.send(3, beat)
	beaten := <-r.groups.held // it got here although the join waits
	beaten(&group.HeartbeatResponse{Code: protocol.RebalanceInProgress}, nil)
	joined(&group.JoinResponse{Member: "me", Generation: 1}, nil)
	if resp, err := w.receive(5, join()); err != nil || resp.(*kmsg.JoinGroupResponse).MemberID != "me" {
		t.Errorf("join is answered %+v, %v", resp, err)
	}
	if resp, err := w.receive(3, beat); err != nil || resp.(*kmsg.HeartbeatResponse).ErrorCode != int16(protocol.RebalanceInProgress) {
		t.Errorf("heartbeat is answered %+v, %v", resp, err)
	}
}

// TestBytesAreKept sees that what the machine was given outlives the request's buffer.
func TestBytesAreKept(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	r.groups.reply(&group.JoinResponse{}, nil)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.GroupAssignment = "orders", []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "me", MemberAssignment: []byte(strings.Repeat("b", 200))}}
	req := join()
	req.Protocols[0].Metadata = []byte(strings.Repeat("a", 200))
	roundTrip[*kmsg.JoinGroupResponse](w, 5, req)
	kept := r.groups.last().(*group.JoinRequest)
	r.groups.reply(&group.SyncResponse{}, nil)
	roundTrip[*kmsg.SyncGroupResponse](w, 3, sync)
	keptSync := r.groups.last().(*group.SyncRequest)
	for i := range 50 { // every buffer of that size is used again
		req.Protocols[0].Metadata = []byte(strings.Repeat(string(rune('c'+i%20)), 200))
		r.groups.reply(&group.JoinResponse{}, nil)
		roundTrip[*kmsg.JoinGroupResponse](w, 5, req)
	}
	if got := string(kept.Protocols[0].Metadata); got != strings.Repeat("a", 200) {
		t.Errorf("metadata have become %q", got)
	}
	if got := string(keptSync.Assignments[0].Bytes); got != strings.Repeat("b", 200) {
		t.Errorf("an assignment has become %q", got)
	}
}

// TestGoneMemberIsForgotten ends connections whose joins and syncs wait: nothing is held for them, and the late answer does no harm.
func TestGoneMemberIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "")
		r.groups.reply(nil, nil)
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group = "orders"
		for req, late := range map[kmsg.Request]any{join(): &group.JoinResponse{}, sync: &group.SyncResponse{}} {
			w := r.dial()
			w.send(4, req)
			answer := <-r.groups.held
			if r.server.MemoryInUse() == 0 {
				t.Errorf("%T waits and holds nothing", req)
			}
			w.conn.Close()
			synctest.Wait()
			if n := r.server.MemoryInUse(); n != 0 {
				t.Errorf("%T holds %d bytes for a client that is gone", req, n)
			}
			answer(late, nil)
		}
		// A stop does not wait for rebalances.
		w := r.dial()
		w.send(5, join())
		<-r.groups.held
		go r.stop()
		if resp, err := w.receive(5, join()); err != nil || resp.(*kmsg.JoinGroupResponse).ErrorCode != int16(protocol.NotCoordinator) {
			t.Errorf("the stop answers %+v, %v", resp, err)
		}
		synctest.Wait()
	})
}

func TestClientIDIsText(t *testing.T) {
	r := newRig(t, "")
	r.groups.reply(&group.JoinResponse{}, nil)
	w := r.dial()
	req := join()
	req.SetVersion(5)
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("a\xffb")).AppendRequest(nil, req, 1)
	if _, err := w.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := w.receive(5, req); err != nil {
		t.Fatal(err)
	}
	if got := r.groups.last().(*group.JoinRequest).ClientID; got != "a\uFFFDb" {
		t.Errorf("client id %q", got)
	}
}

func TestAddressAsJavaPrintsIt(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "/127.0.0.1", "::1": "/0:0:0:0:0:0:0:1", "fe80::abcd:0:12": "/fe80:0:0:0:0:abcd:0:12", "pipe": "/pipe",
	} {
		if got := javaAddress(host); got != want {
			t.Errorf("%s is printed %s, want %s", host, got, want)
		}
	}
}
