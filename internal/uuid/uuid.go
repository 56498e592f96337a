// Package uuid is Kafka's Uuid: topic ids, directory ids and cluster ids, 16 bytes on the wire and on disk, 22 characters of
// URL-safe base64 in text (KIP-516). It owns the type and its text form, not what an id stands for.
package uuid

import (
	"encoding/base64"
	"fmt"

	"github.com/moldau/moldau/internal/random"
)

// UUID is 16 raw bytes; the zero value means "none".
type UUID [16]byte

// New returns a random version 4 id. It never returns one that Kafka reserves (zero and the small numbers) nor one whose text
// starts with '-', which command-line tools would take for an option.
func New(src random.Source) UUID {
	for {
		var u UUID
		src.Read(u[:])
		u[6] = u[6]&0x0f | 0x40
		u[8] = u[8]&0x3f | 0x80
		if u.String()[0] != '-' {
			return u
		}
	}
}

// IsZero says whether u means "none".
func (u UUID) IsZero() bool { return u == UUID{} }

// String returns the 22 characters that Kafka's tools print.
func (u UUID) String() string { return base64.RawURLEncoding.EncodeToString(u[:]) }

// Parse reads what String prints; padding is accepted.
func Parse(s string) (UUID, error) {
	enc := base64.RawURLEncoding
	if len(s) == 24 {
		enc = base64.URLEncoding
	}
	b, err := enc.DecodeString(s)
	if err != nil || len(b) != 16 {
		return UUID{}, fmt.Errorf("parse id %q: want 22 characters of URL-safe base64", s)
	}
	return UUID(b), nil
}
