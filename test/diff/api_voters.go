package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// someDirectory is the id of a directory that nobody has.
var someDirectory = [16]byte{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}

// otherCluster is the id of a cluster that is not this one.
const otherCluster = "AAAAAAAAQACAAAAAAAAAAQ"

func addVoter(v int16, cluster *string, id int32, directory [16]byte, listeners ...string) *kmsg.AddRaftVoterRequest {
	req := kmsg.NewPtrAddRaftVoterRequest()
	req.Version, req.ClusterID, req.TimeoutMillis, req.VoterID, req.VoterDirectoryID = v, cluster, 10_000, id, directory
	for _, name := range listeners {
		l := kmsg.NewAddRaftVoterRequestListener()
		l.Name, l.Host, l.Port = name, "127.0.0.1", 9
		req.Listeners = append(req.Listeners, l)
	}
	return req
}

func addVoterCases(v int16) *suite {
	s := newSuite(keyAddRaftVoter, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(addVoter(v, nil, 2, someDirectory, "CONTROLLER")) })
	s.add(Boundary, "", func(x *Script) {
		x.Do(addVoter(v, nil, 1, someDirectory, "CONTROLLER"))
		x.Do(addVoter(v, nil, 1<<31-1, someDirectory, "CONTROLLER", "OTHER"))
		x.Do(addVoter(v, nil, 2, [16]byte{}, "CONTROLLER"))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(addVoter(v, ptr(otherCluster), 2, someDirectory, "CONTROLLER"))
		x.Do(addVoter(v, ptr(""), 2, someDirectory, "CONTROLLER"))
		x.Do(addVoter(v, nil, -1, someDirectory, "CONTROLLER"))
		x.Do(addVoter(v, nil, 2, someDirectory))
		x.Do(addVoter(v, nil, 2, someDirectory, "PLAINTEXT"))
		x.Do(addVoter(v, nil, 2, someDirectory, "CONTROLLER", "CONTROLLER"))
	})
	s.malformed(func(*Script) kmsg.Request { return addVoter(v, nil, 2, someDirectory, "CONTROLLER") })
	return s
}

func removeVoter(v int16, cluster *string, id int32, directory [16]byte) *kmsg.RemoveRaftVoterRequest {
	req := kmsg.NewPtrRemoveRaftVoterRequest()
	req.Version, req.ClusterID, req.VoterID, req.VoterDirectoryID = v, cluster, id, directory
	return req
}

func removeVoterCases(v int16) *suite {
	s := newSuite(keyRemoveRaftVoter, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(removeVoter(v, nil, 2, someDirectory)) })
	s.add(Boundary, "", func(x *Script) {
		x.Do(removeVoter(v, nil, 1, someDirectory))
		x.Do(removeVoter(v, nil, 1<<31-1, [16]byte{}))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(removeVoter(v, ptr(otherCluster), 2, someDirectory))
		x.Do(removeVoter(v, ptr(""), 2, someDirectory))
		x.Do(removeVoter(v, nil, -1, someDirectory))
	})
	s.malformed(func(*Script) kmsg.Request { return removeVoter(v, nil, 2, someDirectory) })
	return s
}

func unregisterController(v int16, id int32) *kmsg.UnregisterControllerRequest {
	req := kmsg.NewPtrUnregisterControllerRequest()
	req.Version, req.ControllerID = v, id
	return req
}

func unregisterControllerCases(v int16) *suite {
	s := newSuite(keyUnregisterController, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(unregisterController(v, 2)) })
	s.add(Boundary, "", func(x *Script) {
		x.Do(unregisterController(v, 0))
		x.Do(unregisterController(v, 1<<31-1))
		x.Note("the only one")
		x.Do(unregisterController(v, 1))
		x.Do(describeQuorum(2, metadataTopic, 0))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(unregisterController(v, -1))
		x.Do(unregisterController(v, -1<<31))
	})
	s.malformed(func(*Script) kmsg.Request { return unregisterController(v, 99) })
	return s
}
