package config

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, file string, env ...string) (*Config, []string) {
	t.Helper()
	c, warnings, err := Load(Sources{FileName: "server.properties", File: []byte(file), Environment: env})
	if err != nil {
		t.Fatal(err)
	}
	return c, warnings
}

func TestKafkasExampleStartsUnchanged(t *testing.T) {
	data, err := os.ReadFile("testdata/combined.properties")
	if err != nil {
		t.Fatal(err)
	}
	c, warnings := load(t, string(data))
	if c.NodeID != 1 || len(c.Listeners) != 1 || c.Listeners[0] != (Listener{"PLAINTEXT", "PLAINTEXT", "", 9092}) {
		t.Errorf("node %d listens on %v", c.NodeID, c.Listeners)
	}
	if len(c.ControllerListeners) != 1 || c.ControllerListeners[0].Address() != ":9093" {
		t.Errorf("controller listens on %v", c.ControllerListeners)
	}
	if len(c.AdvertisedControllers) != 1 || c.AdvertisedControllers[0].String() != "CONTROLLER://localhost:9093" {
		t.Errorf("controllers advertised %v", c.AdvertisedControllers)
	}
	if len(c.Advertised) != 1 || c.Advertised[0].String() != "PLAINTEXT://localhost:9092" || c.InterBrokerListener != "PLAINTEXT" {
		t.Errorf("advertised %v, between brokers %s", c.Advertised, c.InterBrokerListener)
	}
	if !slices.Equal(c.LogDirs, []string{"/tmp/kraft-combined-logs"}) || c.MetadataLogDir != c.LogDirs[0] {
		t.Errorf("directories %v, metadata in %s", c.LogDirs, c.MetadataLogDir)
	}
	if got := c.Topic(nil).Retention; got != 168*time.Hour {
		t.Errorf("retention %v", got)
	}
	if len(warnings) != 3 || !strings.HasPrefix(warnings[0], "accepted, but nothing in this release acts on it: num.network.threads (server.properties:14), ") ||
		!strings.Contains(warnings[1], "PLAINTEXT://:9092 is open to other machines") ||
		!strings.Contains(warnings[2], "CONTROLLER://:9093 is open to other machines") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestDefaultNodeNeedsNothing(t *testing.T) {
	c, warnings, err := Load(Sources{})
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if len(c.Listeners) != 1 || c.Listeners[0].String() != "PLAINTEXT://127.0.0.1:9092" || !c.Listeners[0].Loopback() {
		t.Errorf("listens on %v", c.Listeners)
	}
	if !slices.Equal(c.LogDirs, []string{"moldau-data"}) || c.NodeID != 1 || len(c.Advertised) != 0 {
		t.Errorf("directories %v, node %d, advertised %v", c.LogDirs, c.NodeID, c.Advertised)
	}
	if top := c.Topic(nil); !top.Durable || !top.Delete || top.Compact || top.MaxMessageBytes != 1048588 {
		t.Errorf("topic %+v", top)
	}
}

func TestPrecedence(t *testing.T) {
	file := "log.dirs=/file\nnum.partitions=2\nnum.partitions=3\nlog.retention.hours=1\n"
	env := []string{"KAFKA_LOG_DIRS=/env", "KAFKA_NUM_PARTITIONS=4", "CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qk", "HOME=/home/kafka"}
	c, _, err := Load(Sources{FileName: "f", File: []byte(file), Environment: env, Flags: Flags{Data: "/flag", Listen: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.LogDirs[0] != "/flag" || c.NumPartitions != 4 || c.Topic(nil).Retention != time.Hour || c.ClusterID != "MkU3OEVBNTcwNTJENDM2Qk" {
		t.Errorf("%v %d %v %s", c.LogDirs, c.NumPartitions, c.Topic(nil).Retention, c.ClusterID)
	}
	if c.Listeners[0].Address() != "127.0.0.1:0" {
		t.Errorf("listens on %v", c.Listeners)
	}
}

func TestListenFlagKeepsTheController(t *testing.T) {
	file := "controller.listener.names=CTL\nlisteners=OUT://:9092,CTL://:9093\nlistener.security.protocol.map=OUT:PLAINTEXT,CTL:PLAINTEXT\nadvertised.listeners=OUT://example.org:1\n"
	c, _, err := Load(Sources{FileName: "f", File: []byte(file), Flags: Flags{Listen: "[::1]:7000"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 1 || c.Listeners[0].String() != "OUT://[::1]:7000" || len(c.ControllerListeners) != 1 || len(c.Advertised) != 0 {
		t.Errorf("%v %v %v", c.Listeners, c.ControllerListeners, c.Advertised)
	}
	if _, _, err := Load(Sources{Flags: Flags{Listen: "9092"}}); err == nil || !strings.HasPrefix(err.Error(), "--listen 9092: not HOST:PORT") {
		t.Errorf("error %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	_, warnings := load(t, "", "KAFKA_HEAP_OPTS=-Xmx1g", "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_LOG4J_ROOT_LOGLEVEL=INFO",
		"KAFKA_JMX_PORT=9999", "KAFKA_NUM_IO_THREADS=3", "KAFKA_PORT_9092_TCP=tcp://1", "KAFKA_ZOOKEEPER_CONNECT=zk:2181",
		"KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE=false")
	want := []string{
		"accepted, but nothing in this release acts on it: num.io.threads (KAFKA_NUM_IO_THREADS)",
		"passed over, not a setting: KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE, KAFKA_HEAP_OPTS, KAFKA_JMX_PORT, KAFKA_LOG4J_ROOT_LOGLEVEL, KAFKA_PORT, KAFKA_PORT_9092_TCP, KAFKA_ZOOKEEPER_CONNECT",
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("got %q", warnings)
	}
	for name, key := range map[string]string{"KAFKA_LOG_DIRS": "log.dirs", "KAFKA_A__B": "a-b", "KAFKA_A___B_C": "a_b.c"} {
		if got := environmentKey(name); got != key {
			t.Errorf("%s is %s, want %s", name, got, key)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"num.partitions=0", "server.properties:1: num.partitions=0: Invalid value 0 for configuration num.partitions: Value must be at least 1"},
		{"num.partitions=1.5", "Invalid value 1.5 for configuration num.partitions: Not a number of type INT"},
		{"auto.create.topics.enable=yes", "Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or false"},
		{"\n\nlog.retention.hour=5", "server.properties:3: log.retention.hour=5: unknown setting; did you mean log.retention.hours?"},
		{"frobnicate=1", "server.properties:1: frobnicate=1: unknown setting"},
		{"offsets.topic.compression.codec=9", "offsets.topic.compression.codec=9: Invalid value 9 for configuration offsets.topic.compression.codec: Value must be no more than 4"},
		{"offsets.topic.replication.factor=40000", "Not a number of type SHORT"},
		{"log.cleaner.min.cleanable.ratio=2", "Invalid value 2.0 for configuration log.cleaner.min.cleanable.ratio: Value must be no more than 1"},
		{"log.dirs=/a,,/b", "Configuration 'log.dirs' values must not be empty."},
		{"log.dirs=", "Configuration 'log.dirs' must not be empty. Valid values include: any non-empty value"},
		{"process.roles=", "Configuration 'process.roles' must not be empty. Valid values include: [broker, controller]"},
		{"process.roles=broker", "controller.listener.names must contain at least one value when running KRaft with just the broker role"},
		{"process.roles=broker\ncontroller.listener.names=C", "either controller.quorum.bootstrap.servers must contain the set of bootstrap controllers or controller.quorum.voters must"},
		{"process.roles=broker\ncontroller.listener.names=PLAINTEXT\ncontroller.quorum.voters=2@a:1", "must not contain a value appearing in the 'listeners' configuration"},
		{"process.roles=broker\ncontroller.listener.names=C\ncontroller.quorum.voters=1@a:1", "just the 'broker' role, the node id 1 must not be included in the set of voters controller.quorum.voters=Set(1)"},
		{"process.roles=controller", "The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller"},
		{"node.id=1\nbroker.id=2", "`node.id` and `broker.id` must be set to the same value."},
		{"node.id=-1", "Invalid value -1 for configuration node.id: Value must be at least 0"},
		{"controller.quorum.voters=1@a:1,2@b:2,3@c:3", "controller.listener.names must contain at least one value appearing in the 'listeners' configuration when running the KRaft controller role"},
		{"controller.quorum.voters=4@a:1,2@b:2,3@c:3", "the node id 1 must be included in the set of voters controller.quorum.voters=Set(4, 2, 3)"},
		{"controller.quorum.voters=1@a:1,1@b:2", "the voter id 1 is there twice"},
		{"controller.quorum.voters=2@a:1", "the node id 1 must be included in the set of voters controller.quorum.voters=Set(2)"},
		{"controller.quorum.voters=a:1", "Each entry should be in the form `{id}@{host}:{port}`."},
		{"controller.quorum.bootstrap.servers=a:1,b:1", "2 controllers, but this release forms a cluster of several by controller.quorum.voters only"},
		{"controller.quorum.bootstrap.servers=foo", "Failed to parse host name from foo for the configuration controller.quorum.bootstrap.servers."},
		{"listeners=FOO://:9092", "Error creating broker listeners from '[FOO://:9092]': No security protocol defined for listener FOO"},
		{"listeners=junk", "Unable to parse junk to a broker endpoint"},
		{"listeners=PLAINTEXT://:1,PLAINTEXT://:2", "Each listener must have a different name, listeners: [PLAINTEXT://:1, PLAINTEXT://:2]"},
		{"listeners=PLAINTEXT://:70000", "is not between 0 and 65535"},
		{"listeners=PLAINTEXT://:1,B://:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT", "Each listener must have a different port"},
		{"listeners=SSL://:9092", "server.properties:1: listeners=SSL://:9092: listener SSL speaks SSL, which this release does not serve; only PLAINTEXT"},
		{"controller.listener.names=CONTROLLER", "controller.listener.names must contain at least one value appearing in the 'listeners' configuration"},
		{"advertised.listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
		{"inter.broker.listener.name=FOO", "Listener with name FOO defined in inter.broker.listener.name not found in listener.security.protocol.map."},
		{"listener.security.protocol.map=PLAINTEXT:FOO", "Invalid security protocol `FOO` defined in listener.security.protocol.map"},
		{"log.retention.ms=0", "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
		{"log.roll.ms=0", "log.roll.ms must be greater than or equal to 1"},
		{"queued.max.request.bytes=5", "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"},
		{"max.connections.per.ip=0", "can be set to zero only if max.connections.per.ip.overrides property is set."},
		{"ssl.keystore.location=/k.jks", "server.properties:1: ssl.keystore.location=/k.jks: this release does not serve it"},
		{"ssl.client.auth=required", "ssl.client.auth=required: this release does not serve it"},
		{"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "this release does not serve it"},
		{"super.users=User:admin", "this release does not serve it"},
		{"sasl.enabled.mechanisms=PLAIN", "this release does not serve it"},
		{"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=secret", "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config"},
		{"security.inter.broker.protocol=SSL", "this release does not serve it"},
		{"ssl.key.password=geheim", "ssl.key.password=[hidden]: this release"},
		{`num.partitions=\u00zz`, `read server.properties: line 1: malformed \uXXXX encoding`},
	} {
		_, _, err := Load(Sources{FileName: "server.properties", File: []byte(c.file)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.file, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %q shows a secret or has several lines", c.file, err)
		}
	}
	_, _, err := Load(Sources{Environment: []string{"KAFKA_NUM_PARTITIONS=x"}})
	if err == nil || err.Error() != "KAFKA_NUM_PARTITIONS: num.partitions=x: Invalid value x for configuration num.partitions: Not a number of type INT" {
		t.Errorf("got %v", err)
	}
}

func TestLoadAccepts(t *testing.T) {
	for _, file := range []string{
		"ssl.client.auth=none\nsasl.enabled.mechanisms=GSSAPI\nauthorizer.class.name=\n",
		"broker.id=7\ncontroller.quorum.voters=7@localhost:9093",
		"listeners=plaintext://127.0.0.1:0",
		"num.partitions=\t 4 \nnode.id = +3",
		"listeners=A://127.0.0.1:9092,B://[::1]:9092\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT",
		"controller.listener.names=CTL\nlisteners=PLAINTEXT://:9092,CTL://:9093",
		"inter.broker.protocol.version=3.9\nlistener.name.plaintext.max.connections=5\nrsm.config.x=1",
		"log.cleanup.policy=",
		"default.replication.factor=3",
		"process.roles=controller\nlisteners=C://:9093\ncontroller.listener.names=C\ncontroller.quorum.voters=1@a:1,2@b:2,3@c:3",
		"process.roles=broker\nnode.id=4\ncontroller.listener.names=C\ncontroller.quorum.voters=1@a:1,2@b:2,3@c:3",
		"process.roles=broker\nnode.id=4\ncontroller.listener.names=C\ncontroller.quorum.bootstrap.servers=a:1,b:1",
		"node.id=2\nlisteners=PLAINTEXT://:9092,C://:9093\ncontroller.listener.names=C\ncontroller.quorum.voters=1@a:1,2@b:2,3@c:3\nlistener.security.protocol.map=C:PLAINTEXT,PLAINTEXT:PLAINTEXT",
	} {
		if _, _, err := Load(Sources{FileName: "f", File: []byte(file)}); err != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
	c, _ := load(t, "broker.id=7")
	if c.NodeID != 7 || c.Value("broker.id") != "7" || c.Value("node.id") != "7" {
		t.Errorf("broker.id=7 gives node %d", c.NodeID)
	}
}

func TestUnitsOfTime(t *testing.T) {
	for _, c := range []struct {
		file      string
		retention time.Duration
		roll      time.Duration
		flush     time.Duration
	}{
		{"", 168 * time.Hour, 168 * time.Hour, 1<<63 - 1},
		{"log.retention.minutes=3\nlog.retention.hours=1", 3 * time.Minute, 168 * time.Hour, 1<<63 - 1},
		{"log.retention.ms=7\nlog.retention.minutes=3\nlog.roll.hours=2", 7 * time.Millisecond, 2 * time.Hour, 1<<63 - 1},
		{"log.retention.ms=-1\nlog.retention.hours=1\nlog.roll.ms=9\nlog.roll.hours=2", -time.Millisecond, 9 * time.Millisecond, 1<<63 - 1},
		{"log.retention.hours=-5\nlog.flush.scheduler.interval.ms=6", -time.Millisecond, 168 * time.Hour, 6 * time.Millisecond},
		{"log.flush.interval.ms=5\nlog.flush.scheduler.interval.ms=6", 168 * time.Hour, 168 * time.Hour, 5 * time.Millisecond},
	} {
		got, _ := load(t, c.file)
		top := got.Topic(nil)
		if top.Retention != c.retention || top.SegmentAge != c.roll || top.FlushInterval != c.flush {
			t.Errorf("%q: retention %v roll %v flush %v", c.file, top.Retention, top.SegmentAge, top.FlushInterval)
		}
	}
}

// What the Kafka modules of test-container libraries and many compose files set.
func TestContainersEnvironment(t *testing.T) {
	c, warnings := load(t, "", "KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9093,BROKER://127.0.0.1:9092,CONTROLLER://0.0.0.0:9094",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:32769,BROKER://kafka:9092", "KAFKA_INTER_BROKER_LISTENER_NAME=BROKER",
		"KAFKA_BROKER_ID=1", "KAFKA_NODE_ID=1", "KAFKA_PROCESS_ROLES=broker,controller", "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
		"KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9094", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1", "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES=9223372036854775807",
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0", "KAFKA_REST_BOOTSTRAP_SERVERS=x:1", "CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qk")
	if len(c.Listeners) != 2 || c.Listeners[1].Name != "BROKER" || c.InterBrokerListener != "BROKER" || len(c.ControllerListeners) != 1 {
		t.Errorf("listeners %v, controller %v, between brokers %s", c.Listeners, c.ControllerListeners, c.InterBrokerListener)
	}
	if len(c.Advertised) != 2 || c.Advertised[0].Address() != "localhost:32769" || len(c.Voters) != 1 || c.Voters[0] != (Voter{1, "localhost", 9094}) {
		t.Errorf("advertised %v, voters %v", c.Advertised, c.Voters)
	}
	if len(warnings) != 4 || !strings.HasSuffix(warnings[1], ": KAFKA_REST_BOOTSTRAP_SERVERS") {
		t.Errorf("warnings %q", warnings)
	}
}
