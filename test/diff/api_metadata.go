package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersionsRequest(v int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = v, "diff", "1.0"
	return req
}

func apiVersionsCases(v int16) *suite {
	s := newSuite(keyApiVersions, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(apiVersionsRequest(v)) })
	s.add(Boundary, "", func(x *Script) {
		req := apiVersionsRequest(v)
		x.Do(req)
		x.Do(req) // a second one on the same connection
		req.ClientSoftwareName, req.ClientSoftwareVersion = "a", "1"
		x.Do(req)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "a-b.c-9", "v1.2.3-rc.4"
		x.Do(req)
		x.On(0).Frame(keyApiVersions, v, frame(header1(keyApiVersions, v, 0, nil, req.IsFlexible()), req.AppendTo(nil)))
		x.On(0).Frame(keyApiVersions, v, frame(header1(keyApiVersions, v, 0, ptr(""), req.IsFlexible()), req.AppendTo(nil)))
	})
	s.add(Wrong, "", func(x *Script) {
		for _, name := range []string{"", "-a", "a-", "a b", "ä", "a_b"} {
			req := apiVersionsRequest(v)
			req.ClientSoftwareName = name
			x.Do(req)
			req = apiVersionsRequest(v)
			req.ClientSoftwareVersion = name
			x.Do(req)
		}
	})
	if v >= 5 {
		s.add(Boundary, "identity", func(x *Script) {
			m := x.quiet(metadata(12, false)).(*kmsg.MetadataResponse)
			req := apiVersionsRequest(v)
			req.ClusterID, req.NodeID = m.ClusterID, 1
			x.Do(req)
		})
		s.add(Wrong, "identity", func(x *Script) {
			m := x.quiet(metadata(12, false)).(*kmsg.MetadataResponse)
			for _, id := range []struct {
				cluster *string
				node    int32
			}{{m.ClusterID, 2}, {ptr("AAAAAAAAAAAAAAAAAAAAAA"), 1}, {m.ClusterID, -1}, {nil, 1}, {ptr(""), 1}, {m.ClusterID, -2}} {
				req := apiVersionsRequest(v)
				req.ClusterID, req.NodeID = id.cluster, id.node
				x.Do(req)
			}
		})
	}
	s.malformed(func(*Script) kmsg.Request { return apiVersionsRequest(v) })
	return s
}

func metadataCases(v int16) *suite {
	s := newSuite(keyMetadata, v)
	s.add(Ordinary, "", func(x *Script) {
		a, b := x.Topic("a", 3), x.Topic("b", 1)
		x.Do(metadata(v, false, a.Name))
		x.Do(metadata(v, true, b.Name, a.Name))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 2)
		x.Do(metadata(v, false)) // none, or all in version 0
		if v >= 1 {
			all := metadata(v, true)
			all.Topics = nil
			x.Do(all)
		}
		x.Do(metadata(v, false, a.Name, a.Name)) // one topic twice
		if v >= 8 {
			allowed := metadata(v, false, b.Name)
			allowed.IncludeTopicAuthorizedOperations = true
			allowed.IncludeClusterAuthorizedOperations = true
			x.Do(allowed)
		}
		if v >= 10 {
			x.Do(metadataByID(v, a.ID))
			both := metadata(v, false, a.Name)
			both.Topics[0].TopicID = a.ID
			x.Do(both)
			other := metadata(v, false, a.Name)
			other.Topics[0].TopicID = b.ID
			x.Do(other)
			mixed := metadata(v, false, a.Name)
			mixed.Topics = append(mixed.Topics, metadataByID(v, b.ID).Topics...)
			x.Do(mixed)
		}
	})
	s.add(Wrong, "", func(x *Script) {
		create := v < 4 // older versions always ask for creation
		if !create {
			x.Do(metadata(v, false, x.missing().Name))
		}
		long := make([]byte, 250)
		for i := range long {
			long[i] = 'x'
		}
		for _, name := range []string{"", ".", "..", "bad name", "bad/name", "ünicode", string(long)} {
			x.Do(metadata(v, create, name))
		}
		if v >= 10 {
			x.missing()
			x.Do(metadataByID(v, unknownID))
			x.Note("neither name nor id")
			x.Do(metadataByID(v, [16]byte{}))
		}
	})
	s.add(Ordinary, "auto-create", func(x *Script) {
		x.Do(metadata(v, true, x.Name("new")))
		x.await(x.Name("new"), 1)
		x.Do(metadata(v, true, x.Name("new")))
	})
	s.malformed(func(x *Script) kmsg.Request {
		if v < 4 {
			return metadata(v, true, "bad name")
		}
		return metadata(v, false, absentTopic.Name)
	})
	return s
}

func describeClusterRequest(v int16) *kmsg.DescribeClusterRequest {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version = v
	return req
}

func describeClusterCases(v int16) *suite {
	s := newSuite(keyDescribeCluster, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(describeClusterRequest(v)) })
	s.add(Boundary, "", func(x *Script) {
		req := describeClusterRequest(v)
		req.IncludeClusterAuthorizedOperations = true
		x.Do(req)
		if v >= 2 {
			req.IncludeFencedBrokers = true
			x.Do(req)
		}
	})
	s.add(Wrong, "", func(x *Script) {
		for _, endpoint := range []int8{2, 0, 7, -1} {
			req := describeClusterRequest(v)
			req.EndpointType = endpoint
			x.Do(req)
		}
	})
	s.malformed(func(*Script) kmsg.Request { return describeClusterRequest(v) })
	return s
}
