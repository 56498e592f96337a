package protocol

import "strconv"

// APIKey names a request type. The numbers are Kafka's and frozen.
type APIKey int16

// The API keys of Apache Kafka 4.4.
const (
	KeyProduce                               APIKey = 0
	KeyFetch                                 APIKey = 1
	KeyListOffsets                           APIKey = 2
	KeyMetadata                              APIKey = 3
	KeyOffsetCommit                          APIKey = 8
	KeyOffsetFetch                           APIKey = 9
	KeyFindCoordinator                       APIKey = 10
	KeyJoinGroup                             APIKey = 11
	KeyHeartbeat                             APIKey = 12
	KeyLeaveGroup                            APIKey = 13
	KeySyncGroup                             APIKey = 14
	KeyDescribeGroups                        APIKey = 15
	KeyListGroups                            APIKey = 16
	KeySASLHandshake                         APIKey = 17
	KeyAPIVersions                           APIKey = 18
	KeyCreateTopics                          APIKey = 19
	KeyDeleteTopics                          APIKey = 20
	KeyDeleteRecords                         APIKey = 21
	KeyInitProducerID                        APIKey = 22
	KeyOffsetForLeaderEpoch                  APIKey = 23
	KeyAddPartitionsToTxn                    APIKey = 24
	KeyAddOffsetsToTxn                       APIKey = 25
	KeyEndTxn                                APIKey = 26
	KeyWriteTxnMarkers                       APIKey = 27
	KeyTxnOffsetCommit                       APIKey = 28
	KeyDescribeACLs                          APIKey = 29
	KeyCreateACLs                            APIKey = 30
	KeyDeleteACLs                            APIKey = 31
	KeyDescribeConfigs                       APIKey = 32
	KeyAlterConfigs                          APIKey = 33
	KeyAlterReplicaLogDirs                   APIKey = 34
	KeyDescribeLogDirs                       APIKey = 35
	KeySASLAuthenticate                      APIKey = 36
	KeyCreatePartitions                      APIKey = 37
	KeyCreateDelegationToken                 APIKey = 38
	KeyRenewDelegationToken                  APIKey = 39
	KeyExpireDelegationToken                 APIKey = 40
	KeyDescribeDelegationToken               APIKey = 41
	KeyDeleteGroups                          APIKey = 42
	KeyElectLeaders                          APIKey = 43
	KeyIncrementalAlterConfigs               APIKey = 44
	KeyAlterPartitionReassignments           APIKey = 45
	KeyListPartitionReassignments            APIKey = 46
	KeyOffsetDelete                          APIKey = 47
	KeyDescribeClientQuotas                  APIKey = 48
	KeyAlterClientQuotas                     APIKey = 49
	KeyDescribeUserScramCredentials          APIKey = 50
	KeyAlterUserScramCredentials             APIKey = 51
	KeyVote                                  APIKey = 52
	KeyBeginQuorumEpoch                      APIKey = 53
	KeyEndQuorumEpoch                        APIKey = 54
	KeyDescribeQuorum                        APIKey = 55
	KeyAlterPartition                        APIKey = 56
	KeyUpdateFeatures                        APIKey = 57
	KeyEnvelope                              APIKey = 58
	KeyFetchSnapshot                         APIKey = 59
	KeyDescribeCluster                       APIKey = 60
	KeyDescribeProducers                     APIKey = 61
	KeyBrokerRegistration                    APIKey = 62
	KeyBrokerHeartbeat                       APIKey = 63
	KeyUnregisterBroker                      APIKey = 64
	KeyDescribeTransactions                  APIKey = 65
	KeyListTransactions                      APIKey = 66
	KeyAllocateProducerIDs                   APIKey = 67
	KeyConsumerGroupHeartbeat                APIKey = 68
	KeyConsumerGroupDescribe                 APIKey = 69
	KeyControllerRegistration                APIKey = 70
	KeyGetTelemetrySubscriptions             APIKey = 71
	KeyPushTelemetry                         APIKey = 72
	KeyAssignReplicasToDirs                  APIKey = 73
	KeyListConfigResources                   APIKey = 74
	KeyDescribeTopicPartitions               APIKey = 75
	KeyShareGroupHeartbeat                   APIKey = 76
	KeyShareGroupDescribe                    APIKey = 77
	KeyShareFetch                            APIKey = 78
	KeyShareAcknowledge                      APIKey = 79
	KeyAddRaftVoter                          APIKey = 80
	KeyRemoveRaftVoter                       APIKey = 81
	KeyUpdateRaftVoter                       APIKey = 82
	KeyInitializeShareGroupState             APIKey = 83
	KeyReadShareGroupState                   APIKey = 84
	KeyWriteShareGroupState                  APIKey = 85
	KeyDeleteShareGroupState                 APIKey = 86
	KeyReadShareGroupStateSummary            APIKey = 87
	KeyStreamsGroupHeartbeat                 APIKey = 88
	KeyStreamsGroupDescribe                  APIKey = 89
	KeyDescribeShareGroupOffsets             APIKey = 90
	KeyAlterShareGroupOffsets                APIKey = 91
	KeyDeleteShareGroupOffsets               APIKey = 92
	KeyStreamsGroupTopologyDescriptionUpdate APIKey = 93
	KeyUnregisterController                  APIKey = 94
)

// API describes the wire shape of one request type: which versions Kafka 4.4 knows, and from which on it is flexible
// (compact lengths, tag sections). It does not say what this broker serves.
type API struct {
	Name         string
	Min, Max     int16
	FlexibleFrom int16 // never, if larger than Max
}

// never marks an API without flexible versions.
const never = 1<<15 - 1

// apis is indexed by key. Keys 4 to 7 belonged to the ZooKeeper era and stay reserved.
var apis = [...]API{
	KeyProduce:                               {"Produce", 3, 13, 9},
	KeyFetch:                                 {"Fetch", 4, 18, 12},
	KeyListOffsets:                           {"ListOffsets", 1, 11, 6},
	KeyMetadata:                              {"Metadata", 0, 13, 9},
	KeyOffsetCommit:                          {"OffsetCommit", 2, 10, 8},
	KeyOffsetFetch:                           {"OffsetFetch", 1, 10, 6},
	KeyFindCoordinator:                       {"FindCoordinator", 0, 6, 3},
	KeyJoinGroup:                             {"JoinGroup", 0, 9, 6},
	KeyHeartbeat:                             {"Heartbeat", 0, 4, 4},
	KeyLeaveGroup:                            {"LeaveGroup", 0, 5, 4},
	KeySyncGroup:                             {"SyncGroup", 0, 5, 4},
	KeyDescribeGroups:                        {"DescribeGroups", 0, 6, 5},
	KeyListGroups:                            {"ListGroups", 0, 5, 3},
	KeySASLHandshake:                         {"SaslHandshake", 0, 1, never},
	KeyAPIVersions:                           {"ApiVersions", 0, 5, 3},
	KeyCreateTopics:                          {"CreateTopics", 2, 7, 5},
	KeyDeleteTopics:                          {"DeleteTopics", 1, 6, 4},
	KeyDeleteRecords:                         {"DeleteRecords", 0, 2, 2},
	KeyInitProducerID:                        {"InitProducerId", 0, 5, 2},
	KeyOffsetForLeaderEpoch:                  {"OffsetForLeaderEpoch", 2, 4, 4},
	KeyAddPartitionsToTxn:                    {"AddPartitionsToTxn", 0, 5, 3},
	KeyAddOffsetsToTxn:                       {"AddOffsetsToTxn", 0, 4, 3},
	KeyEndTxn:                                {"EndTxn", 0, 5, 3},
	KeyWriteTxnMarkers:                       {"WriteTxnMarkers", 1, 2, 1},
	KeyTxnOffsetCommit:                       {"TxnOffsetCommit", 0, 6, 3},
	KeyDescribeACLs:                          {"DescribeAcls", 1, 3, 2},
	KeyCreateACLs:                            {"CreateAcls", 1, 3, 2},
	KeyDeleteACLs:                            {"DeleteAcls", 1, 3, 2},
	KeyDescribeConfigs:                       {"DescribeConfigs", 1, 4, 4},
	KeyAlterConfigs:                          {"AlterConfigs", 0, 2, 2},
	KeyAlterReplicaLogDirs:                   {"AlterReplicaLogDirs", 1, 2, 2},
	KeyDescribeLogDirs:                       {"DescribeLogDirs", 1, 5, 2},
	KeySASLAuthenticate:                      {"SaslAuthenticate", 0, 2, 2},
	KeyCreatePartitions:                      {"CreatePartitions", 0, 3, 2},
	KeyCreateDelegationToken:                 {"CreateDelegationToken", 1, 3, 2},
	KeyRenewDelegationToken:                  {"RenewDelegationToken", 1, 2, 2},
	KeyExpireDelegationToken:                 {"ExpireDelegationToken", 1, 2, 2},
	KeyDescribeDelegationToken:               {"DescribeDelegationToken", 1, 3, 2},
	KeyDeleteGroups:                          {"DeleteGroups", 0, 3, 2},
	KeyElectLeaders:                          {"ElectLeaders", 0, 2, 2},
	KeyIncrementalAlterConfigs:               {"IncrementalAlterConfigs", 0, 1, 1},
	KeyAlterPartitionReassignments:           {"AlterPartitionReassignments", 0, 1, 0},
	KeyListPartitionReassignments:            {"ListPartitionReassignments", 0, 0, 0},
	KeyOffsetDelete:                          {"OffsetDelete", 0, 0, never},
	KeyDescribeClientQuotas:                  {"DescribeClientQuotas", 0, 1, 1},
	KeyAlterClientQuotas:                     {"AlterClientQuotas", 0, 1, 1},
	KeyDescribeUserScramCredentials:          {"DescribeUserScramCredentials", 0, 0, 0},
	KeyAlterUserScramCredentials:             {"AlterUserScramCredentials", 0, 0, 0},
	KeyVote:                                  {"Vote", 0, 2, 0},
	KeyBeginQuorumEpoch:                      {"BeginQuorumEpoch", 0, 1, 1},
	KeyEndQuorumEpoch:                        {"EndQuorumEpoch", 0, 1, 1},
	KeyDescribeQuorum:                        {"DescribeQuorum", 0, 2, 0},
	KeyAlterPartition:                        {"AlterPartition", 2, 3, 0},
	KeyUpdateFeatures:                        {"UpdateFeatures", 0, 2, 0},
	KeyEnvelope:                              {"Envelope", 0, 0, 0},
	KeyFetchSnapshot:                         {"FetchSnapshot", 0, 1, 0},
	KeyDescribeCluster:                       {"DescribeCluster", 0, 2, 0},
	KeyDescribeProducers:                     {"DescribeProducers", 0, 0, 0},
	KeyBrokerRegistration:                    {"BrokerRegistration", 0, 4, 0},
	KeyBrokerHeartbeat:                       {"BrokerHeartbeat", 0, 2, 0},
	KeyUnregisterBroker:                      {"UnregisterBroker", 0, 0, 0},
	KeyDescribeTransactions:                  {"DescribeTransactions", 0, 0, 0},
	KeyListTransactions:                      {"ListTransactions", 0, 2, 0},
	KeyAllocateProducerIDs:                   {"AllocateProducerIds", 0, 0, 0},
	KeyConsumerGroupHeartbeat:                {"ConsumerGroupHeartbeat", 0, 1, 0},
	KeyConsumerGroupDescribe:                 {"ConsumerGroupDescribe", 0, 1, 0},
	KeyControllerRegistration:                {"ControllerRegistration", 0, 0, 0},
	KeyGetTelemetrySubscriptions:             {"GetTelemetrySubscriptions", 0, 0, 0},
	KeyPushTelemetry:                         {"PushTelemetry", 0, 0, 0},
	KeyAssignReplicasToDirs:                  {"AssignReplicasToDirs", 0, 0, 0},
	KeyListConfigResources:                   {"ListConfigResources", 0, 1, 0},
	KeyDescribeTopicPartitions:               {"DescribeTopicPartitions", 0, 0, 0},
	KeyShareGroupHeartbeat:                   {"ShareGroupHeartbeat", 1, 1, 0},
	KeyShareGroupDescribe:                    {"ShareGroupDescribe", 1, 1, 0},
	KeyShareFetch:                            {"ShareFetch", 1, 2, 0},
	KeyShareAcknowledge:                      {"ShareAcknowledge", 1, 2, 0},
	KeyAddRaftVoter:                          {"AddRaftVoter", 0, 1, 0},
	KeyRemoveRaftVoter:                       {"RemoveRaftVoter", 0, 0, 0},
	KeyUpdateRaftVoter:                       {"UpdateRaftVoter", 0, 0, 0},
	KeyInitializeShareGroupState:             {"InitializeShareGroupState", 0, 0, 0},
	KeyReadShareGroupState:                   {"ReadShareGroupState", 0, 0, 0},
	KeyWriteShareGroupState:                  {"WriteShareGroupState", 0, 1, 0},
	KeyDeleteShareGroupState:                 {"DeleteShareGroupState", 0, 0, 0},
	KeyReadShareGroupStateSummary:            {"ReadShareGroupStateSummary", 0, 1, 0},
	KeyStreamsGroupHeartbeat:                 {"StreamsGroupHeartbeat", 0, 1, 0},
	KeyStreamsGroupDescribe:                  {"StreamsGroupDescribe", 0, 1, 0},
	KeyDescribeShareGroupOffsets:             {"DescribeShareGroupOffsets", 0, 1, 0},
	KeyAlterShareGroupOffsets:                {"AlterShareGroupOffsets", 0, 0, 0},
	KeyDeleteShareGroupOffsets:               {"DeleteShareGroupOffsets", 0, 0, 0},
	KeyStreamsGroupTopologyDescriptionUpdate: {"StreamsGroupTopologyDescriptionUpdate", 0, 0, 0},
	KeyUnregisterController:                  {"UnregisterController", 0, 0, 0},
}

// Lookup returns the wire shape of key; ok is false for keys that Kafka 4.4 does not have.
func Lookup(key APIKey) (a API, ok bool) {
	if key.Private() {
		return private[key-KeyNodeInfo], true
	}
	if key < 0 || int(key) >= len(apis) || apis[key].Name == "" {
		return API{}, false
	}
	return apis[key], true
}

// Knows says whether version is one of Kafka 4.4's.
func (a API) Knows(version int16) bool { return version >= a.Min && version <= a.Max }

// Flexible says whether a version uses compact lengths and tag sections.
func (a API) Flexible(version int16) bool { return version >= a.FlexibleFrom }

// String returns Kafka's name of the key, or its number where there is none.
func (k APIKey) String() string {
	if a, ok := Lookup(k); ok {
		return a.Name
	}
	return strconv.Itoa(int(k))
}
