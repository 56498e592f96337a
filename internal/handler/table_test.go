package handler

import (
	"os"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/protocol"
)

func TestCompatibilityPageIsTrue(t *testing.T) {
	const path = "../../docs/compatibility.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Page() {
		t.Errorf("%s is stale: run go generate ./internal/docgen", path)
	}
}

func TestTableIsWithinKafkas(t *testing.T) {
	if !slices.IsSortedFunc(table, func(a, b api) int { return int(a.key) - int(b.key) }) {
		t.Error("the table is not sorted by key")
	}
	for _, a := range table {
		known, ok := protocol.Lookup(a.key)
		if !ok || a.min < known.Min || a.max > known.Max {
			t.Errorf("%s is served in versions %d to %d, Kafka knows %d to %d", a.key, a.min, a.max, known.Min, known.Max)
		}
		if served(a.key) == nil || a.serve == nil {
			t.Errorf("%s is listed and has no handler", a.key)
		}
	}
}
