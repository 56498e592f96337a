package handler

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DescribeQuorum, versions 0 to 2: who votes on the metadata, who leads, and how far each is (KIP-595).
//
//	v1  when a voter last fetched and was last level with the leader (KIP-836)
//	v2  messages, directory ids and addresses of voters (KIP-853)
//
// The metadata log is asked for as partition 0 of a topic that is nowhere else. The epoch is the term of our quorum, offsets are
// indexes of its log; no directory ids are named, as in Kafka while voters are a setting.

// metadataLogTopic is the name under which the metadata log is asked for.
const metadataLogTopic = "__cluster_metadata"

// notHosted is Kafka's description of UNKNOWN_TOPIC_OR_PARTITION.
const notHosted = "This server does not host this topic-partition."

// itemSize is about what a small item of an answer takes, in memory and encoded, where its message is not reckoned in.
const itemSize = 96

func serveDescribeQuorum(h *Handler, c call, req *kmsg.DescribeQuorumRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	if h.forControllers(c.conn) && h.Quorum.Leader() != h.BrokerID {
		resp.ErrorCode, resp.ErrorMessage = int16(protocol.NotLeaderOrFollower), new("This node does not lead the quorum of the metadata.")
		return resp
	}
	state, err := h.Quorum.State(c.ctx)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(protocol.NotLeaderOrFollower), new("No node was found to lead the quorum of the metadata.")
		return resp
	}
	resp.ErrorMessage = new("") // Kafka sends "" for no message
	asked := len(req.Topics) == 1 && req.Topics[0].Topic == metadataLogTopic && len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeQuorumResponseTopic()
		rt.Topic = t.Topic
		if !c.charge(int64(len(t.Partitions)) * (2*itemSize + int64(len(notHosted)))) {
			return nil
		}
		for _, p := range t.Partitions {
			rp := kmsg.NewDescribeQuorumResponseTopicPartition()
			rp.Partition = p.Partition
			if asked {
				h.describeQuorum(state, &rp)
			} else {
				rp.ErrorCode, rp.ErrorMessage = int16(protocol.UnknownTopicOrPartition), new(notHosted)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if asked {
		resp.Nodes = h.voterNodes(c)
	}
	return resp
}

// describeQuorum fills in who votes, who follows, and how far each is.
func (h *Handler) describeQuorum(state QuorumState, out *kmsg.DescribeQuorumResponseTopicPartition) {
	out.ErrorMessage = new("")
	out.LeaderID, out.LeaderEpoch, out.HighWatermark = state.Leader, state.Epoch, state.End
	replicas := func(all []QuorumReplica) (list []kmsg.DescribeQuorumResponseTopicPartitionReplicaState) {
		for _, r := range all {
			rs := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
			rs.ReplicaID, rs.LogEndOffset = r.Node, r.End
			rs.LastFetchTimestamp, rs.LastCaughtUpTimestamp = sinceEpoch(r.Heard), sinceEpoch(r.CaughtUp)
			list = append(list, rs)
		}
		return list
	}
	out.CurrentVoters, out.Observers = replicas(state.Voters), replicas(state.Observers)
}

func sinceEpoch(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

// voterNodes says where the voters are reached by others of their kind.
func (h *Handler) voterNodes(c call) (nodes []kmsg.DescribeQuorumResponseNode) {
	if h.Config.Alone() {
		return []kmsg.DescribeQuorumResponseNode{h.voterAddresses(c)}
	}
	name := h.Config.ControllerListener()
	for _, v := range h.Config.Voters {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = v.ID
		rl := kmsg.NewDescribeQuorumResponseNodeListener()
		rl.Name, rl.Host, rl.Port = name, v.Host, uint16(v.Port)
		node.Listeners = append(node.Listeners, rl)
		nodes = append(nodes, node)
	}
	return nodes
}

// voterAddresses says where the one voter is reached by others of its kind: where controller.quorum.voters says, or else where its
// listeners for controllers are. Without such a listener nobody reaches it.
func (h *Handler) voterAddresses(c call) kmsg.DescribeQuorumResponseNode {
	node := kmsg.NewDescribeQuorumResponseNode()
	node.NodeID = h.BrokerID
	for i, l := range h.Controllers {
		rl := kmsg.NewDescribeQuorumResponseNodeListener()
		host, port, ok := h.controllerEndpoint(l, c.conn)
		if voters := h.Config.Voters; len(voters) > 0 && voters[0].Port > 0 {
			if i > 0 { // a voter has one address there, which is that of the first listener
				break
			}
			host, port, ok = voters[0].Host, int32(voters[0].Port), true
		}
		if ok {
			rl.Name, rl.Host, rl.Port = l.Name, host, uint16(port)
			node.Listeners = append(node.Listeners, rl)
		}
	}
	return node
}
