package diff

import (
	"fmt"
	"slices"
)

// Kind says what a case of one (API, version) is for. Each version needs at least one of each.
type Kind string

const (
	Ordinary Kind = "ordinary" // what a client sends every day
	Boundary Kind = "boundary" // legal, at the edge of what the protocol allows
	Wrong    Kind = "wrong"    // refused, or not even a request
)

// Case is one script. Cases are independent: each uses topics and connections of its own.
type Case struct {
	Suite      string // the file the answers are kept in: an API's name, or the name of a sequence
	API        int16  // the API the case belongs to; -1 for a sequence
	Version    int16  // the version it covers; -1 for a sequence
	Kind       Kind
	Name       string               // unique within the suite
	Broker     string               // the broker it is played to
	Controller func(key int16) bool // which requests go to the listener for controllers; nil: none
	Alone      bool                 // it restarts the broker: no other case is played meanwhile, not even where they are played together
	Run        func(*Script)
}

// ID names the case among all cases.
func (c Case) ID() string { return c.Suite + "/" + c.Name }

// suites derives the cases of one version of an API.
var suites = map[int16]func(version int16) *suite{
	keyProduce:                      produceCases,
	keyFetch:                        fetchCases,
	keyListOffsets:                  listOffsetsCases,
	keyMetadata:                     metadataCases,
	keyApiVersions:                  apiVersionsCases,
	keyCreateTopics:                 createTopicsCases,
	keyDeleteTopics:                 deleteTopicsCases,
	keyDeleteRecords:                deleteRecordsCases,
	keyInitProducerID:               initProducerIDCases,
	keyOffsetForLeaderEpoch:         offsetForLeaderEpochCases,
	keyDescribeConfigs:              describeConfigsCases,
	keyAlterReplicaLogDirs:          alterReplicaLogDirsCases,
	keyDescribeLogDirs:              describeLogDirsCases,
	keyCreatePartitions:             createPartitionsCases,
	keyIncrementalAlterConfigs:      incrementalAlterConfigsCases,
	keyDescribeCluster:              describeClusterCases,
	keyOffsetCommit:                 offsetCommitCases,
	keyOffsetFetch:                  offsetFetchCases,
	keyFindCoordinator:              findCoordinatorCases,
	keyJoinGroup:                    joinGroupCases,
	keyHeartbeat:                    heartbeatCases,
	keyLeaveGroup:                   leaveGroupCases,
	keySyncGroup:                    syncGroupCases,
	keyDescribeGroups:               describeGroupsCases,
	keyListGroups:                   listGroupsCases,
	keyDeleteGroups:                 deleteGroupsCases,
	keyOffsetDelete:                 offsetDeleteCases,
	keyDescribeAcls:                 describeACLsCases,
	keyCreateAcls:                   createACLsCases,
	keyDeleteAcls:                   deleteACLsCases,
	keyCreateDelegationToken:        createTokenCases,
	keyRenewDelegationToken:         renewTokenCases,
	keyExpireDelegationToken:        expireTokenCases,
	keyDescribeDelegationToken:      describeTokenCases,
	keyElectLeaders:                 electLeadersCases,
	keyAlterPartitionReassignments:  reassignCases,
	keyListPartitionReassignments:   listReassignmentsCases,
	keyDescribeClientQuotas:         describeQuotasCases,
	keyAlterClientQuotas:            alterQuotasCases,
	keyDescribeUserScramCredentials: describeScramCases,
	keyAlterUserScramCredentials:    alterScramCases,
	keyDescribeQuorum:               describeQuorumCases,
	keyUpdateFeatures:               updateFeaturesCases,
	keyDescribeProducers:            describeProducersCases,
	keyUnregisterBroker:             unregisterBrokerCases,
	keyDescribeTopicPartitions:      describePartitionsCases,
	keyAlterConfigs:                 alterConfigsCases,
	keyListConfigResources:          listConfigResourcesCases,
	keyAddRaftVoter:                 addVoterCases,
	keyRemoveRaftVoter:              removeVoterCases,
	keyUnregisterController:         unregisterControllerCases,
}

// suite collects the cases of one version of one API.
type suite struct {
	api     API
	version int16
	cases   []Case
}

func newSuite(key, version int16) *suite {
	return &suite{api: API{Key: key, Min: version, Max: version}, version: version}
}

// add appends a case; name tells several of one kind apart and may be empty.
func (s *suite) add(kind Kind, name string, run func(*Script)) {
	full := fmt.Sprintf("v%d/%s", s.version, kind)
	if name != "" {
		full += "-" + name
	}
	c := Case{Suite: s.api.Name(), API: s.api.Key, Version: s.version, Kind: kind, Name: full, Run: run}
	if slices.Contains(groupKeys, s.api.Key) {
		c.Broker = groupsBroker
	}
	if slices.Contains(settingKeys, s.api.Key) {
		c.Broker = settingsBroker
	}
	if slices.Contains(quotaKeys, s.api.Key) {
		c.Broker = quotasBroker
	}
	if s.api.Key == keyAlterReplicaLogDirs {
		c.Broker = dirsBroker
	}
	s.cases = append(s.cases, c)
}

// Cases derives every case of a table of APIs, followed by the sequences.
func Cases(table []API) ([]Case, error) {
	var all []Case
	for _, api := range table {
		derive, ok := suites[api.Key]
		if !ok {
			return nil, fmt.Errorf("%s (key %d) has no cases", api.Name(), api.Key)
		}
		for v := api.Min; v <= api.Max; v++ {
			all = append(all, derive(v).cases...)
		}
	}
	all = append(all, controllerCases(table)...)
	all = append(all, Sequences()...)
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.ID()] {
			return nil, fmt.Errorf("two cases are called %s", c.ID())
		}
		seen[c.ID()] = true
	}
	return all, nil
}

// sequence is a script of several requests. Its answers get a file of their own.
func sequence(name string, run func(*Script)) Case {
	return Case{Suite: "seq-" + name, API: -1, Version: -1, Name: "sequence", Run: run}
}

// Sequences returns the scripts of several requests.
func Sequences() []Case {
	var all []Case
	for _, some := range [][]Case{
		wireSequences(), topicSequences(), produceSequences(), idempotentSequences(), fetchSequences(), sessionSequences(), logSequences(), restartSequences(),
		groupSequences(), staticSequences(), committedSequences(), timerSequences(), limitSequences(), hostileGroupSequences(), groupWireSequences(), walkSequences(), restartGroupSequences(), restartWalkSequences(), restartTimerSequences(),
		settingsSequences(), valueSequences(), startedSequences(), quotaSequences(), actingQuotas(), moveSequences(), {firstUse(), controllerWire(), controllerSettings(), controllerSettingsOfBrokers()},
	} {
		all = append(all, some...)
	}
	return all
}
