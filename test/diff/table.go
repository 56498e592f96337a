package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// API is one row of the table the cases derive from: an API key and the versions that must have cases.
type API struct {
	Key      int16
	Min, Max int16
}

// Name is the name kmsg gives the API.
func (a API) Name() string { return kmsg.NameForKey(a.Key) }

// The API keys the suite covers. These numbers are Kafka's and frozen.
const (
	keyProduce                 = 0
	keyFetch                   = 1
	keyListOffsets             = 2
	keyMetadata                = 3
	keyApiVersions             = 18
	keyCreateTopics            = 19
	keyDeleteTopics            = 20
	keyDeleteRecords           = 21
	keyInitProducerID          = 22
	keyOffsetForLeaderEpoch    = 23
	keyDescribeConfigs         = 32
	keyAlterConfigs            = 33
	keyAlterReplicaLogDirs     = 34
	keyDescribeLogDirs         = 35
	keyCreatePartitions        = 37
	keyIncrementalAlterConfigs = 44
	keyDescribeCluster         = 60
	keyListConfigResources     = 74

	keyDescribeAcls                 = 29
	keyCreateAcls                   = 30
	keyDeleteAcls                   = 31
	keyCreateDelegationToken        = 38
	keyRenewDelegationToken         = 39
	keyExpireDelegationToken        = 40
	keyDescribeDelegationToken      = 41
	keyElectLeaders                 = 43
	keyAlterPartitionReassignments  = 45
	keyListPartitionReassignments   = 46
	keyDescribeClientQuotas         = 48
	keyAlterClientQuotas            = 49
	keyDescribeUserScramCredentials = 50
	keyAlterUserScramCredentials    = 51
	keyDescribeQuorum               = 55
	keyUpdateFeatures               = 57
	keyDescribeProducers            = 61
	keyUnregisterBroker             = 64
	keyDescribeTopicPartitions      = 75

	keyAddRaftVoter         = 80
	keyRemoveRaftVoter      = 81
	keyUnregisterController = 94

	keyOffsetCommit    = 8
	keyOffsetFetch     = 9
	keyFindCoordinator = 10
	keyJoinGroup       = 11
	keyHeartbeat       = 12
	keyLeaveGroup      = 13
	keySyncGroup       = 14
	keyDescribeGroups  = 15
	keyListGroups      = 16
	keyDeleteGroups    = 42
	keyOffsetDelete    = 47
)

// Table lists what is recorded from Kafka: the whole range of versions Kafka 4.4 answers for every API Moldau means to serve.
func Table() []API {
	return []API{
		{keyProduce, 3, 13},
		{keyFetch, 4, 18},
		{keyListOffsets, 1, 11},
		{keyMetadata, 0, 13},
		{keyApiVersions, 0, 5},
		{keyCreateTopics, 2, 7},
		{keyDeleteTopics, 1, 6},
		{keyDeleteRecords, 0, 2},
		{keyInitProducerID, 0, 5},
		{keyOffsetForLeaderEpoch, 2, 4},
		{keyDescribeConfigs, 1, 4},
		{keyAlterConfigs, 0, 2},
		{keyAlterReplicaLogDirs, 1, 2},
		{keyDescribeLogDirs, 1, 5},
		{keyCreatePartitions, 0, 3},
		{keyIncrementalAlterConfigs, 0, 1},
		{keyDescribeCluster, 0, 2},
		{keyDescribeAcls, 1, 3},
		{keyCreateAcls, 1, 3},
		{keyDeleteAcls, 1, 3},
		{keyCreateDelegationToken, 1, 3},
		{keyRenewDelegationToken, 1, 2},
		{keyExpireDelegationToken, 1, 2},
		{keyDescribeDelegationToken, 1, 3},
		{keyElectLeaders, 0, 2},
		{keyAlterPartitionReassignments, 0, 1},
		{keyListPartitionReassignments, 0, 0},
		{keyDescribeClientQuotas, 0, 1},
		{keyAlterClientQuotas, 0, 1},
		{keyDescribeUserScramCredentials, 0, 0},
		{keyAlterUserScramCredentials, 0, 0},
		{keyDescribeQuorum, 0, 2},
		{keyUpdateFeatures, 0, 2},
		{keyDescribeProducers, 0, 0},
		{keyUnregisterBroker, 0, 0},
		{keyDescribeTopicPartitions, 0, 0},
		{keyListConfigResources, 0, 1},
		{keyAddRaftVoter, 0, 1},
		{keyRemoveRaftVoter, 0, 0},
		{keyUnregisterController, 0, 0},
		{keyOffsetCommit, 2, 10},
		{keyOffsetFetch, 1, 10},
		{keyFindCoordinator, 0, 6},
		{keyJoinGroup, 0, 9},
		{keyHeartbeat, 0, 4},
		{keyLeaveGroup, 0, 5},
		{keySyncGroup, 0, 5},
		{keyDescribeGroups, 0, 6},
		{keyListGroups, 0, 5},
		{keyDeleteGroups, 0, 3},
		{keyOffsetDelete, 0, 0},
	}
}

// Missing is an API that Kafka advertises and that has no cases, since Moldau does not serve it yet.
type Missing struct {
	API
	Why string
}

// NotServed lists them. A test holds it and Table together against what Kafka advertises: nothing may be in neither, or in both.
func NotServed() []Missing {
	const (
		login    = "no listener asks for a login yet"
		txn      = "transactions are not served yet"
		consumer = "groups of the consumer protocol (KIP-848) are not served yet"
		share    = "share groups are not served yet"
		streams  = "streams groups are not served yet"
	)
	return []Missing{
		{API{17, 0, 1}, login},    // SaslHandshake
		{API{24, 0, 5}, txn},      // AddPartitionsToTxn
		{API{25, 0, 4}, txn},      // AddOffsetsToTxn
		{API{26, 0, 5}, txn},      // EndTxn
		{API{27, 1, 2}, txn},      // WriteTxnMarkers
		{API{28, 0, 6}, txn},      // TxnOffsetCommit
		{API{36, 0, 2}, login},    // SaslAuthenticate
		{API{65, 0, 0}, txn},      // DescribeTransactions
		{API{66, 0, 2}, txn},      // ListTransactions
		{API{68, 0, 1}, consumer}, // ConsumerGroupHeartbeat
		{API{69, 0, 1}, consumer}, // ConsumerGroupDescribe
		{API{76, 1, 1}, share},    // ShareGroupHeartbeat
		{API{77, 1, 1}, share},    // ShareGroupDescribe
		{API{78, 1, 2}, share},    // ShareFetch
		{API{79, 1, 2}, share},    // ShareAcknowledge
		{API{83, 0, 0}, share},    // InitializeShareGroupState
		{API{84, 0, 0}, share},    // ReadShareGroupState
		{API{85, 0, 1}, share},    // WriteShareGroupState
		{API{86, 0, 0}, share},    // DeleteShareGroupState
		{API{87, 0, 1}, share},    // ReadShareGroupStateSummary
		{API{88, 0, 1}, streams},  // StreamsGroupHeartbeat
		{API{89, 0, 1}, streams},  // StreamsGroupDescribe
		{API{90, 0, 1}, share},    // DescribeShareGroupOffsets
		{API{91, 0, 0}, share},    // AlterShareGroupOffsets
		{API{92, 0, 0}, share},    // DeleteShareGroupOffsets
		{API{93, 0, 0}, streams},  // StreamsGroupTopologyDescriptionUpdate
	}
}
