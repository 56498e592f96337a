package cli

import (
	"fmt"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
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

// cluster shows the state of the cluster that is tested. Other stories make topics and delete them meanwhile, which several brokers notice
// one after another.
func cluster(t *testing.T, c command) {
	c.create(t, c.prefix+"orders", "--partitions", "3")
	var s clusterState
	broker.Eventually(t, "a cluster without problems is shown", func() bool {
		s = answer[clusterState](t, c, "cluster")
		return s.Problems != nil && len(s.Problems) == 0 && s.Partitions.UnderReplicated == 0
	})
	if len(s.Cluster) != 22 || len(s.Brokers) != c.brokers || s.Quorum == nil || len(s.Quorum.Voters) != c.brokers {
		t.Fatalf("%+v", s)
	}
	leads, controllers, named := 0, 0, false
	for _, b := range s.Brokers {
		leads += b.Leads
		named = named || fmt.Sprintf("%s:%d", b.Host, b.Port) == c.addr
		if b.Controller {
			controllers++
		}
		if b.State != "serving" || b.Controller != (b.ID == s.Controller) || b.Leads < 1 || b.Replicas != b.InSync {
			t.Errorf("broker %+v of %+v", b, s)
		}
		if c.brokers == c.replicas() && b.Replicas != s.Partitions.Total {
			t.Errorf("broker %+v keeps %d of %d partitions", b, b.Replicas, s.Partitions.Total)
		}
	}
	if leads != s.Partitions.Total || leads < 3 || controllers != 1 || !named {
		t.Errorf("%+v", s)
	}
	leader := false
	for _, v := range s.Quorum.Voters {
		leader = leader || v.ID == s.Controller && v.Lag == 0 && v.End >= s.Quorum.Committed
		if v.End == 0 {
			t.Errorf("voter %+v of %+v", v, s.Quorum)
		}
	}
	if !leader || s.Quorum.Leader != s.Controller {
		t.Errorf("quorum %+v", s.Quorum)
	}
	c.refused(t, 1, []string{"cluster", "--top", "-1"}, "want a number of partitions")
}
