package metadata

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// ScramUser names a credential: a user and a mechanism as Kafka numbers it, 1 SCRAM-SHA-256 and 2 SCRAM-SHA-512.
type ScramUser struct {
	Name      string
	Mechanism int8
}

// ScramCredential is what a server keeps of a password (RFC 5802): neither the password nor the salted one, but enough to check a
// client, and so nothing for a log. The fields hold bytes.
type ScramCredential struct {
	Salt       string
	StoredKey  string
	ServerKey  string
	Iterations int32
}

// String keeps credentials out of logs and messages.
func (ScramCredential) String() string { return "[hidden]" }

// GoString does so too.
func (ScramCredential) GoString() string { return "[hidden]" }

type (
	// ScramRecord sets a credential.
	ScramRecord struct {
		User       ScramUser
		Credential ScramCredential
	}

	// RemoveScramRecord removes one.
	RemoveScramRecord struct{ User ScramUser }
)

func (*ScramRecord) kind() uint64       { return kindScram }
func (*RemoveScramRecord) kind() uint64 { return kindRemoveScram }

// Scram returns a credential.
func (img *Image) Scram(user ScramUser) (ScramCredential, bool) {
	c, ok := img.scram[user]
	return c, ok
}

// ScramCount is the number of credentials.
func (img *Image) ScramCount() int { return len(img.scram) }

// ScramUsers returns whose credentials there are, by name and mechanism.
func (img *Image) ScramUsers() []ScramUser {
	return slices.SortedFunc(maps.Keys(img.scram), compareScramUsers)
}

func compareScramUsers(a, b ScramUser) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Mechanism, b.Mechanism))
}

func appendScramUser(dst []byte, u ScramUser) []byte {
	return appendInt(appendString(dst, u.Name), int64(u.Mechanism))
}

func appendScram(dst []byte, c ScramCredential) []byte {
	return appendInt(appendString(appendString(appendString(dst, c.Salt), c.StoredKey), c.ServerKey), int64(c.Iterations))
}

func (d *decoder) scramUser() ScramUser { return ScramUser{Name: d.string(), Mechanism: d.int8()} }

func (d *decoder) scram() ScramCredential {
	return ScramCredential{Salt: d.string(), StoredKey: d.string(), ServerKey: d.string(), Iterations: d.int32()}
}

// appendScrams writes all credentials, for a snapshot.
func (img *Image) appendScrams(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(img.scram)))
	for _, u := range img.ScramUsers() {
		dst = appendScram(appendScramUser(dst, u), img.scram[u])
	}
	return dst
}

// scrams reads what appendScrams wrote.
func (d *decoder) scrams() map[ScramUser]ScramCredential {
	n := d.count(6)
	if n == 0 {
		return nil
	}
	all := make(map[ScramUser]ScramCredential, n)
	var last ScramUser
	for i := range n {
		u := d.scramUser()
		if i > 0 && compareScramUsers(last, u) >= 0 {
			d.fail("credentials out of order")
		}
		last = u
		all[u] = d.scram()
	}
	return all
}

func (e *editor) setScram(user ScramUser, c *ScramCredential) {
	if !e.delta.Scram {
		e.img.scram, e.delta.Scram = cloneMap(e.img.scram), true
	}
	if c == nil {
		delete(e.img.scram, user)
	} else {
		e.img.scram[user] = *c
	}
}
