// Package diff compares Moldau with Apache Kafka, answer by answer.
//
// A case is a script: requests sent byte for byte to a broker on topics of its own. The answers of Apache Kafka 4.4.0 are kept as
// text under testdata, so that the comparison needs no Java; the command in record writes them afresh from a running Kafka.
// What may differ from one run to the next (ids, ports, times) is normalised by the table in normalise.go, and nothing else is. What
// differs on purpose stands in the table of allowed.go and in docs/differences.md, and an entry that no longer differs fails the test.
//
// Most cases share one broker. Groups have settings that decide how long things take, so that their cases name a broker of their own
// (brokers.go): it is started with those settings on both sides, and where a case mostly waits, others are played meanwhile.
//
// Cases derive from the table of APIs in table.go: every version of every API has at least one ordinary, one boundary and one wrong
// request, and sequences of several requests stand beside them. The package never depends on the code it tests: messages are
// decoded by kmsg on both sides and record batches are built and taken apart here.
//
// # File format: testdata/<API or sequence>.txt
//
//	== v3/ordinary               starts a case
//	> Produce v3 4f2a91c0        a request: API, version, digest of the normalised request (a case that changed is recorded again)
//	! connection closed          how it ended, where it was not by an answer
//	= request 2                  answered word for word as an earlier request of the case
//	.Topics["~a"]: ErrorCode=0   fields of one struct of the answer; fields at their default are left out, error codes never are
//
// In topic names ~ stands for the prefix that keeps the topics of one case apart from those of all others.
package diff
