package controller

import (
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// Mechanisms of SCRAM, as the protocol numbers them.
const (
	ScramSHA256 int8 = 1
	ScramSHA512 int8 = 2
)

// Bounds of the iterations of a credential. The numbers are Kafka's.
const (
	minScramIterations = 4096
	maxScramIterations = 16384
)

type (
	// AlterScram removes and sets credentials of users; each user succeeds or fails alone, and is named once at most. Response: AlterScramResponse.
	AlterScram struct {
		Deletions  []metadata.ScramUser
		Upsertions []ScramUpsertion
	}

	// ScramUpsertion sets a credential. Without a stored key there was no salted password to make it from.
	ScramUpsertion struct {
		User       metadata.ScramUser
		Credential metadata.ScramCredential
	}

	// AlterScramResponse has a result for each user of the request, by name.
	AlterScramResponse struct{ Users []ScramAltered }

	// ScramAltered is the result for one user.
	ScramAltered struct {
		User  string
		Error Error
	}
)

func (*AlterScram) urgent() bool { return false }

func (r *AlterScram) step(s *step) Response {
	type asked struct {
		err    Error
		record metadata.Record
	}
	users := make(map[string]asked)
	ask := func(name string, err Error, record metadata.Record) {
		was, again := users[name]
		switch {
		case again && was.err.Failed():
		case again:
			users[name] = asked{err: Error{protocol.DuplicateResource, "A user credential cannot be altered twice in the same request"}}
		default:
			users[name] = asked{err, record}
		}
	}
	for _, u := range r.Deletions {
		err := checkScram(u)
		if _, ok := s.img.Scram(u); !ok && !err.Failed() {
			err = Error{protocol.ResourceNotFound, "Attempt to delete a user credential that does not exist"}
		}
		ask(u.Name, err, &metadata.RemoveScramRecord{User: u})
	}
	for i := range r.Upsertions {
		u := &r.Upsertions[i]
		err := checkScram(u.User)
		switch {
		case err.Failed():
		case u.Credential.Iterations < minScramIterations:
			err = Error{protocol.UnacceptableCredential, "Too few iterations"}
		case u.Credential.Iterations > maxScramIterations:
			err = Error{protocol.UnacceptableCredential, "Too many iterations"}
		case u.Credential.StoredKey == "":
			err = Error{protocol.UnacceptableCredential, "Salted password must not be empty"}
		}
		ask(u.User.Name, err, &metadata.ScramRecord{User: u.User, Credential: u.Credential})
	}
	response := new(AlterScramResponse)
	for name, a := range users {
		response.Users = append(response.Users, ScramAltered{name, a.err})
	}
	slices.SortFunc(response.Users, func(a, b ScramAltered) int { return strings.Compare(a.User, b.User) })
	for _, u := range response.Users {
		if !u.Error.Failed() {
			s.add(users[u.User].record)
		}
	}
	return response
}

func checkScram(u metadata.ScramUser) Error {
	switch {
	case u.Name == "":
		return Error{protocol.UnacceptableCredential, "Username must not be empty"}
	case u.Mechanism != ScramSHA256 && u.Mechanism != ScramSHA512:
		return Error{protocol.UnsupportedSASLMechanism, "Unknown SCRAM mechanism"}
	}
	return Error{}
}
