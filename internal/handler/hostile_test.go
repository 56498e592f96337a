package handler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/server"
)

// idle returns a handler of a broker without topics.
func idle() *Handler {
	return &Handler{Options: Options{BrokerID: 1, Config: config.Default(), Live: config.Default, Metadata: metadata.NewPublisher()}}
}

// TestManyPartitionsInDeleteRecords names as many partitions as a request may hold. Looking at each with each would take hours.
func TestManyPartitionsInDeleteRecords(t *testing.T) {
	const many = 1 << 19
	req := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.DeleteRecordsRequestTopic{Topic: "orders"}
	for i := range int32(many) {
		topic.Partitions = append(topic.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: i % (many - 1)})
	}
	req.Topics = append(req.Topics, topic)
	answered := make(chan *kmsg.DeleteRecordsResponse, 1)
	go serveDeleteRecords(idle(), call{version: 2}, req, func(resp kmsg.Response) { answered <- resp.(*kmsg.DeleteRecordsResponse) })
	select {
	case resp := <-answered:
		parts := resp.Topics[0].Partitions
		if len(parts) != many-1 || parts[0].Partition != 1 || parts[many-2].Partition != 0 {
			t.Errorf("%d answers, from partition %d to %d", len(parts), parts[0].Partition, parts[len(parts)-1].Partition)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no answer in 30 seconds")
	}
}

// TestRepeatedResourcesArePaidFor describes this broker again and again, which costs eight bytes in the request and 50 kB in the answer.
func TestRepeatedResourcesArePaidFor(t *testing.T) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeDocumentation = true
	describe := func(times int) (kmsg.Response, int64) {
		req.Resources = nil
		for range times {
			req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: resourceBroker, ResourceName: "1"})
		}
		left := int64(1 << 20)
		resp := serveDescribeConfigs(idle(), call{version: 4, charge: func(n int64) bool { left -= n; return left >= 0 }}, req)
		return resp, left
	}
	if resp, left := describe(1); resp == nil || left != 1<<20 || len(resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs) < 100 {
		t.Errorf("one description was answered %v and left %d bytes", resp, left)
	}
	if resp, left := describe(2); resp == nil || left == 1<<20 {
		t.Errorf("two descriptions left %d bytes", left)
	}
	if resp, _ := describe(10000); resp != nil {
		t.Error("descriptions were made without memory")
	}
}

// TestLargeProduceIsNotKept sees that the pool does not hold on to what one huge request needed.
func TestLargeProduceIsNotKept(t *testing.T) {
	p := new(produce)
	p.h = idle()
	p.version = 9
	p.req.Topics = make([]protocol.ProduceTopic, 100000)
	p.layOut()
	p.release()
	if n := cap(p.resp.Topics); n > 10000 {
		t.Errorf("a response of %d topics is kept", n)
	}
}

// manyGroups is more than any client asks for at once.
const manyGroups = 100_000

// TestManyGroupsInOneRequest asks about a hundred thousand groups at once, which must take no more than linear time.
func TestManyGroupsInOneRequest(t *testing.T) {
	r := newRig(t, "")
	names := make([]string, manyGroups)
	for i := range names {
		names[i] = fmt.Sprint("group-", i)
	}
	r.groups.reply(nil, nil)
	r.groups.answer = func(request any) (any, error) {
		if _, ok := request.(*group.DeleteRequest); ok {
			return &group.DeleteResponse{Code: protocol.GroupIDNotFound}, nil
		}
		return &group.DescribeResponse{State: "Dead"}, nil
	}
	w := r.dial()
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = names
	if resp := roundTrip[*kmsg.DescribeGroupsResponse](w, 5, describe); len(resp.Groups) != manyGroups || resp.Groups[manyGroups-1].Group != names[manyGroups-1] {
		t.Errorf("%d groups are described", len(resp.Groups))
	}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = append(names, names...)
	if resp := roundTrip[*kmsg.DeleteGroupsResponse](w, 2, remove); len(resp.Groups) != manyGroups || resp.Groups[0].ErrorCode != int16(protocol.GroupIDNotFound) {
		t.Errorf("%d groups are deleted", len(resp.Groups))
	}
	if resp := roundTrip[*kmsg.FindCoordinatorResponse](w, 4, find(keyGroup, names...)); len(resp.Coordinators) != manyGroups || resp.Coordinators[manyGroups-1].NodeID != testNode {
		t.Errorf("%d groups are found", len(resp.Coordinators))
	}
}

// TestQuestionsAreBounded sees that a machine which takes its time is not given all the questions of a request.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "")
		r.groups.reply(nil, nil)
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = make([]string, 1000)
		w := r.dial()
		w.send(5, req)
		for left := len(req.Groups); left > 0; left-- {
			synctest.Wait()
			if n := len(r.groups.held); n != min(left, askedAtOnce) {
				t.Fatalf("%d questions wait, %d are left", n, left)
			}
			(<-r.groups.held)(&group.DescribeResponse{State: "Dead"}, nil)
		}
		if resp, err := w.receive(5, req); err != nil || len(resp.(*kmsg.DescribeGroupsResponse).Groups) != len(req.Groups) {
			t.Errorf("answer %v, %v", resp, err)
		}
		r.stop()
	})
}

func TestManyMembersLeave(t *testing.T) {
	r := newRig(t, "")
	r.groups.reply(nil, nil)
	r.groups.answer = func(request any) (any, error) {
		resp := &group.LeaveResponse{}
		for _, m := range request.(*group.LeaveRequest).Members {
			resp.Members = append(resp.Members, group.LeftMember{Member: m.Member, Instance: m.Instance, Code: protocol.UnknownMemberID})
		}
		return resp, nil
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "orders"
	for range manyGroups {
		req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: "me", InstanceID: new("disk")})
	}
	if resp := roundTrip[*kmsg.LeaveGroupResponse](r.dial(), 5, req); len(resp.Members) != manyGroups {
		t.Errorf("%d members are answered", len(resp.Members))
	}
}

// TestAnswersOfGroupsArePaidFor asks for answers that are far larger than the question, without memory for them.
func TestAnswersOfGroupsArePaidFor(t *testing.T) {
	r := newRig(t, "")
	r.groups.reply(nil, nil)
	r.groups.answer = func(request any) (any, error) {
		if _, ok := request.(*group.DeleteRequest); ok {
			return &group.DeleteResponse{}, nil
		}
		return &group.DescribeResponse{State: "Stable", Members: make([]group.DescribedMember, 1000)}, nil
	}
	large := []byte(strings.Repeat("x", 1000))
	for name, ask := range map[string]func(c call, answer func(kmsg.Response)){
		"describe": func(c call, answer func(kmsg.Response)) {
			serveDescribeGroups(r.h, c, &kmsg.DescribeGroupsRequest{Groups: []string{"a", "a", "a", "a", "a"}}, answer)
		},
		"join": func(c call, answer func(kmsg.Response)) {
			answer(joined(c, &group.JoinResponse{Members: slices.Repeat([]group.JoinMember{{Metadata: large}}, 1000)}))
		},
		"find": func(c call, answer func(kmsg.Response)) {
			serveFindCoordinator(r.h, c, find(3, make([]string, 10000)...), answer) // of no kind, and told so at length
		},
		"delete": func(c call, answer func(kmsg.Response)) {
			serveDeleteGroups(r.h, c, &kmsg.DeleteGroupsRequest{Groups: make([]string, 10000)}, answer)
		},
	} {
		for _, budget := range []int64{100_000, math.MaxInt64} {
			left, answered := budget, make(chan kmsg.Response, 1)
			c := call{ctx: t.Context(), version: 4, charge: func(n int64) bool {
				if left < n {
					return false
				}
				left -= n
				return true
			}}
			ask(c, func(resp kmsg.Response) { answered <- resp })
			if resp := <-answered; (resp == nil) != (budget == 100_000) {
				t.Errorf("%s with %d bytes is answered: %v", name, budget, resp != nil)
			}
		}
	}
}

// TestQuestionsToGroupsArePaidFor names so much in a request that what is made of it takes far more than the bytes that were received.
func TestQuestionsToGroupsArePaidFor(t *testing.T) {
	r := newRig(t, "")
	for name, ask := range map[string]func(c call, answer func(kmsg.Response)){
		"join": func(c call, answer func(kmsg.Response)) {
			req := join()
			req.Protocols = make([]kmsg.JoinGroupRequestProtocol, 10000)
			serveJoinGroup(r.h, c, req, answer)
		},
		"join with metadata": func(c call, answer func(kmsg.Response)) {
			req := join()
			req.Protocols[0].Metadata = make([]byte, 1<<20)
			serveJoinGroup(r.h, c, req, answer)
		},
		"sync": func(c call, answer func(kmsg.Response)) {
			serveSyncGroup(r.h, c, &kmsg.SyncGroupRequest{Group: "g", GroupAssignment: make([]kmsg.SyncGroupRequestGroupAssignment, 10000)}, answer)
		},
		"leave": func(c call, answer func(kmsg.Response)) {
			serveLeaveGroup(r.h, c, &kmsg.LeaveGroupRequest{Group: "g", Members: make([]kmsg.LeaveGroupRequestMember, 10000)}, answer)
		},
	} {
		for _, budget := range []int64{100_000, math.MaxInt64} {
			r.groups.reply(nil, coordinator.ErrNotCoordinator)
			asked := false
			c := call{ctx: t.Context(), version: 4, conn: new(server.Conn), charge: func(n int64) bool { asked = asked || n > 0; return n <= budget }}
			answered := make(chan kmsg.Response, 1)
			ask(c, func(resp kmsg.Response) { answered <- resp })
			if resp := <-answered; !asked || (resp == nil) != (budget == 100_000) || (r.groups.last() == nil) != (budget == 100_000) {
				t.Errorf("%s with %d bytes is answered: %v, asked for memory: %v", name, budget, resp != nil, asked)
			}
		}
	}
}

// TestListOfGroupsIsMadeElsewhere: whoever hands over the last groups is the committer of the disk, maybe, and must not make the list of
// all of them.
func TestListOfGroupsIsMadeElsewhere(t *testing.T) {
	r := newRig(t, "")
	r.groups.reply([]any{&group.ListResponse{Groups: make([]group.ListedGroup, 3)}}, nil)
	handedOver, answered := make(chan struct{}), make(chan kmsg.Response, 1)
	serveListGroups(r.h, call{ctx: t.Context(), version: 4}, kmsg.NewPtrListGroupsRequest(), func(resp kmsg.Response) {
		<-handedOver
		answered <- resp
	})
	close(handedOver)
	if resp := (<-answered).(*kmsg.ListGroupsResponse); len(resp.Groups) != 3 || resp.ErrorCode != 0 {
		t.Errorf("answered %+v", resp)
	}
}

// TestGarbageForGroups sends what is no request of these APIs. The connection ends, and nothing is left of it.
func TestGarbageForGroups(t *testing.T) {
	r := newRig(t, "")
	r.groups.reply(nil, coordinator.ErrNotCoordinator)
	random := random.Seeded(5)
	for _, key := range []protocol.APIKey{protocol.KeyFindCoordinator, protocol.KeyJoinGroup, protocol.KeyHeartbeat, protocol.KeyLeaveGroup,
		protocol.KeySyncGroup, protocol.KeyDescribeGroups, protocol.KeyListGroups, protocol.KeyDeleteGroups} {
		for v := served(key).min; v <= served(key).max; v++ {
			for _, fill := range []func([]byte){
				func(b []byte) { random.Read(b) },
				func(b []byte) { clear(b) },
				func(b []byte) {
					for i := range b {
						b[i] = 0xff
					}
				},
				func(b []byte) { // a count of elements that the bytes could hold, and zeros
					clear(b)
					binary.BigEndian.PutUint32(b, uint32(len(b)/2))
				},
			} {
				body := make([]byte, 64<<10)
				fill(body)
				frame := binary.BigEndian.AppendUint16(make([]byte, 4), uint16(key))
				frame = binary.BigEndian.AppendUint16(frame, uint16(v))
				frame = append(frame, 0, 0, 0, 1, 0, 1, 'c') // correlation id and client id
				if api, _ := protocol.Lookup(key); api.Flexible(v) {
					frame = append(frame, 0)
				}
				frame = append(frame, body...)
				binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
				w := r.dial()
				if _, err := w.conn.Write(frame); err != nil {
					continue // it was closed before all had been sent
				}
				_ = w.conn.(interface{ CloseWrite() error }).CloseWrite()
				_ = w.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.Copy(io.Discard, w.conn); errors.Is(err, network.ErrDeadline) {
					t.Errorf("%s version %d: the connection stays open", key, v)
				}
			}
		}
	}
	r.stop() // sees that no memory is left taken
}
