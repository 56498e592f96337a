package handler

import (
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/server"
)

// api is one row of what this broker serves. docs/compatibility.md is printed from it, and ApiVersions answers it.
type api struct {
	key      protocol.APIKey
	min, max int16 // versions served
	listed   int16 // lowest version that ApiVersions lists; min but for Produce (see protocol-notes V6, KAFKA-18659)
	serve    func(*Handler, *server.Request, server.Reply)
	// On listeners for controllers too. Kafka has more of its own there, by which its nodes speak to one another.
	controllers bool
	note        string // where we differ, for the compatibility page
}

func (a *api) serves(version int16) bool { return version >= a.min && version <= a.max }

// servesOn says whether the API is served to those who came in by conn's listener.
func (a *api) servesOn(h *Handler, conn *server.Conn) bool {
	return a.controllers || !h.forControllers(conn)
}

// table lists the APIs served, by key.
var table []api

func init() { // serveAPIVersions answers the table itself
	table = []api{
		{key: protocol.KeyProduce, min: 3, max: 13, listed: 0, serve: serveProduce,
			note: "versions 0-2 are listed, because librdkafka stops compressing otherwise, and refused, as in Kafka"},
		{key: protocol.KeyFetch, min: 4, max: 18, listed: 4, serve: serveFetch,
			note: "fetched data ends at a batch boundary"},
		{key: protocol.KeyListOffsets, min: 1, max: 11, listed: 1, serve: cold(serveListOffsets)},
		{key: protocol.KeyMetadata, min: 0, max: 13, listed: 0, serve: cold(serveMetadata)},
		{key: protocol.KeyOffsetCommit, min: 2, max: 10, listed: 2, serve: coldLater(serveOffsetCommit)},
		{key: protocol.KeyOffsetFetch, min: 1, max: 10, listed: 1, serve: coldLater(serveOffsetFetch)},
		{key: protocol.KeyFindCoordinator, min: 0, max: 6, listed: 0, serve: coldLater(serveFindCoordinator),
			note: "groups; transactional ids and share groups are refused with fatal codes"},
		{key: protocol.KeyJoinGroup, min: 0, max: 9, listed: 0, serve: coldLater(serveJoinGroup)},
		{key: protocol.KeyHeartbeat, min: 0, max: 4, listed: 0, serve: coldLater(serveHeartbeat)},
		{key: protocol.KeyLeaveGroup, min: 0, max: 5, listed: 0, serve: coldLater(serveLeaveGroup)},
		{key: protocol.KeySyncGroup, min: 0, max: 5, listed: 0, serve: coldLater(serveSyncGroup)},
		{key: protocol.KeyDescribeGroups, min: 0, max: 6, listed: 0, serve: coldLater(serveDescribeGroups)},
		{key: protocol.KeyListGroups, min: 0, max: 5, listed: 0, serve: coldLater(serveListGroups)},
		{key: protocol.KeyAPIVersions, min: 0, max: 5, listed: 0, controllers: true, serve: serveAPIVersions},
		{key: protocol.KeyCreateTopics, min: 2, max: 7, listed: 2, controllers: true, serve: cold(serveCreateTopics)},
		{key: protocol.KeyDeleteTopics, min: 1, max: 6, listed: 1, controllers: true, serve: cold(serveDeleteTopics)},
		{key: protocol.KeyDeleteRecords, min: 0, max: 2, listed: 0, serve: coldLater(serveDeleteRecords)},
		{key: protocol.KeyInitProducerID, min: 0, max: 5, listed: 0, serve: cold(serveInitProducerID),
			note: "idempotent producers only; a transactional.id is refused with a fatal code"},
		{key: protocol.KeyOffsetForLeaderEpoch, min: 2, max: 4, listed: 2, serve: cold(serveOffsetForLeaderEpoch)},
		{key: protocol.KeyDescribeACLs, min: 1, max: 3, listed: 1, controllers: true, serve: coldChecked(checkDescribeACLs, serveDescribeACLs),
			note: "no authorizer yet: SECURITY_DISABLED, as Kafka answers without one"},
		{key: protocol.KeyCreateACLs, min: 1, max: 3, listed: 1, controllers: true, serve: coldChecked(checkCreateACLs, serveCreateACLs), note: "as DescribeAcls"},
		{key: protocol.KeyDeleteACLs, min: 1, max: 3, listed: 1, controllers: true, serve: coldChecked(checkDeleteACLs, serveDeleteACLs), note: "as DescribeAcls"},
		{key: protocol.KeyDescribeConfigs, min: 1, max: 4, listed: 1, controllers: true, serve: cold(serveDescribeConfigs),
			note: "a broker has one logger, root"},
		{key: protocol.KeyAlterConfigs, min: 0, max: 2, listed: 0, controllers: true, serve: cold(serveAlterConfigs)},
		{key: protocol.KeyAlterReplicaLogDirs, min: 1, max: 2, listed: 1, serve: cold(serveAlterReplicaLogDirs)},
		{key: protocol.KeyDescribeLogDirs, min: 1, max: 5, listed: 1, serve: cold(serveDescribeLogDirs)},
		{key: protocol.KeyCreatePartitions, min: 0, max: 3, listed: 0, controllers: true, serve: cold(serveCreatePartitions)},
		{key: protocol.KeyCreateDelegationToken, min: 1, max: 3, listed: 1, controllers: true, serve: cold(serveCreateDelegationToken),
			note: "no authentication yet: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as Kafka answers on a PLAINTEXT listener"},
		{key: protocol.KeyRenewDelegationToken, min: 1, max: 2, listed: 1, controllers: true, serve: cold(serveRenewDelegationToken), note: "as CreateDelegationToken"},
		{key: protocol.KeyExpireDelegationToken, min: 1, max: 2, listed: 1, controllers: true, serve: cold(serveExpireDelegationToken), note: "as CreateDelegationToken"},
		{key: protocol.KeyDescribeDelegationToken, min: 1, max: 3, listed: 1, controllers: true, serve: cold(serveDescribeDelegationToken), note: "as CreateDelegationToken"},
		{key: protocol.KeyDeleteGroups, min: 0, max: 3, listed: 0, serve: coldLater(serveDeleteGroups)},
		{key: protocol.KeyElectLeaders, min: 0, max: 2, listed: 0, controllers: true, serve: cold(serveElectLeaders)},
		{key: protocol.KeyIncrementalAlterConfigs, min: 0, max: 1, listed: 0, controllers: true, serve: cold(serveIncrementalAlterConfigs)},
		{key: protocol.KeyAlterPartitionReassignments, min: 0, max: 1, listed: 0, controllers: true, serve: cold(serveAlterPartitionReassignments)},
		{key: protocol.KeyListPartitionReassignments, min: 0, max: 0, listed: 0, controllers: true, serve: cold(serveListPartitionReassignments)},
		{key: protocol.KeyOffsetDelete, min: 0, max: 0, listed: 0, serve: coldLater(serveOffsetDelete)},
		{key: protocol.KeyDescribeClientQuotas, min: 0, max: 1, listed: 0, serve: cold(serveDescribeClientQuotas)},
		{key: protocol.KeyAlterClientQuotas, min: 0, max: 1, listed: 0, controllers: true, serve: cold(serveAlterClientQuotas)},
		{key: protocol.KeyDescribeUserScramCredentials, min: 0, max: 0, listed: 0, controllers: true, serve: cold(serveDescribeUserScramCredentials)},
		{key: protocol.KeyAlterUserScramCredentials, min: 0, max: 0, listed: 0, controllers: true, serve: cold(serveAlterUserScramCredentials),
			note: "kept; no listener asks for them yet"},
		{key: protocol.KeyDescribeQuorum, min: 0, max: 2, listed: 0, controllers: true, serve: cold(serveDescribeQuorum)},
		{key: protocol.KeyUpdateFeatures, min: 0, max: 2, listed: 0, controllers: true, serve: cold(serveUpdateFeatures), note: "no feature has levels yet"},
		{key: protocol.KeyDescribeCluster, min: 0, max: 2, listed: 0, controllers: true, serve: cold(serveDescribeCluster)},
		{key: protocol.KeyDescribeProducers, min: 0, max: 0, listed: 0, serve: cold(serveDescribeProducers)},
		{key: protocol.KeyUnregisterBroker, min: 0, max: 0, listed: 0, controllers: true, serve: cold(serveUnregisterBroker),
			note: "a broker that is alive is refused"},
		{key: protocol.KeyListConfigResources, min: 0, max: 1, listed: 0, serve: cold(serveListConfigResources)},
		{key: protocol.KeyDescribeTopicPartitions, min: 0, max: 0, listed: 0, serve: cold(serveDescribeTopicPartitions)},
		{key: protocol.KeyAddRaftVoter, min: 0, max: 1, listed: 0, controllers: true, serve: cold(serveAddRaftVoter),
			note: "the voters are fixed: UNSUPPORTED_VERSION, as Kafka answers where kraft.version is 0"},
		{key: protocol.KeyRemoveRaftVoter, min: 0, max: 0, listed: 0, controllers: true, serve: cold(serveRemoveRaftVoter), note: "as AddRaftVoter"},
		{key: protocol.KeyUnregisterController, min: 0, max: 0, listed: 0, controllers: true, serve: cold(serveUnregisterController)},
	}
	for i := range table {
		byKey[table[i].key] = &table[i]
	}
}

// byKey finds a row without a search: the keys are small and dense.
var byKey [128]*api

func served(key protocol.APIKey) *api {
	if key < 0 || int(key) >= len(byKey) {
		return nil
	}
	return byKey[key]
}

// Served is one row of the table, for documents and tests.
type Served struct {
	Key              protocol.APIKey
	Min, Max, Listed int16
	Controllers      bool // on listeners for controllers too
	Note             string
}

// Table returns what is served, by key.
func Table() []Served {
	rows := make([]Served, len(table))
	for i, a := range table {
		rows[i] = Served{a.key, a.min, a.max, a.listed, a.controllers, a.note}
	}
	return rows
}
