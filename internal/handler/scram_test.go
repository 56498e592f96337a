package handler

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// TestScramCredential takes the exchange of RFC 7677, section 3: its proof must pass what is kept, and what is kept must sign as its server.
func TestScramCredential(t *testing.T) {
	const (
		nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
		salt  = "W22ZaJ0SNY7soEsUEjb6gQ=="
		said  = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + nonce + ",s=" + salt + ",i=4096,c=biws,r=" + nonce
	)
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	salted, err := pbkdf2.Key(sha256.New, "pencil", decode(salt), 4096, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key string) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(said))
		return mac.Sum(nil)
	}

	r := newRig(t, "")
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: "user", Mechanism: 1, Iterations: 4096, Salt: decode(salt), SaltedPassword: salted}}
	w := r.dial()
	if resp := roundTrip[*kmsg.AlterUserSCRAMCredentialsResponse](w, 0, req); len(resp.Results) != 1 || resp.Results[0].ErrorCode != 0 {
		t.Fatalf("alter: %+v", resp)
	}
	c, ok := r.controller.images.Image().Scram(metadata.ScramUser{Name: "user", Mechanism: 1})
	if !ok || c.Salt != string(decode(salt)) || c.Iterations != 4096 {
		t.Fatal("the credential is not kept")
	}
	if !bytes.Equal(sign(c.ServerKey), decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")) {
		t.Error("the server would sign otherwise")
	}
	proof, client := decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), make([]byte, sha256.Size)
	for i, b := range sign(c.StoredKey) {
		client[i] = proof[i] ^ b
	}
	if stored := sha256.Sum256(client); string(stored[:]) != c.StoredKey {
		t.Error("the client's proof would not pass")
	}
	if entry := string(r.controller.images.Image().EncodeSnapshot()); strings.Contains(entry, string(salted)) {
		t.Error("the salted password is kept")
	}
}

func TestAlterScramWithoutController(t *testing.T) {
	r := newRig(t, "")
	r.controller.fail = errors.New("no controller")
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	req.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "a", Mechanism: 1}, {Name: "a", Mechanism: 2}}
	req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: "b", Mechanism: 1}, {Name: "a", Mechanism: 1}}
	resp := roundTrip[*kmsg.AlterUserSCRAMCredentialsResponse](r.dial(), 0, req)
	if len(resp.Results) != 2 || resp.Results[0].User != "a" || resp.Results[1].ErrorCode != int16(protocol.NotController) {
		t.Errorf("%+v", resp.Results)
	}
}
