package handler

// toolsPart is what docs/compatibility.md says of Kafka's command-line tools. test/compat/tools plays them: what it cannot show is not said here.
const toolsPart = `
## Kafka's tools

With the tools of Kafka 4.3.1, the newest published, against Apache Kafka 4.4.0 and Moldau: ` + "`test/compat/tools`" + ` compares what they print. Most is kept as
transcripts there, word for word; a call that differs says why. "both" is ` + "`--bootstrap-server`" + ` and ` + "`--bootstrap-controller`" + `.

| tool | shown by tests | differs |
| --- | --- | --- |
| kafka-topics | create (assignments, settings, if-not-exists), list, describe with every filter, alter, delete, errors |  |
| kafka-configs | topics, brokers, broker defaults, loggers, groups, client metrics, users, clients, ips; from a file; both | one logger, ` + "`root`" + ` |
| kafka-log-dirs | describe, by brokers and topics |  |
| kafka-reassign-partitions | generate, execute, verify, cancel, list, also between three brokers; throttles set, kept and cleared; both where the tool has both | throttles between brokers are kept and hold nothing back yet |
| kafka-leader-election | preferred and unclean, also with three brokers; of a partition, of all, of a file; errors |  |
| kafka-metadata-quorum | describe status and replication, human-readable; the refusal of remove-controller where voters are fixed; both |  |
| kafka-features | describe, version-mapping, feature-dependencies, upgrade, downgrade, disable, dry runs; both | no feature has levels yet |
| kafka-cluster | cluster-id, list-endpoints, unregister; both | a broker that is alive is not unregistered |
| kafka-broker-api-versions | what is served, and nothing else | the table above |
| kafka-delete-records | by file, errors |  |
| kafka-get-offsets | every time and filter |  |
| kafka-consumer-groups, kafka-groups | list, describe, reset, delete of classic groups | other groups are not served yet |
| kafka-acls | the refusal without an authorizer; both |  |
| kafka-delegation-tokens | the refusal on a listener without a login |  |
| kafka-client-metrics | alter, describe, list, delete | no receiver takes metrics |
| kafka-transactions | describe-producers, find-hanging, abort of what is not there | the rest, with transactions |
| kafka-replica-verification | its report (Kafka means to remove it) |  |
| kafka-console-producer, kafka-console-consumer, kafka-producer-perf-test, kafka-verifiable-producer | every codec, acks, keys, headers, offsets, time-outs; client.rack |  |

kafka-storage and kafka-metadata-shell work on Kafka's own files and ask no broker. kafka-dump-log reads Moldau's logs too (` + "`test/compat/dump`" + `).
`
