package diff

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// controllerAPIs are the APIs that admin clients use on a listener for controllers (KIP-919). What Kafka's nodes say to one another there
// is not among them.
var controllerAPIs = []int16{
	keyApiVersions, keyCreateTopics, keyDeleteTopics, keyDescribeAcls, keyCreateAcls, keyDeleteAcls, keyDescribeConfigs, keyAlterConfigs,
	keyCreatePartitions, keyCreateDelegationToken, keyRenewDelegationToken, keyExpireDelegationToken, keyDescribeDelegationToken, keyElectLeaders,
	keyIncrementalAlterConfigs, keyAlterPartitionReassignments, keyListPartitionReassignments, keyAlterClientQuotas, keyDescribeUserScramCredentials, keyAlterUserScramCredentials,
	keyDescribeQuorum, keyUpdateFeatures, keyDescribeCluster, keyUnregisterBroker,
	keyAddRaftVoter, keyRemoveRaftVoter, keyUnregisterController,
}

// everyVersion are those of them that are played in every version: what they answer is about the listener. Of the others the newest one
// shows who answers and how, and the versions of messages are the codec's affair.
var everyVersion = []int16{keyApiVersions, keyDescribeCluster}

// settingsAPIs change settings. Kafka's brokers look at such requests before they pass them on; its controllers do not and trip over many a wrong
// one, up to an active controller that gives up its office. Their wrong and odd requests have a script here that keeps to what Kafka decides.
var settingsAPIs = []int16{keyAlterConfigs, keyIncrementalAlterConfigs}

// controllerCases are the cases of those APIs once more, sent to the listener for controllers. What else they ask for,
// to set up or to see what was done, they ask the broker.
func controllerCases(table []API) []Case {
	var cases []Case
	for _, api := range table {
		if !slices.Contains(controllerAPIs, api.Key) {
			continue
		}
		first := api.Max
		if slices.Contains(everyVersion, api.Key) {
			first = api.Min
		}
		for v := first; v <= api.Max; v++ {
			for _, c := range suites[api.Key](v).cases {
				if slices.Contains(settingsAPIs, api.Key) && c.Kind != Ordinary && !strings.HasSuffix(c.Name, "malformed") && !strings.HasSuffix(c.Name, "tags") {
					continue
				}
				c.Suite, c.API, c.Version = "controller-"+c.Suite, -1, -1
				c.Controller = func(key int16) bool { return key == api.Key }
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// all sends every request of a case to the listener for controllers.
func all(int16) bool { return true }

// controllerWire asks a listener for controllers for what it does not serve.
func controllerWire() Case {
	c := sequence("controller-wire", func(x *Script) {
		for _, c := range []struct {
			key, version int16
			body         []byte
		}{
			{keyProduce, 9, []byte{0, 255, 255, 0, 0, 0, 1, 1, 0}},
			{keyListOffsets, 7, []byte{255, 255, 255, 255, 0, 1, 0}},
			{keyMetadata, 12, []byte{0, 1, 0, 0}},
			{keyFindCoordinator, 4, []byte{0, 2, 2, 'g', 0}},
			{keyDescribeLogDirs, 4, []byte{0, 0}},
			{keyListConfigResources, 1, []byte{1, 0}},
			{keyDescribeCluster, 3, []byte{0, 2, 0}},
			{77, 1, []byte{1, 0, 0}},
			{127, 0, nil},
		} {
			x.On(0).Body(c.key, c.version, c.version > 0, c.body)
		}
	})
	c.Controller = all
	return c
}

// brokerSettings is the note of requests that a broker checks and a controller of Kafka's does not.
const brokerSettings = "settings that brokers check"

// controllerSettings changes settings by the listener for controllers: of topics, of brokers, of loggers, and wrongly.
func controllerSettings() Case {
	c := sequence("controller-settings", func(x *Script) {
		a := x.Topic("a", 1)
		see := func(kind int8, name string, settings ...string) {
			x.Settle()
			x.Do(describeConfigs(4, kind, name, settings...))
		}
		one := func(kind int8, name string, op kmsg.IncrementalAlterConfigsRequestResourceConfig) {
			x.Do(alterConfigs(1, kind, name, op))
		}
		one(resourceTopic, a.Name, alter(opSet, "retention.ms=soon"))
		one(resourceTopic, a.Name, alter(opSet, "no.such.config=1"))
		one(resourceTopic, a.Name, alter(opAppend, "retention.ms=1"))
		one(resourceTopic, a.Name, alter(opAppend, "cleanup.policy=compact"))
		one(resourceTopic, x.missing().Name, alter(opSet, "retention.ms=1"))
		x.Do(replaceConfigs(2, resourceTopic, a.Name, "retention.ms=soon"))
		x.Do(replaceConfigs(2, resourceTopic, x.missing().Name, "retention.ms=1"))
		dry := alterConfigs(1, resourceTopic, a.Name, alter(opSet, "retention.ms=1"))
		dry.ValidateOnly = true
		x.Do(dry)
		see(resourceTopic, a.Name, "retention.ms", "cleanup.policy")

		for _, broker := range []string{"", "1"} {
			one(resourceBroker, broker, alter(opSet, "log.cleaner.backoff.ms=16000"))
			see(resourceBroker, broker, "log.cleaner.backoff.ms")
			x.Do(replaceConfigs(2, resourceBroker, broker, "log.cleaner.backoff.ms=17000"))
			see(resourceBroker, broker, "log.cleaner.backoff.ms")
			one(resourceBroker, broker, alter(opDelete, "log.cleaner.backoff.ms"))
			see(resourceBroker, broker, "log.cleaner.backoff.ms")
		}
		x.Note(brokerSettings)
		one(resourceBroker, "9", alter(opSet, "log.cleaner.backoff.ms=16000"))
		x.Note(brokerSettings)
		one(resourceBroker, "one", alter(opSet, "log.cleaner.backoff.ms=16000"))
		x.Do(describeConfigs(4, resourceBroker, "9", "log.cleaner.backoff.ms"))
		x.Do(describeConfigs(4, resourceBroker, "one", "log.cleaner.backoff.ms"))

		one(resourceLogger, "1", alter(opSet, "root=DEBUG"))
		one(resourceLogger, "1", alter(opSet, "root=INFO"))
		one(resourceLogger, "1", alter(opSet, "root=LOUD"))
		one(resourceLogger, "1", alter(opDelete, "root"))
		one(resourceLogger, "9", alter(opSet, "root=INFO"))
		see(resourceLogger, "1", "root")
		x.Do(describeConfigs(4, resourceLogger, "9", "root"))

		one(resourceGroup, x.Name("group"), alter(opSet, "consumer.session.timeout.ms=50000"))
		see(resourceGroup, x.Name("group"), "consumer.session.timeout.ms")
		one(resourceGroup, x.Name("group"), alter(opDelete, "consumer.session.timeout.ms"))
		one(resourceGroup, x.Name("group"), alter(opSet, "no.such.config=1"))
		one(resourceClient, x.Name("metrics"), alter(opSet, "interval.ms=5000"))
		see(resourceClient, x.Name("metrics"), "interval.ms")
		one(resourceClient, x.Name("metrics"), alter(opDelete, "interval.ms"))
		one(resourceClient, x.Name("metrics"), alter(opSet, "interval.ms=soon"))
		x.Note(brokerSettings)
		one(99, "x", alter(opSet, "a=1"))
	})
	c.Controller, c.Broker = all, settingsBroker
	return c
}

// controllerSettingsOfBrokers asks for what a broker refuses to be told.
func controllerSettingsOfBrokers() Case {
	c := sequence("controller-settings-refused", func(x *Script) {
		for _, setting := range []string{"node.id=9", "log.cleaner.backoff.ms=soon", "no.such.config=1", "log.cleaner.threads=0", "log.retention.ms=0"} {
			dry := alterConfigs(1, resourceBroker, "1", alter(opSet, setting))
			dry.ValidateOnly = true
			x.Note(brokerSettings)
			x.Do(dry)
		}
	})
	c.Controller, c.Broker = all, settingsBroker
	return c
}
