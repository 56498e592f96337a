package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is the checked configuration of one node: what it was started with, or a view of it with what was changed since (With). It does
// not change.
type Config struct {
	ClusterID string // from CLUSTER_ID; empty: the data directory's, or a new one
	NodeID    int32
	Rack      string
	RackAware bool // consumers are sent to replicas in their rack
	Broker    bool // process.roles: it hosts partitions and serves clients
	Votes     bool // process.roles: it is a controller, one of the voters of the metadata quorum

	Listeners             []Listener // for clients and brokers
	ControllerListeners   []Listener // those that controller.listener.names names
	Advertised            []Listener // empty: tell each client the address it connected to
	AdvertisedControllers []Listener // of ControllerListeners, likewise
	InterBrokerListener   string     // name of one of Listeners
	Voters                []Voter    // of the metadata quorum; none: this node alone, or those that are found by BootstrapServers
	BootstrapServers      []string   // controller.quorum.bootstrap.servers

	LogDirs        []string
	MetadataLogDir string // the first of LogDirs unless set

	AutoCreateTopics         bool
	DeleteTopics             bool
	NumPartitions            int32
	DefaultReplicationFactor int16 // 0: by the number of brokers

	SocketRequestMaxBytes int32
	QueuedMaxRequestBytes int64         // <= 0: the broker chooses
	StateMaxBytes         int64         // < 0: no limit
	ConnectionsMaxIdle    time.Duration // <= 0: never
	MaxConnections        int
	MaxConnectionsPerIP   int
	ConnectionsOfHosts    map[string]int // limits that replace MaxConnectionsPerIP, by host as it is set
	MaxConnectionRate     int            // new ones a second
	MaxRequestPartitions  int            // in one answer of DescribeTopicPartitions
	FetchMaxBytes         int32
	FetchSessionSlots     int // 0: no fetch sessions

	RetentionCheckInterval time.Duration
	ProducerIDExpiration   time.Duration

	set      map[string]setValue // what the sources set, known keys only
	parsed   map[string]value    // every known setting that has a value
	defaults map[string]value    // of every topic setting, from the broker's settings

	minISRSet    bool              // somebody set min.insync.replicas, when the node was started or since
	static       *Config           // of a view: what the node was started with
	cluster, own map[string]string // what was changed since, of all brokers and of this one, as text
}

// Default returns the configuration of a node that is told nothing.
func Default() *Config {
	c, _, err := Load(Sources{})
	if err != nil {
		panic(err) // the table is wrong
	}
	return c
}

// Alone says that the node is the only one of its cluster: nothing else is named.
func (c *Config) Alone() bool { return c.Votes && c.Broker && len(c.Voters) <= 1 }

// ControllerListener is the name of the listener by which controllers are reached.
func (c *Config) ControllerListener() string {
	if names := c.parsed["controller.listener.names"].list; len(names) > 0 {
		return strings.ToUpper(names[0])
	}
	return ""
}

// IsSet says whether a source set the setting.
func (c *Config) IsSet(name string) bool { _, ok := c.set[name]; return ok }

// Value returns the value of a broker setting as DescribeConfigs shows it; "" if it is unset or unknown.
func (c *Config) Value(name string) string {
	s := brokerIndex[name]
	if s == nil {
		return ""
	}
	v, ok := c.parsed[name]
	if !ok {
		return ""
	}
	return s.format(v)
}

// Number returns the value of an Int, Short or Long broker setting; 0 if it is unset.
func (c *Config) Number(name string) int64 { return c.parsed[name].num }

// Flag returns the value of a Bool broker setting.
func (c *Config) Flag(name string) bool { return c.parsed[name].yes }

// Millis returns the value of a broker setting in milliseconds as a duration.
func (c *Config) Millis(name string) time.Duration { return millis(c.parsed[name].num) }

// millis converts without overflow: what is longer than a Duration holds is the longest one.
func millis(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(max(ms, -1)) * time.Millisecond
}

// build makes the typed Config and checks what concerns several settings.
func (l *loader) build(listen string) *Config {
	c := &Config{set: l.set, parsed: l.parsed}
	l.node(c)
	l.listeners(c, listen)
	l.quorum(c)
	l.directories(c)
	l.limits(c)
	l.topicDefaults(c)
	l.cleaner(c)
	c.cluster, c.minISRSet = map[string]string{minISR: c.Value(minISR)}, c.IsSet(minISR)
	return c
}

func (l *loader) isSet(key string) bool { _, ok := l.set[key]; return ok }

func (l *loader) node(c *Config) {
	roles := l.parsed["process.roles"].list
	c.Broker, c.Votes = slices.Contains(roles, "broker"), slices.Contains(roles, "controller")
	switch {
	case l.isSet("node.id") && l.isSet("broker.id"):
		if l.parsed["node.id"].num != l.parsed["broker.id"].num {
			l.failKey("broker.id", "`node.id` and `broker.id` must be set to the same value. `broker.id` is deprecated, please use `node.id` instead.")
		}
	case l.isSet("broker.id"):
		if n := l.parsed["broker.id"]; n.num < 0 {
			l.failKey("broker.id", fmt.Sprintf("Invalid value %d for configuration node.id: Value must be at least 0", n.num))
		} else {
			l.parsed["node.id"] = n
			l.set["node.id"] = l.set["broker.id"]
		}
	case l.isSet("node.id"):
		l.parsed["broker.id"] = l.parsed["node.id"]
		l.set["broker.id"] = l.set["node.id"]
	default:
		l.parsed["broker.id"] = l.parsed["node.id"]
	}
	c.NodeID = int32(l.parsed["node.id"].num)
	c.Rack = l.parsed["broker.rack"].text
	c.RackAware = l.parsed["replica.selector.class"].text == rackAwareSelector
}

func (l *loader) listeners(c *Config, listen string) {
	controllers := map[string]bool{}
	for _, name := range l.parsed["controller.listener.names"].list {
		controllers[strings.ToUpper(name)] = true
	}
	protocols, err := parseProtocols(l.parsed["listener.security.protocol.map"].text)
	if err != nil {
		l.failKey("listener.security.protocol.map", err.Error())
		return
	}
	if !l.isSet("listener.security.protocol.map") {
		for name := range controllers { // as Kafka: a controller listener of its own name needs no entry
			if protocols[name] == "" {
				protocols[name] = "PLAINTEXT"
			}
		}
	}
	all, err := parseListeners(l.parsed["listeners"].list, protocols)
	if err != nil {
		l.failKey("listeners", err.Error())
		return
	}
	for _, at := range all {
		if controllers[at.Name] {
			c.ControllerListeners = append(c.ControllerListeners, at)
		} else {
			c.Listeners = append(c.Listeners, at)
		}
	}
	if listen != "" && !l.listenFlag(c, listen) {
		return
	}
	l.checkListeners(c, controllers)
	l.advertised(c, protocols, controllers, listen != "")
	l.interBroker(c, protocols)
}

// listenFlag replaces the listeners for clients by the one of --listen; those of the controller stay.
func (l *loader) listenFlag(c *Config, listen string) bool {
	at := strings.LastIndexByte(listen, ':')
	if at >= 0 {
		all, err := parseListeners([]string{"PLAINTEXT://" + listen}, map[string]string{"PLAINTEXT": "PLAINTEXT"})
		if err == nil {
			if len(c.Listeners) > 0 && c.Listeners[0].Protocol == "PLAINTEXT" {
				all[0].Name = c.Listeners[0].Name
			}
			c.Listeners = all
			l.record("listeners", "--listen", append(all, c.ControllerListeners...))
			return true
		}
	}
	l.problems = append(l.problems, fmt.Errorf("--listen %s: not HOST:PORT, such as 127.0.0.1:9092 or 0.0.0.0:9092", listen))
	return false
}

// record stores listeners that a flag gave, so that DescribeConfigs shows them.
func (l *loader) record(key, origin string, all []Listener) {
	var texts []string
	for _, at := range all {
		texts = append(texts, at.String())
	}
	l.parsed[key] = value{list: texts}
	l.set[key] = setValue{key, strings.Join(texts, ","), origin}
}

func (l *loader) checkListeners(c *Config, controllers map[string]bool) {
	both := slices.Concat(c.Listeners, c.ControllerListeners)
	texts := strings.Join(l.parsed["listeners"].list, ", ")
	others := len(l.parsed["controller.quorum.voters"].list) > 1
	switch {
	case !c.Broker && !c.Votes: // which the rule of process.roles has said
	case !c.Broker && len(c.Listeners) > 0:
		l.failKey("listeners", "The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller")
	case !c.Votes && len(controllers) == 0:
		l.failKey("controller.listener.names", "controller.listener.names must contain at least one value when running KRaft with just the broker role")
	case !c.Votes && len(c.ControllerListeners) > 0:
		l.failKey("controller.listener.names", "controller.listener.names must not contain a value appearing in the 'listeners' configuration when running KRaft with just the broker role")
	case c.Broker && len(c.Listeners) == 0:
		l.failKey("listeners", "There must be at least one broker listener. Perhaps all listeners appear in controller.listener.names?")
	case c.Votes && (len(controllers) > 0 || others) && len(c.ControllerListeners) == 0:
		l.failKey("controller.listener.names", "controller.listener.names must contain at least one value appearing in the 'listeners' configuration when running the KRaft controller role")
	case c.Votes && len(c.ControllerListeners) < len(controllers):
		l.failKey("controller.listener.names", "controller.listener.names must only contain values appearing in the 'listeners' configuration when running the KRaft controller role")
	case samePort(both):
		l.failKey("listeners", fmt.Sprintf("Error creating broker listeners from '[%s]': Each listener must have a different port, listeners: [%[1]s]", texts))
	}
	for _, at := range both {
		if at.Protocol != "PLAINTEXT" {
			l.failKey("listeners", fmt.Sprintf("listener %s speaks %s, which this release does not serve; only PLAINTEXT", at.Name, at.Protocol))
		}
	}
}

func (l *loader) advertised(c *Config, protocols map[string]string, controllers map[string]bool, overridden bool) {
	if !l.isSet("advertised.listeners") {
		return
	}
	all, err := parseListeners(l.parsed["advertised.listeners"].list, protocols)
	if err != nil && overridden {
		return
	}
	if err != nil {
		l.failKey("advertised.listeners", err.Error())
		return
	}
	for _, at := range all {
		switch {
		case overridden && !controllers[at.Name]: // --listen has replaced what it belongs to
		case at.Host == "0.0.0.0":
			l.failKey("advertised.listeners", "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.")
		case controllers[at.Name]: // told to those who come in by listeners for controllers
			c.AdvertisedControllers = append(c.AdvertisedControllers, at)
		case !slices.ContainsFunc(c.Listeners, func(o Listener) bool { return o.Name == at.Name }):
			l.failKey("advertised.listeners", fmt.Sprintf("advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found %s. The valid options based on the current configuration are %s", at.Name, names(c.Listeners)))
		default:
			c.Advertised = append(c.Advertised, at)
		}
	}
}

func (l *loader) interBroker(c *Config, protocols map[string]string) {
	key, name := "inter.broker.listener.name", strings.ToUpper(l.parsed["inter.broker.listener.name"].text)
	switch {
	case name != "" && l.isSet("security.inter.broker.protocol"):
		l.failKey(key, "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.")
	case !c.Broker:
	case name == "":
		// Kafka takes the listener PLAINTEXT; where none is called so, the first one serves a single node as well.
		name = "PLAINTEXT"
		if len(c.Listeners) > 0 && !slices.ContainsFunc(c.Listeners, func(o Listener) bool { return o.Name == name }) {
			name = c.Listeners[0].Name
		}
	case protocols[name] == "":
		l.failKey(key, fmt.Sprintf("Listener with name %s defined in inter.broker.listener.name not found in listener.security.protocol.map.", name))
	case !slices.ContainsFunc(c.Listeners, func(o Listener) bool { return o.Name == name }):
		l.failKey(key, "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are "+names(c.Listeners))
	}
	c.InterBrokerListener = name
}

func names(all []Listener) string {
	var n []string
	for _, at := range all {
		n = append(n, at.Name)
	}
	return strings.Join(n, ",")
}

func (l *loader) quorum(c *Config) {
	const key = "controller.quorum.voters"
	voters, err := parseVoters(l.parsed[key].list)
	own := slices.ContainsFunc(voters, func(v Voter) bool { return v.ID == c.NodeID })
	switch {
	case err != nil:
		l.failKey(key, err.Error())
	case c.Votes && len(voters) > 0 && !own:
		l.failKey(key, fmt.Sprintf("If process.roles contains the 'controller' role, the node id %d must be included in the set of voters controller.quorum.voters=%s", c.NodeID, setOf(voters)))
	case !c.Votes && own:
		l.failKey(key, fmt.Sprintf("If process.roles contains just the 'broker' role, the node id %d must not be included in the set of voters controller.quorum.voters=%s", c.NodeID, setOf(voters)))
	case len(voters) > maxVoters:
		l.failKey(key, fmt.Sprintf("%d voters; 1, 3 or 5 keep a cluster going, and more than %d only make it slower", len(voters), maxVoters))
	}
	for i, v := range voters {
		if slices.ContainsFunc(voters[:i], func(o Voter) bool { return o.ID == v.ID }) {
			l.failKey(key, fmt.Sprintf("the voter id %d is there twice", v.ID))
		} else if v.Port == 0 && len(voters) > 1 {
			l.failKey(key, fmt.Sprintf("the voter %d has no port", v.ID))
		}
	}
	c.Voters = voters
	c.BootstrapServers = l.parsed["controller.quorum.bootstrap.servers"].list
	for _, text := range c.BootstrapServers {
		if _, _, err := splitAddress(text); err != nil {
			l.failKey("controller.quorum.bootstrap.servers", fmt.Sprintf("Failed to parse host name from %s for the configuration controller.quorum.bootstrap.servers. Each entry should be in the form \"{host}:{port}\"", text))
		}
	}
	switch {
	case c.Votes && len(voters) == 0 && len(c.BootstrapServers) > 1:
		l.failKey("controller.quorum.bootstrap.servers", fmt.Sprintf("%d controllers, but this release forms a cluster of several by controller.quorum.voters only", len(c.BootstrapServers)))
	case !c.Votes && len(voters) == 0 && len(c.BootstrapServers) == 0:
		l.failKey("process.roles", "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of bootstrap controllers or controller.quorum.voters must contain a parseable set of controllers.")
	}
}

// maxVoters bounds the quorum: more voters make every change of metadata wait for more disks.
const maxVoters = 9

// setOf writes the ids of voters as Kafka does.
func setOf(voters []Voter) string {
	ids := make([]string, len(voters))
	for i, v := range voters {
		ids[i] = strconv.Itoa(int(v.ID))
	}
	return "Set(" + strings.Join(ids, ", ") + ")"
}

func (l *loader) directories(c *Config) {
	if c.LogDirs = l.parsed["log.dirs"].list; len(c.LogDirs) == 0 {
		c.LogDirs = l.parsed["log.dir"].list
	}
	if c.MetadataLogDir = l.parsed["metadata.log.dir"].text; c.MetadataLogDir == "" && len(c.LogDirs) > 0 {
		c.MetadataLogDir = c.LogDirs[0]
	}
}

func (l *loader) limits(c *Config) {
	number := func(name string) int64 { return l.parsed[name].num }
	c.AutoCreateTopics = l.parsed["auto.create.topics.enable"].yes
	c.DeleteTopics = l.parsed["delete.topic.enable"].yes
	c.NumPartitions = int32(number("num.partitions"))
	c.SocketRequestMaxBytes = int32(number("socket.request.max.bytes"))
	c.QueuedMaxRequestBytes = number("queued.max.request.bytes")
	c.StateMaxBytes = number("state.memory.max.bytes")
	c.ConnectionsMaxIdle = c.Millis("connections.max.idle.ms")
	c.MaxConnections = int(number("max.connections"))
	c.MaxConnectionsPerIP = int(number("max.connections.per.ip"))
	c.ConnectionsOfHosts, _ = parseHostLimits(l.parsed["max.connections.per.ip.overrides"].text) // checked with the setting
	c.MaxConnectionRate = int(number("max.connection.creation.rate"))
	c.MaxRequestPartitions = int(number("max.request.partition.size.limit"))
	c.FetchMaxBytes = int32(number("fetch.max.bytes"))
	c.FetchSessionSlots = int(number("max.incremental.fetch.session.cache.slots"))
	c.RetentionCheckInterval = c.Millis("log.retention.check.interval.ms")
	c.ProducerIDExpiration = c.Millis("producer.id.expiration.ms")
	factor := number("default.replication.factor")
	if factor < 1 || factor > math.MaxInt16 {
		l.failKey("default.replication.factor", fmt.Sprintf("Invalid value %d for configuration default.replication.factor: Value must be at least 1 and at most %d", factor, math.MaxInt16))
	}
	if c.IsSet("default.replication.factor") {
		c.DefaultReplicationFactor = int16(factor)
	}
	if q := c.QueuedMaxRequestBytes; q > 0 && q < int64(c.SocketRequestMaxBytes) {
		l.failKey("queued.max.request.bytes", "queued.max.request.bytes must be larger or equal to socket.request.max.bytes")
	}
	if c.MaxConnectionsPerIP == 0 && l.parsed["max.connections.per.ip.overrides"].text == "" {
		l.failKey("max.connections.per.ip", "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.")
	}
}
