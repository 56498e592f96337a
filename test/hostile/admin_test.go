package hostile

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// oddCounts: rows 107 and 115. A number of partitions that nobody can mean is refused before anything is made.
func oddCounts(t *testing.T) {
	n := start(t, "")
	n.create("orders", 2)
	before := held()
	for _, count := range []int32{0, -2, -1 << 31} {
		if code, _ := n.createTopic("odd", count); code != 37 {
			t.Errorf("create with %d partitions: %d", count, code)
		}
	}
	for _, count := range []int32{1_000_001, 1<<31 - 1} {
		if code, message := n.createTopic("odd", count); code == 0 {
			t.Errorf("create with %d partitions: %d %s", count, code, message)
		}
	}
	for _, count := range []int32{2, 1, 0, -1, -1 << 31, 1_000_001, 1<<31 - 1} {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.TimeoutMillis = 3, 20_000
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "orders", Count: count}}
		if got := ask[*kmsg.CreatePartitionsResponse](n, req).Topics[0]; got.ErrorCode == 0 {
			t.Errorf("%d partitions are made of 2", count)
		}
	}
	if grown := held() - before; grown > 16<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
	if names := n.topics(); !slices.Equal(names, []string{"orders"}) {
		t.Errorf("there are %q", names)
	}
}

func (n *node) topics() (names []string) {
	n.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	for _, topic := range ask[*kmsg.MetadataResponse](n, req).Topics {
		names = append(names, *topic.Topic)
	}
	return names
}

// collisions is row 106.
func collisions(t *testing.T) {
	n := start(t, "")
	n.create("a.b", 1)
	for _, name := range []string{"a_b"} {
		if code, _ := n.createTopic(name, 1); code != 17 {
			t.Errorf("create %q beside a.b: %d", name, code)
		}
	}
	// Names that differ in case are two topics, as in Kafka, and do not share a log.
	n.create("orders", 1)
	n.create("Orders", 1)
	if code := n.produce("Orders", good().b); code != 0 {
		t.Errorf("produce to Orders: %d", code)
	}
	if lower, upper := n.logEnd("orders"), n.logEnd("Orders"); lower != 0 || upper != 2 {
		t.Errorf("orders ends at %d, Orders at %d", lower, upper)
	}
}

// oddConfigs: rows 112 and 113. There is no setting that names a class, a file or an address, and none that takes a megabyte.
func oddConfigs(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	for _, x := range [][2]string{
		{"no.such.config", "1"}, {"", "1"}, {"retention.ms", "abc"}, {"retention.ms", strings.Repeat("9", 1<<14)}, {"retention.ms", "1\n2"},
		{"cleanup.policy", "delete\ncompact"}, {"cleanup.policy", strings.Repeat("x", 30_000)}, {"compression.type", "zstd\x00"},
		{"log.dirs", "/etc"}, {"principal.builder.class", "java.lang.Runtime"}, {"sasl.jaas.config", "com.sun.security.auth.module.JndiLoginModule"},
		{"ssl.keystore.location", "/etc/passwd"}, {"remote.storage.class", "x"}, {"sasl.oauthbearer.jwks.endpoint.url", "file:///etc/passwd"},
	} {
		if code, _ := n.createTopic("odd", 1, x[0], x[1]); code != 40 {
			t.Errorf("create with %.30q=%.30q: %d", x[0], x[1], code)
		}
		alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
		alter.Version = 1
		alter.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: x[0], Value: &x[1]}}}}
		if code := ask[*kmsg.IncrementalAlterConfigsResponse](n, alter).Resources[0].ErrorCode; code != 40 {
			t.Errorf("set %.30q=%.30q: %d", x[0], x[1], code)
		}
	}
	// No string of the protocol has a megabyte.
	megabyte := strings.Repeat("x", 1<<20)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "odd", 1, 1
	topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: &megabyte}}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.Topics = 7, []kmsg.CreateTopicsRequestTopic{topic}
	n.closes("a value of 1 MiB", requestFrame(req))
	if names := n.topics(); !slices.Equal(names, []string{"orders"}) {
		t.Errorf("there are %q", names)
	}
}

// secrets: rows 121, 122 and 176. What is secret is in no answer, log, error or metric.
func secrets(t *testing.T) {
	n := start(t, "")
	const canary = "canary-7f3a"
	seen := func(where, text string) {
		t.Helper()
		for about, form := range map[string]string{"the bytes": canary, "their base64": base64.StdEncoding.EncodeToString([]byte(canary))[:12], "their hex": hex.EncodeToString([]byte(canary))} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows %s of the secret", where, about)
			}
		}
	}
	salted := []byte(strings.Repeat(canary, 32)[:32])
	for _, x := range []struct {
		user       string
		iterations int32
		salt       []byte
		code       int16
	}{
		{"me", 4096, []byte(canary + " salt"), 0}, {"me", 1, salted, 93}, {"me", 1<<31 - 1, salted, 93}, {"me", -1, salted, 93}, {"", 4096, salted, 93},
	} {
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: x.user, Mechanism: 1, Iterations: x.iterations, Salt: x.salt, SaltedPassword: salted}}
		got := ask[*kmsg.AlterUserSCRAMCredentialsResponse](n, req)
		if got.Results[0].ErrorCode != x.code {
			t.Errorf("user %q, %d iterations: %d", x.user, x.iterations, got.Results[0].ErrorCode)
		}
		if m := got.Results[0].ErrorMessage; m != nil {
			seen("the answer", *m)
		}
	}
	twice := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for range 2 {
		twice.Upsertions = append(twice.Upsertions, kmsg.AlterUserSCRAMCredentialsRequestUpsertion{Name: "two", Mechanism: 1, Iterations: 4096, Salt: salted, SaltedPassword: salted})
	}
	if got := ask[*kmsg.AlterUserSCRAMCredentialsResponse](n, twice); got.Results[0].ErrorCode != 92 {
		t.Errorf("a user twice: %d", got.Results[0].ErrorCode)
	}
	seen("DescribeUserScramCredentials", string(ask[*kmsg.DescribeUserSCRAMCredentialsResponse](n, kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()).AppendTo(nil)))
	// Settings that are secret, refused or not, under their own names and under one that is none.
	secret := canary
	for _, name := range []string{"ssl.keystore.password", "ssl.key.password", "sasl.jaas.config", "listener.name.plaintext.ssl.keystore.password"} {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version = 1
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &secret}}}}
		if m := ask[*kmsg.IncrementalAlterConfigsResponse](n, req).Resources[0].ErrorMessage; m != nil {
			seen("the answer for "+name, *m)
		}
	}
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Version, describe.IncludeSynonyms = 4, true
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"}}
	got := ask[*kmsg.DescribeConfigsResponse](n, describe)
	seen("DescribeConfigs", string(got.AppendTo(nil)))
	sensitive := 0
	for _, c := range got.Resources[0].Configs {
		if c.IsSensitive {
			if sensitive++; c.Value != nil {
				t.Errorf("%s has value %q", c.Name, *c.Value)
			}
		} else if strings.Contains(c.Name, "password") || strings.HasSuffix(c.Name, "jaas.config") {
			t.Errorf("%s is not said to be sensitive", c.Name)
		}
	}
	if sensitive == 0 {
		t.Error("nothing is sensitive")
	}
	seen("the log", n.log.String())
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		seen(path, n.scrape(path))
	}
}

// longGroups is row 128: a group id as long as a string of the protocol can be is kept like any other, one that is longer is none.
func longGroups(t *testing.T) {
	n := start(t, "")
	long := strings.Repeat("g", 32767)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 3, long, 10_000, 10_000, "consumer"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("garbage, which is nobody's business")}}
	before := held()
	ask[*kmsg.JoinGroupResponse](n, join)
	join.Version, join.Group = 9, long+"g"
	n.closes("a group id of 32 KiB", requestFrame(join))
	empty := kmsg.NewPtrHeartbeatRequest()
	empty.Version = 4
	if code := ask[*kmsg.HeartbeatResponse](n, empty).ErrorCode; code != 24 {
		t.Errorf("heartbeat of an empty group id: %d", code)
	}
	if grown := held() - before; grown > 16<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
}

// foreignPaths is row 127: a directory that the configuration does not name is none, however it is written.
func foreignPaths(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	n.produce("orders", good().bytes())
	for _, dir := range []string{"", "/", "/etc", "..", "../..", "data/..", "data/../elsewhere", "data/orders-0", "data\x00", "/data/./../tmp", strings.Repeat("d", 30_000)} {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Version = 2
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "orders", Partitions: []int32{0}}}}}
		got := ask[*kmsg.AlterReplicaLogDirsResponse](n, req)
		if code := got.Topics[0].Partitions[0].ErrorCode; code != 57 {
			t.Errorf("a move to %.30q: %d", dir, code)
		}
	}
	if end := n.logEnd("orders"); end != 2 {
		t.Errorf("the log ends at %d", end)
	}
}
