package cli

import (
	"fmt"
	"testing"
)

type clusterState struct {
	Cluster    string
	Controller int32
	Brokers    []struct {
		ID, Port                int32
		Host, Rack, State       string
		Controller              bool
		Leads, Replicas, InSync int
	}
	Quorum *struct {
		Leader, Epoch     int32
		Committed         int64
		Voters, Observers []struct {
			ID                            int32
			Address                       string
			End, Lag, HeardMs, CaughtUpMs int64
		}
	}
	Topics     int
	Partitions struct{ Total, UnderReplicated, UnderMinISR, Offline int }
	Problems   []any
}

// cluster shows the state of a cluster of one broker.
func cluster(t *testing.T, c command) {
	c.create(t, c.prefix+"orders", "--partitions", "3")
	s := answer[clusterState](t, c, "cluster")
	if len(s.Cluster) != 22 || len(s.Brokers) != 1 || s.Quorum == nil || len(s.Quorum.Voters) != 1 || s.Problems == nil || len(s.Problems) > 0 {
		t.Fatalf("%+v", s)
	}
	b, v := s.Brokers[0], s.Quorum.Voters[0]
	if fmt.Sprintf("%s:%d", b.Host, b.Port) != c.addr || b.State != "serving" || !b.Controller || b.ID != s.Controller || b.Leads < 3 || b.Leads != b.InSync || b.Replicas != s.Partitions.Total {
		t.Errorf("broker %+v of %+v", b, s)
	}
	if v.ID != s.Controller || s.Quorum.Leader != v.ID || v.Lag != 0 || v.End < s.Quorum.Committed || v.End == 0 {
		t.Errorf("quorum %+v", s.Quorum)
	}
	c.refused(t, 1, []string{"cluster", "--top", "-1"}, "want a number of partitions")
}
