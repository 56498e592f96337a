package protocol

// Keys of the requests that nodes of a cluster send one another, on listeners for controllers only. Kafka has none so high, and clients are
// never told of them. There is one version, 0, with Kafka's flexible headers; package cluster owns their bodies. The numbers are frozen.
const (
	KeyNodeInfo          APIKey = 20000 // who a node is, and what it knows of the cluster
	KeyRaftMessage       APIKey = 20001 // of one voter to another, without an answer
	KeyControllerRequest APIKey = 20002 // a request to the controller, passed on by another node
	KeyMetadataPull      APIKey = 20003 // committed metadata, for nodes that do not vote
	KeyNodeHeartbeat     APIKey = 20004 // of a broker to the active controller
	KeyQuorumState       APIKey = 20005 // how far the members of the quorum are
)

var private = [...]API{
	{"NodeInfo", 0, 0, 0},
	{"RaftMessage", 0, 0, 0},
	{"ControllerRequest", 0, 0, 0},
	{"MetadataPull", 0, 0, 0},
	{"NodeHeartbeat", 0, 0, 0},
	{"QuorumState", 0, 0, 0},
}

// Private says that only nodes of a cluster send such requests.
func (k APIKey) Private() bool { return k >= KeyNodeInfo && int(k-KeyNodeInfo) < len(private) }
