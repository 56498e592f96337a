package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// DescribeUserScramCredentials, version 0: which users have a password, for which mechanisms (KIP-554). Credentials themselves are never shown.
//
// Users come by name when all are asked for, else in the order of the request, each once; Kafka's order is that of a hash map.

// noMessage is what Kafka sends in these answers where there is nothing to say.
var noMessage = ""

func serveDescribeUserScramCredentials(h *Handler, c call, req *kmsg.DescribeUserSCRAMCredentialsRequest) kmsg.Response {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	resp.ErrorMessage = &noMessage
	times := make(map[string]int)
	var names []string
	ask := func(name string) {
		if times[name]++; times[name] == 1 {
			names = append(names, name)
		}
	}
	for _, u := range req.Users {
		ask(u.Name)
	}
	if len(req.Users) == 0 {
		if !c.charge(int64(img.ScramCount()) * 2 * itemSize) {
			return nil
		}
		for _, u := range img.ScramUsers() {
			ask(u.Name)
			times[u.Name] = 1 // once for each mechanism
		}
	}
	for _, name := range names {
		r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		r.User, r.ErrorMessage = name, &noMessage
		if times[name] > 1 {
			r.ErrorCode = int16(protocol.DuplicateResource)
			r.ErrorMessage = new("Cannot describe SCRAM credentials for the same user twice in a single request: " + name)
		} else if r.CredentialInfos = scramInfos(img, name); r.CredentialInfos == nil {
			r.ErrorCode = int16(protocol.ResourceNotFound)
			r.ErrorMessage = new("Attempt to describe a user credential that does not exist: " + name)
		}
		resp.Results = append(resp.Results, r)
	}
	return resp
}

func scramInfos(img *metadata.Image, name string) (infos []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo) {
	for _, mechanism := range []int8{controller.ScramSHA256, controller.ScramSHA512} {
		if cred, ok := img.Scram(metadata.ScramUser{Name: name, Mechanism: mechanism}); ok {
			infos = append(infos, kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo{Mechanism: mechanism, Iterations: cred.Iterations})
		}
	}
	return infos
}
