package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/moldau/moldau/internal/quorum"
)

// findQuorum says whether this node's directory is one of the quorum's. It returns when that is known, which takes all voters where no cluster
// is found.
func (n *Node) findQuorum(ctx context.Context) (member bool, err error) {
	id, formed, err := quorum.Prepare(n.FS, n.Dir, n.Random)
	if err != nil {
		return false, err
	}
	n.mu.Lock()
	n.raft, n.formed = id, formed
	n.nodes[id] = n.NodeID
	n.mu.Unlock()
	if formed {
		return true, nil
	}
	told := false
	for {
		member, done, err := n.askAll(ctx)
		if done || err != nil {
			return member, err
		}
		if !told {
			n.Log.Info("waiting for the other voters to form a cluster, or for one that is there", "voters", len(n.Seeds))
			told = true
		}
		select {
		case <-n.Clock.After(askPause):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// askAll asks all other voters once.
func (n *Node) askAll(ctx context.Context) (member, done bool, err error) {
	answers := make([]*info, len(n.links))
	var asking sync.WaitGroup
	for i, l := range n.links {
		if l != nil {
			asking.Go(func() { answers[i], _ = n.askInfo(ctx, l) }) // who does not answer is asked again
		}
	}
	asking.Wait()
	all, lowest := true, true
	ids := []uint64{n.raft}
	cluster := n.ClusterID
	holds := n.Partitions
	for i, l := range n.links {
		a := answers[i]
		switch {
		case l == nil:
			continue
		case a == nil || a.Raft == 0:
			all = false
			continue
		case a.Node != n.Seeds[i].ID:
			return false, false, fmt.Errorf("controller.quorum.voters says that node %d is at %s, but node %d is", n.Seeds[i].ID, l.address, a.Node)
		case a.Formed:
			return n.found(a)
		}
		if a.ClusterID != "" && cluster != "" && a.ClusterID != cluster {
			return false, false, fmt.Errorf("the data directories of the voters belong to different clusters: %s here, %s at node %d", cluster, a.ClusterID, a.Node)
		}
		cluster = max(cluster, a.ClusterID)
		holds += a.Holds
		lowest = lowest && n.NodeID < a.Node
		ids = append(ids, a.Raft)
	}
	if !all {
		return false, false, nil
	}
	if holds > 0 { // they would be set aside as unknown, and the cluster would come up empty
		return false, false, fmt.Errorf("the voters hold %d partitions, but none has the metadata of their cluster: restore the quorum's directory, or move the partitions away to begin anew", holds)
	}
	if !lowest {
		return false, false, nil
	}
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		return false, false, errors.New("two voters have the same quorum directory: one is a copy of the other's")
	}
	if err := quorum.Form(n.FS, n.Dir, ids); err != nil {
		return false, false, err
	}
	n.mu.Lock()
	n.formed, n.voters = true, ids
	n.ClusterID = cluster
	n.mu.Unlock()
	n.Log.Info("formed a cluster", "voters", len(ids))
	return true, true, nil
}

// HandOver lets another voter lead the quorum, where this node does, and returns when one does, or the context ends.
func (n *Node) HandOver(ctx context.Context) {
	if n.quorum == nil {
		return
	}
	progress, err := n.quorum.Progress(ctx)
	if err != nil {
		return
	}
	best := quorum.Progress{}
	for _, p := range progress {
		if p.Voter && p.ID != n.quorum.ID() && p.Match > best.Match {
			best = p
		}
	}
	if best.ID == 0 || n.quorum.Transfer(ctx, best.ID) != nil {
		return
	}
	for {
		st, changed := n.quorum.Watch()
		if st.Leader != 0 && !st.Leads {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// found looks whether the cluster that a voter knows counts this node's directory.
func (n *Node) found(a *info) (member, done bool, err error) {
	if len(a.Voters) == 0 { // it is about to be told
		return false, false, nil
	}
	if slices.Contains(a.Voters, n.raft) {
		return true, true, nil
	}
	const why = "the cluster does not count its quorum directory as a voter's: it is new, or was emptied"
	n.mu.Lock()
	n.why = why
	n.mu.Unlock()
	n.Log.Warn("this node takes part as a broker that does not vote, and waits to be added to the quorum", "why", why, "told by node", a.Node, "voters", len(a.Voters))
	return false, true, nil
}
