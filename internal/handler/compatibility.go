package handler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/protocol"
)

// internalKeys are the APIs that Kafka's own nodes speak among themselves; no client misses them.
var internalKeys = []protocol.APIKey{
	protocol.KeyWriteTxnMarkers, protocol.KeyVote, protocol.KeyBeginQuorumEpoch, protocol.KeyEndQuorumEpoch, protocol.KeyAlterPartition,
	protocol.KeyEnvelope, protocol.KeyFetchSnapshot, protocol.KeyBrokerRegistration, protocol.KeyBrokerHeartbeat,
	protocol.KeyAllocateProducerIDs, protocol.KeyControllerRegistration, protocol.KeyAssignReplicasToDirs, protocol.KeyUpdateRaftVoter,
	protocol.KeyInitializeShareGroupState, protocol.KeyReadShareGroupState, protocol.KeyWriteShareGroupState,
	protocol.KeyDeleteShareGroupState, protocol.KeyReadShareGroupStateSummary,
}

// Page returns docs/compatibility.md: what is served, printed from the table that serves it.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Compatibility

This page is printed from the table of handlers by ` + "`go generate ./internal/docgen`" + `; a test fails when it is stale. Kafka's
versions are those of Apache Kafka 4.4. What a client sees differently is in [differences.md](differences.md); settings are in
[configuration.md](configuration.md).

## Served

| key | API | Kafka | Moldau | remark |
| --: | --- | --- | --- | --- |
`)
	for _, a := range table {
		known, _ := protocol.Lookup(a.key)
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", a.key, a.key, versions(known.Min, known.Max), versions(a.min, a.max), a.note)
	}
	var there []string
	for _, a := range table {
		if a.controllers {
			there = append(there, a.key.String())
		}
	}
	b.WriteString("\nOn listeners for controllers (`controller.listener.names`, `--bootstrap-controller`): " + strings.Join(there, ", ") + ".\n")
	b.WriteString(`
## Not served yet

A request for one of these closes the connection, as Kafka does with an API that it does not know. ApiVersions does not list them.

| key | API | Kafka |
| --: | --- | --- |
`)
	for key := range protocol.APIKey(len(byKey)) {
		known, ok := protocol.Lookup(key)
		if !ok || byKey[key] != nil || slices.Contains(internalKeys, key) {
			continue
		}
		fmt.Fprintf(&b, "| %d | %s | %s |\n", key, key, versions(known.Min, known.Max))
	}
	b.WriteString("\nAPIs that only Kafka's own nodes send to one another are left out.\n")
	b.WriteString(toolsPart)
	return b.String()
}

func versions(low, high int16) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d-%d", low, high)
}
