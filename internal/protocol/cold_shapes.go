package protocol

import (
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func sizeOf[T any]() int64 {
	var zero T
	return int64(unsafe.Sizeof(zero))
}

// structOfOne marks the element of an array that is a structure of a single field, and so has a tag section of its own.
var structOfOne = field{kind: fixed1, from: never, to: -1}

// coldShapes describes the requests that DecodeCold accepts. An API is served from its row on.
var coldShapes = map[APIKey][]field{
	KeyListOffsets: {
		one(fixed4),          // replica id
		one(fixed1).since(2), // isolation level
		list(sizeOf[kmsg.ListOffsetsRequestTopic](),
			one(text),
			list(sizeOf[kmsg.ListOffsetsRequestTopicPartition](),
				one(fixed4),          // partition
				one(fixed4).since(4), // current leader epoch
				one(fixed8),          // timestamp
			)),
		one(fixed4).since(10), // timeout
	},
	KeyMetadata: {
		list(sizeOf[kmsg.MetadataRequestTopic](),
			one(fixed16).since(10),  // topic id
			one(text).nullSince(10), // name
			structOfOne,
		).nullSince(1),
		one(fixed1).since(4),           // allow auto creation
		one(fixed1).since(8).until(10), // include cluster authorized operations
		one(fixed1).since(8),           // include topic authorized operations
	},
	KeyFindCoordinator: {
		one(text).until(3),           // key
		one(fixed1).since(1),         // key type
		list(16, one(text)).since(4), // keys
	},
	KeyOffsetCommit: {
		one(text),                       // group
		one(fixed4),                     // generation
		one(text),                       // member
		one(text).since(7).nullSince(7), // instance
		one(fixed8).since(2).until(4),   // retention
		list(sizeOf[kmsg.OffsetCommitRequestTopic](),
			one(text).until(9),     // name
			one(fixed16).since(10), // id
			list(sizeOf[kmsg.OffsetCommitRequestTopicPartition](),
				one(fixed4),            // partition
				one(fixed8),            // offset
				one(fixed4).since(6),   // leader epoch
				one(text).nullSince(0), // metadata
			)),
	},
	KeyOffsetFetch: {
		one(text).until(7), // group
		list(sizeOf[kmsg.OffsetFetchRequestTopic](),
			one(text),            // name
			list(4, one(fixed4)), // partitions
		).until(7).nullSince(2),
		list(sizeOf[kmsg.OffsetFetchRequestGroup](),
			one(text),                       // group
			one(text).since(9).nullSince(9), // member
			one(fixed4).since(9),            // member epoch
			list(sizeOf[kmsg.OffsetFetchRequestGroupTopic](),
				one(text).until(9),     // name
				one(fixed16).since(10), // id
				list(4, one(fixed4)),   // partitions
			).nullSince(0),
		).since(8),
		one(fixed1).since(7), // require stable
	},
	KeyJoinGroup: {
		one(text),                       // group
		one(fixed4),                     // session time-out
		one(fixed4).since(1),            // rebalance time-out
		one(text),                       // member
		one(text).since(5).nullSince(5), // instance
		one(text),                       // protocol type
		list(sizeOf[kmsg.JoinGroupRequestProtocol](),
			one(text), // name
			one(blob), // metadata
		),
		one(text).since(8).nullSince(8), // reason
	},
	KeyHeartbeat: {
		one(text),                       // group
		one(fixed4),                     // generation
		one(text),                       // member
		one(text).since(3).nullSince(3), // instance
	},
	KeyLeaveGroup: {
		one(text),          // group
		one(text).until(2), // member
		list(sizeOf[kmsg.LeaveGroupRequestMember](),
			one(text),                       // member
			one(text).nullSince(3),          // instance
			one(text).since(5).nullSince(5), // reason
		).since(3),
	},
	KeySyncGroup: {
		one(text),                       // group
		one(fixed4),                     // generation
		one(text),                       // member
		one(text).since(3).nullSince(3), // instance
		one(text).since(5).nullSince(5), // protocol type
		one(text).since(5).nullSince(5), // protocol
		list(sizeOf[kmsg.SyncGroupRequestGroupAssignment](),
			one(text), // member
			one(blob), // assignment
		),
	},
	KeyDescribeGroups: {
		list(16, one(text)),  // groups
		one(fixed1).since(3), // include authorized operations
	},
	KeyListGroups: {
		list(16, one(text)).since(4), // states
		list(16, one(text)).since(5), // types
	},
	KeyOffsetDelete: {
		one(text), // group
		list(sizeOf[kmsg.OffsetDeleteRequestTopic](),
			one(text), // name
			list(sizeOf[kmsg.OffsetDeleteRequestTopicPartition](),
				one(fixed4), // partition
			)),
	},
	KeyDeleteGroups: {
		list(16, one(text)), // groups
	},
	KeyAPIVersions: {
		one(text).since(3),              // client software name
		one(text).since(3),              // client software version
		one(text).since(5).nullSince(5), // cluster id
		one(fixed4).since(5),            // node id
	},
	KeyCreateTopics: {
		list(sizeOf[kmsg.CreateTopicsRequestTopic](),
			one(text),   // name
			one(fixed4), // partitions
			one(fixed2), // replication factor
			list(sizeOf[kmsg.CreateTopicsRequestTopicReplicaAssignment](),
				one(fixed4),          // partition
				list(4, one(fixed4)), // brokers
			),
			list(sizeOf[kmsg.CreateTopicsRequestTopicConfig](),
				one(text),              // name
				one(text).nullSince(0), // value
			)),
		one(fixed4), // timeout
		one(fixed1), // validate only
	},
	KeyDeleteTopics: {
		list(16, one(text)).until(5),
		list(sizeOf[kmsg.DeleteTopicsRequestTopic](),
			one(text).nullSince(6),
			one(fixed16),
		).since(6),
		one(fixed4), // timeout
	},
	KeyDeleteRecords: {
		list(sizeOf[kmsg.DeleteRecordsRequestTopic](),
			one(text),
			list(sizeOf[kmsg.DeleteRecordsRequestTopicPartition](),
				one(fixed4), // partition
				one(fixed8), // offset
			)),
		one(fixed4), // timeout
	},
	KeyInitProducerID: {
		one(text).nullSince(0), // transactional id
		one(fixed4),            // transaction timeout
		one(fixed8).since(3),   // producer id
		one(fixed2).since(3),   // producer epoch
	},
	KeyOffsetForLeaderEpoch: {
		one(fixed4).since(3), // replica id
		list(sizeOf[kmsg.OffsetForLeaderEpochRequestTopic](),
			one(text),
			list(sizeOf[kmsg.OffsetForLeaderEpochRequestTopicPartition](),
				one(fixed4), // partition
				one(fixed4), // current leader epoch
				one(fixed4), // leader epoch
			)),
	},
	KeyDescribeConfigs: {
		list(sizeOf[kmsg.DescribeConfigsRequestResource](),
			one(fixed1), // type
			one(text),   // name
			list(16, one(text)).nullSince(0),
		),
		one(fixed1),          // include synonyms
		one(fixed1).since(3), // include documentation
	},
	KeyAlterConfigs: {
		list(sizeOf[kmsg.AlterConfigsRequestResource](),
			one(fixed1), // type
			one(text),   // name
			list(sizeOf[kmsg.AlterConfigsRequestResourceConfig](),
				one(text),              // name
				one(text).nullSince(0), // value
			)),
		one(fixed1), // validate only
	},
	KeyListConfigResources: {
		list(1, one(fixed1)).since(1), // types
	},
	KeyCreatePartitions: {
		list(sizeOf[kmsg.CreatePartitionsRequestTopic](),
			one(text),   // name
			one(fixed4), // count
			list(sizeOf[kmsg.CreatePartitionsRequestTopicAssignment](),
				list(4, one(fixed4)), // brokers
				structOfOne,
			).nullSince(0)),
		one(fixed4), // timeout
		one(fixed1), // validate only
	},
	KeyIncrementalAlterConfigs: {
		list(sizeOf[kmsg.IncrementalAlterConfigsRequestResource](),
			one(fixed1), // type
			one(text),   // name
			list(sizeOf[kmsg.IncrementalAlterConfigsRequestResourceConfig](),
				one(text),              // name
				one(fixed1),            // operation
				one(text).nullSince(0), // value
			)),
		one(fixed1), // validate only
	},
	KeyAlterReplicaLogDirs: {
		list(sizeOf[kmsg.AlterReplicaLogDirsRequestDir](),
			one(text), // path
			list(sizeOf[kmsg.AlterReplicaLogDirsRequestDirTopic](),
				one(text),            // name
				list(4, one(fixed4)), // partitions
			)),
	},
	KeyDescribeLogDirs: {
		list(sizeOf[kmsg.DescribeLogDirsRequestTopic](),
			one(text),            // name
			list(4, one(fixed4)), // partitions
		).nullSince(1),
	},
	KeyDescribeACLs: {
		one(fixed1),            // resource type
		one(text).nullSince(0), // resource name
		one(fixed1).since(1),   // pattern type
		one(text).nullSince(0), // principal
		one(text).nullSince(0), // host
		one(fixed1),            // operation
		one(fixed1),            // permission type
	},
	KeyCreateACLs: {
		list(sizeOf[kmsg.CreateACLsRequestCreation](),
			one(fixed1),          // resource type
			one(text),            // resource name
			one(fixed1).since(1), // pattern type
			one(text),            // principal
			one(text),            // host
			one(fixed1),          // operation
			one(fixed1),          // permission type
		),
	},
	KeyDeleteACLs: {
		list(sizeOf[kmsg.DeleteACLsRequestFilter](),
			one(fixed1),            // resource type
			one(text).nullSince(0), // resource name
			one(fixed1).since(1),   // pattern type
			one(text).nullSince(0), // principal
			one(text).nullSince(0), // host
			one(fixed1),            // operation
			one(fixed1),            // permission type
		),
	},
	KeyCreateDelegationToken: {
		one(text).since(3).nullSince(3), // type of the owner
		one(text).since(3).nullSince(3), // owner
		list(sizeOf[kmsg.CreateDelegationTokenRequestRenewer](),
			one(text), // type
			one(text), // name
		),
		one(fixed8), // max lifetime
	},
	KeyRenewDelegationToken: {
		one(blob),   // HMAC
		one(fixed8), // period
	},
	KeyExpireDelegationToken: {
		one(blob),   // HMAC
		one(fixed8), // period
	},
	KeyDescribeDelegationToken: {
		list(sizeOf[kmsg.DescribeDelegationTokenRequestOwner](),
			one(text), // type
			one(text), // name
		).nullSince(0),
	},
	KeyElectLeaders: {
		one(fixed1).since(1), // election type
		list(sizeOf[kmsg.ElectLeadersRequestTopic](),
			one(text),            // name
			list(4, one(fixed4)), // partitions
		).nullSince(0),
		one(fixed4), // timeout
	},
	KeyAlterPartitionReassignments: {
		one(fixed4),          // timeout
		one(fixed1).since(1), // allow change of the replication factor
		list(sizeOf[kmsg.AlterPartitionAssignmentsRequestTopic](),
			one(text), // name
			list(sizeOf[kmsg.AlterPartitionAssignmentsRequestTopicPartition](),
				one(fixed4),                       // partition
				list(4, one(fixed4)).nullSince(0), // replicas
			)),
	},
	KeyListPartitionReassignments: {
		one(fixed4), // timeout
		list(sizeOf[kmsg.ListPartitionReassignmentsRequestTopic](),
			one(text),            // name
			list(4, one(fixed4)), // partitions
		).nullSince(0),
	},
	KeyDescribeClientQuotas: {
		list(sizeOf[kmsg.DescribeClientQuotasRequestComponent](),
			one(text),              // kind
			one(fixed1),            // how it matches
			one(text).nullSince(0), // name
		),
		one(fixed1), // strict
	},
	KeyAlterClientQuotas: {
		list(sizeOf[kmsg.AlterClientQuotasRequestEntry](),
			list(sizeOf[kmsg.AlterClientQuotasRequestEntryEntity](),
				one(text),              // kind
				one(text).nullSince(0), // name
			),
			list(sizeOf[kmsg.AlterClientQuotasRequestEntryOp](),
				one(text),   // quota
				one(fixed8), // value
				one(fixed1), // remove
			)),
		one(fixed1), // validate only
	},
	KeyDescribeUserScramCredentials: {
		list(sizeOf[kmsg.DescribeUserSCRAMCredentialsRequestUser](),
			one(text), // name
			structOfOne,
		).nullSince(0),
	},
	KeyAlterUserScramCredentials: {
		list(sizeOf[kmsg.AlterUserSCRAMCredentialsRequestDeletion](),
			one(text),   // name
			one(fixed1), // mechanism
		),
		list(sizeOf[kmsg.AlterUserSCRAMCredentialsRequestUpsertion](),
			one(text),   // name
			one(fixed1), // mechanism
			one(fixed4), // iterations
			one(blob),   // salt
			one(blob),   // salted password
		),
	},
	KeyDescribeQuorum: {
		list(sizeOf[kmsg.DescribeQuorumRequestTopic](),
			one(text), // name
			list(sizeOf[kmsg.DescribeQuorumRequestTopicPartition](),
				one(fixed4), // partition
				structOfOne,
			)),
	},
	KeyUpdateFeatures: {
		one(fixed4), // timeout
		list(sizeOf[kmsg.UpdateFeaturesRequestFeatureUpdate](),
			one(text),            // feature
			one(fixed2),          // level
			one(fixed1).until(0), // allow downgrade
			one(fixed1).since(1), // upgrade type
		),
		one(fixed1).since(1), // validate only
	},
	KeyDescribeProducers: {
		list(sizeOf[kmsg.DescribeProducersRequestTopic](),
			one(text),            // name
			list(4, one(fixed4)), // partitions
		),
	},
	KeyUnregisterBroker: {
		one(fixed4), // broker
	},
	KeyAddRaftVoter: {
		one(text).nullSince(0), // cluster
		one(fixed4),            // timeout
		one(fixed4),            // voter
		one(fixed16),           // directory
		list(sizeOf[kmsg.AddRaftVoterRequestListener](),
			one(text),   // name
			one(text),   // host
			one(fixed2), // port
		),
		one(fixed1).since(1), // wait for the commit
	},
	KeyRemoveRaftVoter: {
		one(text).nullSince(0), // cluster
		one(fixed4),            // voter
		one(fixed16),           // directory
	},
	KeyUnregisterController: {
		one(fixed4), // controller
	},
	KeyDescribeTopicPartitions: {
		list(sizeOf[kmsg.DescribeTopicPartitionsRequestTopic](),
			one(text), // name
			structOfOne,
		),
		one(fixed4), // limit of partitions
		maybe(sizeOf[kmsg.DescribeTopicPartitionsRequestCursor](),
			one(text),   // topic
			one(fixed4), // partition
		),
	},
	KeyDescribeCluster: {
		one(fixed1),          // include authorized operations
		one(fixed1).since(1), // endpoint type
		one(fixed1).since(2), // include fenced brokers
	},
}
