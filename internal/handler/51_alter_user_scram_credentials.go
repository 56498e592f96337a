package handler

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
)

// AlterUserScramCredentials, version 0: gives users passwords for SCRAM, or takes them away (KIP-554).
//
// The client salts the password; what a server checks clients with (RFC 5802) is made from that here, and the salted password, which would
// let anybody in who reads it, goes no further. Results come by name; Kafka's order is that of a hash map. An empty salted password is
// refused with UNACCEPTABLE_CREDENTIAL, where Kafka answers UNKNOWN_SERVER_ERROR.

func serveAlterUserScramCredentials(h *Handler, c call, req *kmsg.AlterUserSCRAMCredentialsRequest) kmsg.Response {
	alter := &controller.AlterScram{}
	if !c.charge(int64(len(req.Deletions))*3*itemSize + int64(len(req.Upsertions))*6*itemSize) {
		return nil
	}
	for _, d := range req.Deletions {
		alter.Deletions = append(alter.Deletions, metadata.ScramUser{Name: d.Name, Mechanism: d.Mechanism})
	}
	for i := range req.Upsertions {
		u := &req.Upsertions[i]
		alter.Upsertions = append(alter.Upsertions, controller.ScramUpsertion{
			User: metadata.ScramUser{Name: u.Name, Mechanism: u.Mechanism}, Credential: scramCredential(u),
		})
	}
	resp := kmsg.NewPtrAlterUserSCRAMCredentialsResponse()
	add := func(user string, code int16, message *string) {
		r := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		r.User, r.ErrorCode, r.ErrorMessage = user, code, message
		resp.Results = append(resp.Results, r)
	}
	done, err := h.Controller.Do(c.ctx, alter)
	if err != nil {
		code, message := h.unanswered("alter SCRAM credentials", err)
		named := make(map[string]bool)
		all := make([]string, 0, len(alter.Deletions)+len(alter.Upsertions))
		for _, u := range alter.Deletions {
			all = append(all, u.Name)
		}
		for _, u := range alter.Upsertions {
			all = append(all, u.User.Name)
		}
		for _, name := range all {
			if !named[name] {
				named[name] = true
				add(name, code, message)
			}
		}
		return resp
	}
	for _, u := range done.(*controller.AlterScramResponse).Users {
		code, message := failure(u.Error)
		add(u.User, code, message)
	}
	return resp
}

// scramCredential makes of a salted password what a server keeps. Where there is no such mechanism or no password the keys stay empty, and
// the controller refuses it.
func scramCredential(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) metadata.ScramCredential {
	c := metadata.ScramCredential{Salt: string(u.Salt), Iterations: u.Iterations}
	var digest func() hash.Hash
	switch u.Mechanism {
	case controller.ScramSHA256:
		digest = sha256.New
	case controller.ScramSHA512:
		digest = sha512.New
	}
	if digest == nil || len(u.SaltedPassword) == 0 {
		return c
	}
	sign := func(text string) []byte {
		mac := hmac.New(digest, u.SaltedPassword)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := digest()
	stored.Write(sign("Client Key"))
	c.StoredKey, c.ServerKey = string(stored.Sum(nil)), string(sign("Server Key"))
	return c
}
