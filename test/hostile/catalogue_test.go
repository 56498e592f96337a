package hostile

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/protocol"
)

// row is one entry of the catalogue.
type row struct {
	number int
	sent   string // what comes in
	want   string // what must happen
	here   []func(*testing.T)
	shown  []string // tests elsewhere: "FOLDER TestName", or "test/diff FILE CASE", whose answers are Kafka's
	waits  *feature // what is not served yet; then there is no test
}

// feature is something that is not served yet, and how the catalogue notices that it is.
type feature struct {
	name   string
	served func() bool
}

func api(key protocol.APIKey, name string) *feature {
	return &feature{name, func() bool {
		return slices.ContainsFunc(handler.Table(), func(s handler.Served) bool { return s.Key == key })
	}}
}

// setting is served once a configuration that asks for it is taken.
func setting(properties, name string) *feature {
	return &feature{name, func() bool {
		_, _, err := config.Load(config.Sources{FileName: "test", File: []byte(properties), Flags: config.Flags{Data: "data"}})
		return err == nil
	}}
}

var (
	authorizer   = setting("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "authorization")
	tls          = setting("listeners=SSL://127.0.0.1:9093", "TLS")
	login        = api(protocol.KeySASLHandshake, "authentication")
	transactions = api(protocol.KeyEndTxn, "transactions")
	voting       = api(protocol.KeyVote, "the quorum over the network")
	snapshots    = api(protocol.KeyFetchSnapshot, "snapshots over the network")
	replication  = api(protocol.KeyAlterPartition, "replication between brokers")
)

const close1 = "the connection is closed without an answer"

// catalogue lists all rows, by number.
var catalogue = []row{
	{number: 1, sent: "size -1, -2147483648", want: close1, here: funcs(sizesThatAreNone), shown: []string{"internal/server TestBadFrames", "test/diff seq-framing sequence"}},
	{number: 2, sent: "size 0", want: close1, here: funcs(sizesThatAreNone), shown: []string{"internal/server TestBadFrames"}},
	{number: 4, sent: "size 2147483647, no body", want: close1 + ", less than 64 KiB allocated", here: funcs(sizesThatAreNone)},
	{number: 5, sent: "size of the limit and one", want: close1, here: funcs(sizesThatAreNone), shown: []string{"internal/server TestBadFrames"}},
	{number: 7, sent: "5,000 connections that claim 100 MiB and send 1 KiB", want: "little is held, others are served", here: funcs(manyClaims), shown: []string{"test/hostile TestHostileMix", "internal/server TestLyingLengths", "internal/server TestMemoryBudget"}},
	{number: 8, sent: "a request cut in its body", want: "all is given back, nothing is done", here: funcs(cutInTheBody), shown: []string{"internal/server TestCutInTheBody"}},
	{number: 10, sent: "a frame longer than its request", want: "the rest is passed over, as in Kafka", here: funcs(bytesBehindTheRequest), shown: []string{"test/diff metadata wrong-malformed"}},
	{number: 11, sent: "a frame shorter than its request", want: close1, here: funcs(shorterThanTheRequest)},
	{number: 13, sent: "TLS, HTTP, SSH on the port", want: close1, here: funcs(otherProtocols), shown: []string{"internal/server TestBadFrames"}},
	{number: 14, sent: "1 MiB of noise, 10,000 times", want: "closed or answered, nothing is held", here: funcs(garbage), shown: []string{"test/hostile TestHostileMix", "internal/server TestRandomGarbage", "internal/handler TestGarbageForGroups"}},
	{number: 16, sent: "a client that never reads", want: "closed after the stall time-out; what waits for it is bounded", shown: []string{"test/hostile TestHostileMix", "internal/server TestSlowReader", "internal/server TestQueuedBytesLimit"}},
	{number: 17, sent: "half-close behind a request", want: "answered, then closed", here: funcs(halfClose), shown: []string{"internal/server TestHalfClose"}},

	{number: 19, sent: "api 999, -1, 32767", want: close1, here: funcs(notServed), shown: []string{"test/diff seq-unknown-apis sequence"}},
	{number: 20, sent: "a version outside of the range", want: close1, here: funcs(notServed), shown: []string{"test/diff seq-unknown-versions sequence"}},
	{number: 22, sent: "ApiVersions 99", want: "UNSUPPORTED_VERSION in the format of version 0; the connection goes on", here: funcs(apiVersionsOfTheFuture), shown: []string{"test/diff seq-unknown-api-versions sequence"}},
	{number: 23, sent: "software names of 1 MiB, or of other characters", want: "closed; INVALID_REQUEST", here: funcs(softwareNames), shown: []string{"test/diff apiversions wrong-identity"}},
	{number: 25, sent: "client ids: null, empty, long, not UTF-8, control characters, ../../x", want: "served up to 256 bytes, in no metric, on one line of the log; closed beyond", here: funcs(clientIDs), shown: []string{"internal/broker TestLogNamesClientAPIAndTopic"}},
	{number: 26, sent: "client id of length -2", want: close1, here: funcs(clientIDs)},
	{number: 28, sent: "a header of a million tagged fields", want: "closed beyond 128, less than 1 MiB allocated beside the frame", here: funcs(headerTags)},
	{number: 29, sent: "header tags twice, out of order, past the frame", want: close1, here: funcs(headerTags), shown: []string{"test/diff seq-headers sequence"}},
	{number: 31, sent: "apis that nodes speak among themselves", want: close1, here: funcs(notServed)},
	{number: 32, sent: "apis that are not served", want: "not advertised; " + close1, here: funcs(notServed), shown: []string{"internal/handler TestNoMoreIsPromisedThanServed"}},

	{number: 34, sent: "a count of as many elements as bytes follow, all zero", want: "closed or answered; memory follows the bytes", here: funcs(lyingCounts)},
	{number: 35, sent: "an array of -2", want: "closed or answered; memory follows the bytes", here: funcs(lyingCounts), shown: []string{"test/diff seq-array-lengths sequence", "test/diff seq-group-array-lengths sequence"}},
	{number: 37, sent: "a compact length without an end", want: close1, here: funcs(lyingCounts), shown: []string{"test/diff seq-group-array-lengths sequence"}},
	{number: 38, sent: "a compact length that overflows", want: close1, here: funcs(lyingCounts)},
	{number: 40, sent: "a string past the frame", want: close1, here: funcs(lyingCounts, shorterThanTheRequest)},
	{number: 41, sent: "names with NUL, invalid, overlong and surrogate UTF-8", want: "INVALID_TOPIC_EXCEPTION, INVALID_GROUP_ID; never repaired; escaped in the log", here: funcs(oddNames), shown: []string{"test/diff seq-group-odd-names sequence"}},
	{number: 43, sent: "booleans 2 and 255", want: "true, as in Kafka", here: funcs(bytesForBooleans), shown: []string{"test/diff seq-array-lengths sequence"}},
	{number: 44, sent: "topic ids that are zero or reserved", want: "UNKNOWN_TOPIC_ID", here: funcs(oddIDs)},
	{number: 46, sent: "a thousand times a thousand elements", want: "answered or closed, within the budget", here: funcs(manyElements)},
	{number: 47, sent: "the same element ten thousand times", want: "answered in time that is linear", here: funcs(manyElements), shown: []string{"internal/handler TestManyPartitionsInDeleteRecords", "internal/handler TestManyGroupsInOneRequest"}},

	{number: 49, sent: "acks 2, -2", want: "INVALID_REQUIRED_ACKS", here: funcs(badTargets), shown: []string{"test/diff produce wrong"}},
	{number: 50, sent: "acks 0 and an error", want: close1, here: funcs(badTargets), shown: []string{"test/diff produce wrong-silent", "test/diff seq-acks-zero sequence"}},
	{number: 52, sent: "partitions and topics that are not there", want: "UNKNOWN_TOPIC_OR_PARTITION", here: funcs(badTargets), shown: []string{"test/diff produce wrong"}},
	{number: 53, sent: "records null or empty", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"test/diff seq-null-records sequence"}},
	{number: 55, sent: "batch length 0, negative, too small, too large", want: "CORRUPT_MESSAGE or INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches", "internal/record TestNext"}},
	{number: 56, sent: "magic 0, 1, 3, 127, -1", want: "INVALID_RECORD or CORRUPT_MESSAGE", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches"}},
	{number: 58, sent: "record count 0, -1, 2^31-1, not that of the offsets", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"internal/record TestValidateHeader", "test/diff produce wrong-batches"}},
	{number: 59, sent: "fewer or more records than counted", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"internal/record TestValidateAsKafka"}},
	{number: 61, sent: "offsets that are not 0, 1, 2", want: "INVALID_RECORD where compressed, numbered where not", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches", "test/diff seq-compressed-odd sequence"}},
	{number: 62, sent: "key and value lengths of -2, and huge", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"internal/record TestValidateAsKafka"}},
	{number: 64, sent: "a base offset other than 0", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches"}},
	{number: 65, sent: "codecs 5, 6, 7", want: "UNSUPPORTED_COMPRESSION_TYPE", here: funcs(refusedBatches)},
	{number: 67, sent: "a control batch", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches"}},
	{number: 68, sent: "the bit of a delete horizon", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches"}},
	{number: 70, sent: "a producer without a sequence", want: "INVALID_RECORD", here: funcs(refusedBatches), shown: []string{"test/diff produce wrong-batches"}},
	{number: 71, sent: "zstd before version 7 of Produce", want: "UNSUPPORTED_COMPRESSION_TYPE", shown: []string{"internal/record TestForProduce", "test/diff produce ordinary-codecs"}},
	{number: 73, sent: "snappy blocks of 4 GiB and of -1", want: "CORRUPT_MESSAGE; nothing allocated by claim", here: funcs(refusedBatches), shown: []string{"internal/record TestClaims"}},
	{number: 74, sent: "lz4 with a wrong header, no block size, skippable frames of 2 GiB", want: "CORRUPT_MESSAGE; nothing allocated by claim", here: funcs(refusedBatches), shown: []string{"internal/record TestClaims"}},
	{number: 76, sent: "compressed records that are garbage, cut, go on; bombs", want: "CORRUPT_MESSAGE or INVALID_RECORD; little is held", here: funcs(refusedBatches, bombs), shown: []string{"test/hostile TestHostileMix", "internal/record TestDamagedPayloads", "internal/record TestBomb"}},
	{number: 77, sent: "a batch larger than max.message.bytes by a byte", want: "MESSAGE_TOO_LARGE", shown: []string{"test/diff produce boundary-size", "test/diff seq-too-large sequence"}},
	{number: 79, sent: "first and largest times that are not the records'", want: "corrected or refused; offsets by time stay right", shown: []string{"internal/record TestValidateAsKafka", "test/diff produce wrong-batches", "test/diff seq-list-offsets-times sequence"}},
	{number: 80, sent: "a null key for a compacted topic", want: "INVALID_RECORD", shown: []string{"test/diff produce wrong-compacted"}},
	{number: 82, sent: "one of the last five batches again; an older one", want: "the old offset; OUT_OF_ORDER_SEQUENCE_NUMBER", shown: []string{"test/diff seq-idempotent-duplicates sequence", "internal/commitlog/producer TestSequences"}},
	{number: 83, sent: "a sequence that wraps at 2^31-1", want: "0 comes next", shown: []string{"test/diff seq-idempotent-wrap sequence", "internal/record TestSequence"}},
	{number: 85, sent: "a transactional batch outside of a transaction", want: "refused, like every transactional batch until transactions are served", shown: []string{"test/diff produce wrong-transactional", "test/diff seq-transactional-refused sequence"}},
	{number: 86, sent: "the producer id of another principal", want: "refused by rights", waits: authorizer},
	{number: 88, sent: "records for an internal topic", want: "INVALID_TOPIC_EXCEPTION, except from Kafka's admin client; what is no record of a group is passed over", shown: []string{"test/diff seq-internal-names sequence", "internal/broker TestGarbageInOffsetsTopic"}},
	{number: 89, sent: "records without the right to write", want: "TOPIC_AUTHORIZATION_FAILED", waits: authorizer},

	{number: 91, sent: "Fetch of 0, -1, 2^31-1 bytes", want: "bounded by the broker; one batch at least", shown: []string{"test/diff seq-fetch-limits sequence", "internal/broker TestFetchIsBoundedByTheBroker"}},
	{number: 92, sent: "more bytes demanded than allowed; a wait of 2^31-1", want: "answered when no more can come; gone with its connection", here: funcs(longPolls), shown: []string{"test/diff seq-fetch-waits-below-limit sequence"}},
	{number: 94, sent: "fetch sessions that are unknown, epochs that are wrong", want: "FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH", shown: []string{"test/diff seq-session-ids sequence", "test/diff seq-session-epochs sequence"}},
	{number: 95, sent: "tens of thousands of fetch sessions", want: "the oldest go; what is held is bounded", here: funcs(sessions), shown: []string{"internal/handler/fetchsession TestRoomForSessions"}},
	{number: 97, sent: "leader epochs too old and too new", want: "FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH", shown: []string{"test/diff seq-fetch-epochs sequence", "test/diff offsetforleaderepoch wrong"}},
	{number: 98, sent: "a last fetched epoch that never was", want: "the diverging epoch", shown: []string{"test/diff seq-fetch-epochs sequence"}},
	{number: 100, sent: "10,000 fetches that wait", want: "little is held for each, others are served", here: funcs(longPolls), shown: []string{"test/hostile TestHostileMix"}},
	{number: 101, sent: "ListOffsets for times -7 to -100", want: "as Kafka answers", shown: []string{"test/diff listoffsets wrong", "test/diff listoffsets boundary-special"}},
	{number: 103, sent: "DeleteRecords beyond the high watermark, negative", want: "OFFSET_OUT_OF_RANGE", shown: []string{"test/diff deleterecords wrong"}},
	{number: 104, sent: "isolation level 7", want: "taken for read_uncommitted", shown: []string{"test/diff fetch wrong", "test/diff listoffsets wrong"}},

	{number: 106, sent: "names that collide", want: "INVALID_TOPIC_EXCEPTION for a.b beside a_b; orders and Orders are two topics, as in Kafka", here: funcs(collisions), shown: []string{"test/diff createtopics wrong"}},
	{number: 107, sent: "partitions 0, -2, 2^31-1, 1,000,001", want: "refused, nothing made", here: funcs(oddCounts), shown: []string{"test/diff createtopics wrong"}},
	{number: 109, sent: "assignments with repeated, negative, unknown brokers, with gaps", want: "INVALID_REPLICA_ASSIGNMENT", shown: []string{"test/diff createtopics wrong", "internal/controller TestCreateTopicsAnswers"}},
	{number: 110, sent: "an assignment beside counts", want: "INVALID_REQUEST", shown: []string{"test/diff createtopics wrong"}},
	{number: 112, sent: "unknown settings, values that are none, with new lines, of 1 MiB", want: "INVALID_CONFIG; closed", here: funcs(oddConfigs), shown: []string{"internal/config TestValidateTopicInKafkasWords", "test/diff incrementalalterconfigs wrong"}},
	{number: 113, sent: "settings that name files, classes, addresses", want: "INVALID_CONFIG: topics have none", here: funcs(oddConfigs)},
	{number: 115, sent: "CreatePartitions to as many, fewer, 2^31-1", want: "refused, nothing made", here: funcs(oddCounts), shown: []string{"test/diff createpartitions wrong"}},
	{number: 116, sent: "DeleteTopics by name and id; of internal topics", want: "INVALID_REQUEST; as Kafka answers", shown: []string{"test/diff deletetopics wrong", "internal/handler TestTopicsThatMayNotBeDeleted", "internal/broker TestOffsetsTopicIsDeleted"}},
	{number: 118, sent: "ElectLeaders, unclean, without the right", want: "CLUSTER_AUTHORIZATION_FAILED", waits: authorizer},
	{number: 119, sent: "ACLs with patterns ANY and MATCH, unknown operations, empty names", want: "closed or SECURITY_DISABLED, as Kafka without an authorizer", shown: []string{"test/diff createacls wrong", "test/diff deleteacls wrong", "test/diff describeacls wrong"}},
	{number: 121, sent: "DescribeConfigs of a secret", want: "no value, marked sensitive", here: funcs(secrets), shown: []string{"internal/config TestDescribeBroker"}},
	{number: 122, sent: "SCRAM credentials with iterations 1 and 2^31-1, no name, twice", want: "UNACCEPTABLE_CREDENTIAL, DUPLICATE_RESOURCE", here: funcs(secrets), shown: []string{"test/diff alteruserscramcredentials wrong", "internal/handler TestScramCredential"}},
	{number: 124, sent: "UpdateFeatures to levels that are none", want: "as Kafka answers", shown: []string{"test/diff updatefeatures wrong"}},
	{number: 125, sent: "CreateTopics 10,000 times a second", want: "THROTTLING_QUOTA_EXCEEDED where a quota says so", shown: []string{"internal/handler TestMutationQuota"}},
	{number: 127, sent: "AlterReplicaLogDirs and AssignReplicasToDirs with a foreign path", want: "LOG_DIR_NOT_FOUND, and no such folder comes to be; closed", here: funcs(foreignPaths, notServed), shown: []string{"test/diff alterreplicalogdirs wrong"}},

	{number: 128, sent: "group ids that are empty, of 32 KiB, not UTF-8", want: "INVALID_GROUP_ID; closed", here: funcs(longGroups, oddNames), shown: []string{"test/diff joingroup wrong", "test/diff heartbeat wrong", "test/diff offsetcommit boundary-empty-group-id"}},
	{number: 130, sent: "JoinGroup without a member id", want: "MEMBER_ID_REQUIRED", shown: []string{"test/diff seq-group-id-required sequence"}},
	{number: 131, sent: "JoinGroup by the member id of another client", want: "as Kafka answers", shown: []string{"test/diff seq-group-id-of-another-client sequence", "test/diff joingroup wrong-occupied"}},
	{number: 133, sent: "subscriptions that are garbage", want: "nobody's business", here: funcs(longGroups), shown: []string{"internal/coordinator/group TestSubscription", "test/diff offsetdelete wrong"}},
	{number: 134, sent: "more members than a group may have", want: "GROUP_MAX_SIZE_REACHED", shown: []string{"test/diff seq-group-full sequence", "test/diff seq-group-full-of-pending sequence", "internal/coordinator/group TestManyProtocols"}},
	{number: 136, sent: "SyncGroup by a follower that assigns; for nobody known", want: "passed over", shown: []string{"test/diff syncgroup boundary", "test/diff syncgroup wrong"}},
	{number: 137, sent: "Heartbeat with a generation before and after", want: "ILLEGAL_GENERATION", shown: []string{"test/diff heartbeat wrong"}},
	{number: 139, sent: "OffsetCommit with generation -1 to a live group", want: "as Kafka answers", shown: []string{"test/diff offsetcommit wrong", "internal/coordinator/group TestCommitRefused"}},
	{number: 140, sent: "OffsetFetch of all topics without rights", want: "an empty list", waits: authorizer},
	{number: 142, sent: "DeleteGroups of live and unknown groups", want: "NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND", shown: []string{"test/diff deletegroups wrong", "test/diff deletegroups boundary"}},
	{number: 143, sent: "LeaveGroup for 10,000 members", want: "linear and paid for", shown: []string{"internal/handler TestManyMembersLeave", "internal/coordinator/group TestManyLeaveAtOnce", "internal/handler TestQuestionsToGroupsArePaidFor"}},

	{number: 145, sent: "transaction time-outs of 0, -1, too long", want: "INVALID_TRANSACTION_TIMEOUT", waits: transactions},
	{number: 146, sent: "InitProducerId with a foreign id and epoch", want: "as Kafka answers without a transactional id", shown: []string{"test/diff initproducerid wrong"}},
	{number: 148, sent: "EndTxn without a beginning, twice, both ways", want: "INVALID_TXN_STATE", waits: transactions},
	{number: 149, sent: "EndTxn with an old epoch", want: "PRODUCER_FENCED", waits: transactions},
	{number: 151, sent: "WriteTxnMarkers from a client", want: close1, here: funcs(notServed)},
	{number: 152, sent: "epoch 32,767", want: "a new producer id", waits: transactions},
	{number: 154, sent: "a transaction that nobody ends", want: "aborted", waits: transactions},

	{number: 155, sent: "requests before authentication", want: close1, waits: login},
	{number: 157, sent: "SaslAuthenticate in the wrong order", want: "ILLEGAL_SASL_STATE or closed", waits: login},
	{number: 158, sent: "odd PLAIN messages", want: "SASL_AUTHENTICATION_FAILED", waits: login},
	{number: 160, sent: "SCRAM messages with another nonce", want: "SASL_AUTHENTICATION_FAILED", waits: login},
	{number: 161, sent: "SCRAM channel binding", want: "SASL_AUTHENTICATION_FAILED", waits: login},
	{number: 163, sent: "forged tokens", want: "SASL_AUTHENTICATION_FAILED", waits: login},
	{number: 164, sent: "OAUTHBEARER without keys", want: "the start is refused", waits: login},
	{number: 166, sent: "wrong passwords, 10,000 a second", want: "delayed and bounded", waits: login},
	{number: 167, sent: "SaslAuthenticate and silence", want: close1, waits: login},
	{number: 169, sent: "old TLS", want: "the handshake fails", waits: tls},
	{number: 170, sent: "certificates that are not to be trusted", want: "the handshake fails", waits: tls},
	{number: 172, sent: "plaintext on the port of TLS", want: close1, waits: tls},
	{number: 173, sent: "hostile distinguished names", want: "parsed by the rules", waits: tls},
	{number: 175, sent: "authentication again as somebody else", want: close1, waits: login},
	{number: 176, sent: "a secret in every field that takes one", want: "in no answer, log, error or metric", here: funcs(secrets), shown: []string{"internal/metadata TestCredentialsAreHidden"}},

	{number: 178, sent: "5,000 idle connections", want: "less than 30 KiB each; closed in the end", here: funcs(idleConnections), shown: []string{"internal/server TestIdle"}},
	{number: 179, sent: "consumers that do not take their large answers", want: "the answers stay in their files", here: funcs(slowConsumers), shown: []string{"test/hostile TestHostileMix"}},
	{number: 181, sent: "a log of very many segments with times that jump", want: "a question by time looks into a few", here: funcs(manySegments)},
	{number: 182, sent: "keys that need more memory than compaction has", want: "several passes", shown: []string{"internal/commitlog/compact TestKeysStayInBounds", "internal/commitlog TestCleanModel"}},
	{number: 184, sent: "keys that collide", want: "hashes begin with what nobody knows", shown: []string{"internal/commitlog/compact TestKeysShareSlots"}},

	{number: 185, sent: "raft messages of strangers", want: "dropped", waits: voting},
	{number: 187, sent: "snapshots that are cut, changed, older", want: "refused; the old state is kept", shown: []string{"internal/quorum TestOlderSnapshotServesWhenTheNewestIsDamaged", "internal/quorum TestOpenRefusesWhatItCannotTrust", "internal/quorum FuzzSnapshot", "internal/metadata FuzzDecodeSnapshot", "internal/metadata TestOlderSnapshot"}},
	{number: 188, sent: "FetchSnapshot without topics", want: "INVALID_REQUEST; the process lives", waits: snapshots},
	{number: 190, sent: "answers to a follower that contradict themselves", want: "dropped; asked again, ever more seldom", shown: []string{"internal/fetcher TestHostileAnswers", "internal/protocol FuzzFetchAnswer", "internal/partition TestStaleAnswers", "internal/replica TestSim"}},
	{number: 191, sent: "AlterPartition with replicas that are none", want: "refused", waits: replication},
	{number: 193, sent: "segments that are empty, sparse, cut, links, pipes, folders, another's", want: "what is whole is served; a log that cannot be is refused by name; nothing is written through a link", here: hurtFiles, shown: []string{"internal/commitlog TestDerivedFiles", "internal/logdir TestSetAside"}},
	{number: 194, sent: "checkpoints that are garbage, negative, huge, of another version", want: "passed over and made again", here: funcs(hurtCheckpoints), shown: []string{"internal/logdir FuzzCheckpoint", "internal/commitlog TestDerivedFiles"}},
	{number: 196, sent: "hostile HTTP for the admin listener", want: "413, 403, 404, 405 or a time-out", shown: []string{"internal/admin TestHostileRequests", "internal/admin TestSlowHeaders", "internal/admin TestTooManyConnections"}},
}

func funcs(f ...func(*testing.T)) []func(*testing.T) { return f }

// hurtFiles shows row 193; what only some systems have adds to it.
var hurtFiles = funcs(hurtSegments)

// TestCatalogue runs the catalogue, row by row.
func TestCatalogue(t *testing.T) {
	ran := map[string]bool{} // a test that shows several rows runs for the first of them
	last, served := 0, 0
	for _, r := range catalogue {
		if r.number <= last {
			t.Fatalf("row %d comes after row %d", r.number, last)
		}
		last = r.number
		t.Run(fmt.Sprintf("row-%03d", r.number), func(t *testing.T) {
			t.Logf("row %d: %s", r.number, r.sent)
			t.Logf("row %d must: %s", r.number, r.want)
			if r.waits != nil {
				if len(r.here)+len(r.shown) > 0 {
					t.Fatal("it waits, and has tests")
				}
				if r.waits.served() {
					t.Fatalf("it waits for %s, which is served", r.waits.name)
				}
				t.Logf("row %d waits for %s, which is not served", r.number, r.waits.name)
				return
			}
			served++
			if len(r.here)+len(r.shown) == 0 {
				t.Fatal("no test shows it")
			}
			for _, where := range r.shown {
				if err := exists(where); err != nil {
					t.Errorf("row %d is shown by %s: %v", r.number, where, err)
				}
				t.Logf("row %d is shown by %s", r.number, where)
			}
			for _, f := range r.here {
				name := nameOf(f)
				t.Logf("row %d is shown by test/hostile %s", r.number, name)
				if !ran[name] {
					ran[name] = true
					t.Run(name, f)
				}
			}
		})
	}
	t.Logf("%d rows, %d of what is served", len(catalogue), served)
}

// TestEveryRowIsThere holds the table against the numbers of the catalogue, so that no row is lost.
func TestEveryRowIsThere(t *testing.T) {
	if got := len(catalogue); got != 131 {
		t.Errorf("%d rows, want 131", got)
	}
}

// exists says whether a test is there: "FOLDER TestName", or "test/diff FILE CASE".
func exists(where string) error {
	root := filepath.Join("..", "..")
	parts := strings.Fields(where)
	if parts[0] == "test/diff" {
		text, err := os.ReadFile(filepath.Join(root, "test", "diff", "testdata", parts[1]+".txt"))
		if err != nil {
			return err
		}
		if !regexp.MustCompile(`(?m)^== (v[0-9]+/)?` + regexp.QuoteMeta(parts[2]) + `$`).Match(bytes.ReplaceAll(text, []byte("\r"), nil)) {
			return fmt.Errorf("there is no case %s", parts[2])
		}
		return nil
	}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(parts[0]), "*_test.go"))
	if err != nil {
		return err
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == parts[1] {
				return nil
			}
		}
	}
	return fmt.Errorf("there is no such test")
}
