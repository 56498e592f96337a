package config

import (
	"maps"
	"slices"
	"strings"
)

// Scope says where a setting of a running broker can be changed.
type Scope uint8

const (
	Fixed       Scope = iota // only by a restart
	ClusterWide              // for all brokers, and for one
	PerBroker                // for one broker alone
	PerListener              // for one listener of one broker, under the prefix listener.name.NAME.
)

func (s Scope) String() string {
	switch s {
	case ClusterWide:
		return "cluster-wide"
	case PerBroker:
		return "per broker"
	case PerListener:
		return "per listener"
	}
	return ""
}

// scopes are the settings that Kafka changes while it runs, and our own. Kafka opens and closes listeners as well, which we do not.
var scopes = scopeTable(map[Scope]string{
	ClusterWide: `background.threads compression.gzip.level compression.lz4.level compression.type compression.zstd.level
		config.providers errors.deadletterqueue.auto.create.topics.enable errors.deadletterqueue.topic.name.prefix
		follower.fetch.last.tiered.offset.enable follower.replication.throttled.rate group.consumer.assignment.interval.ms group.coordinator.cached.buffer.max.bytes
		group.share.assignment.interval.ms group.streams.assignment.interval.ms
		leader.replication.throttled.rate log.cleaner.backoff.ms
		log.cleaner.dedupe.buffer.size log.cleaner.delete.retention.ms log.cleaner.io.buffer.load.factor
		log.cleaner.io.buffer.size log.cleaner.io.max.bytes.per.second log.cleaner.max.compaction.lag.ms
		log.cleaner.min.cleanable.ratio log.cleaner.min.compaction.lag.ms log.cleaner.threads log.cleanup.policy log.durability
		log.flush.interval.messages log.flush.interval.ms log.index.interval.bytes log.index.size.max.bytes
		log.local.retention.bytes log.local.retention.ms log.message.timestamp.after.max.ms
		log.message.timestamp.before.max.ms log.message.timestamp.type log.preallocate log.remote.copy.lag.bytes
		log.remote.copy.lag.ms log.retention.bytes log.retention.ms log.roll.jitter.ms log.roll.ms log.segment.bytes
		log.segment.delete.delay.ms max.connection.creation.rate max.connections max.connections.per.ip
		max.connections.per.ip.overrides max.decompressed.message.bytes message.max.bytes metric.reporters min.insync.replicas
		num.io.threads num.network.threads num.recovery.threads.per.data.dir num.replica.fetchers principal.builder.class
		producer.id.expiration.ms remote.fetch.max.wait.ms remote.list.offsets.request.timeout.ms
		remote.log.index.file.cache.total.size.bytes remote.log.manager.copier.thread.pool.size
		remote.log.manager.copy.max.bytes.per.second remote.log.manager.expiration.thread.pool.size
		remote.log.manager.fetch.max.bytes.per.second remote.log.manager.follower.thread.pool.size remote.log.reader.threads
		replica.alter.log.dirs.io.max.bytes.per.second share.coordinator.cached.buffer.max.bytes ssl.client.auth ssl.engine.factory.class
		transaction.partition.verification.enable unclean.leader.election.enable`,
	PerBroker: `cordoned.log.dirs sasl.enabled.mechanisms sasl.jaas.config sasl.kerberos.kinit.cmd
		sasl.kerberos.min.time.before.relogin sasl.kerberos.principal.to.local.rules sasl.kerberos.service.name
		sasl.kerberos.ticket.renew.jitter sasl.kerberos.ticket.renew.window.factor sasl.login.refresh.buffer.seconds
		sasl.login.refresh.min.period.seconds sasl.login.refresh.window.factor sasl.login.refresh.window.jitter
		sasl.mechanism.inter.broker.protocol ssl.cipher.suites ssl.enabled.protocols ssl.endpoint.identification.algorithm
		ssl.keymanager.algorithm ssl.protocol ssl.provider ssl.secure.random.implementation ssl.trustmanager.algorithm`,
	PerListener: `ssl.key.password ssl.keystore.certificate.chain ssl.keystore.key ssl.keystore.location ssl.keystore.password
		ssl.keystore.type ssl.truststore.certificates ssl.truststore.location ssl.truststore.password ssl.truststore.type`,
})

func scopeTable(names map[Scope]string) map[string]Scope {
	table := map[string]Scope{}
	for scope, list := range names {
		for _, name := range strings.Fields(list) {
			if brokerIndex[name] == nil {
				panic("no setting is called " + name) // the list is wrong
			}
			table[name] = scope
		}
	}
	return table
}

// Scope says where the setting can be changed while the broker runs.
func (s Setting) Scope() Scope { return scopes[s.Name] }

// listenerWide are the settings that all brokers may have for a listener.
var listenerWide = []string{"max.connections", "max.connection.creation.rate", "num.network.threads"}

// throttles have no default that is shown: they are there while replicas are moved.
var throttles = strings.Fields("leader.replication.throttled.rate follower.replication.throttled.rate replica.alter.log.dirs.io.max.bytes.per.second")

// dynamicSetting finds the setting that judges a value for a running broker; nil for a name that nobody knows, which Kafka keeps as it is.
func dynamicSetting(name string) *Setting {
	if s := brokerIndex[name]; s != nil {
		return s
	}
	return listenerSetting(name)
}

// minISR is kept for the whole cluster: a cluster with eligible leader replicas has exactly one value of it.
const minISR = "min.insync.replicas"

// With returns the configuration with what was changed since the start: values for all brokers, and over them those of this one, as they
// stand in the metadata. They win over the sources that Load read. A value that this release does not take counts as absent: another
// release let it in. What does not go together is an error.
func (c *Config) With(cluster, own map[string]string) (*Config, error) {
	base := c.started()
	l, set := loader{set: base.set, parsed: maps.Clone(base.parsed)}, base.minISRSet
	for _, layer := range []map[string]string{cluster, own} {
		for name, text := range layer {
			s := brokerIndex[name]
			if s == nil || s.Scope() == Fixed || s.Scope() == PerListener {
				continue
			}
			if v, err := s.parse(text); err == nil && !s.turnsOn(v) {
				l.parsed[name] = v
				set = set || name == minISR
			}
		}
	}
	view := *base
	view.static, view.parsed, view.own, view.minISRSet = base, l.parsed, own, set
	view.cluster = maps.Clone(base.cluster)
	maps.Copy(view.cluster, cluster)
	l.limits(&view)
	l.topicDefaults(&view)
	l.cleaner(&view)
	if len(l.reasons) > 0 {
		return nil, RequestError("requirement failed: " + l.reasons[0])
	}
	return &view, nil
}

// started is the configuration that the node was started with.
func (c *Config) started() *Config {
	if c.static != nil {
		return c.static
	}
	return c
}

// SameTopics says whether topics without settings of their own behave the same under both.
func (c *Config) SameTopics(o *Config) bool {
	return c.minISRSet == o.minISRSet && maps.EqualFunc(c.defaults, o.defaults, func(a, b value) bool {
		return a.num == b.num && a.float == b.float && a.yes == b.yes && a.text == b.text && slices.Equal(a.list, b.list)
	})
}

// Idle lists what is set of a running broker and not acted on in this release.
func (c *Config) Idle() []string {
	var names []string
	for _, layer := range []map[string]string{c.cluster, c.own} {
		for name := range layer {
			if s := brokerIndex[name]; (s == nil || s.Class != Honoured) && !actsForListener(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// BrokerList returns the default of a list setting of brokers, for append and subtract; an error where it is none. done is what is tried.
func (c *Config) BrokerList(name, done string) (string, error) {
	s := brokerIndex[name]
	if s == nil {
		return "", errorf("Unknown config name: %s", name)
	}
	if s.Type != List {
		return "", errorf("Config value %s is not allowed for config key: %s", done, name)
	}
	return s.Default, nil
}

// ValidateBroker judges the settings that one broker, or all brokers where one is false, would have. With other, what the other of both
// has, it is the whole of what would be changed since the start. The texts and their order are Kafka's.
func (c *Config) ValidateBroker(after, other map[string]string, one bool) error {
	names := slices.Sorted(maps.Keys(after))
	pick := func(what string, wrong func(name string) bool) error {
		if found := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !wrong(name) }); len(found) > 0 {
			return requestErrorf("%s: [%s]", what, strings.Join(found, ", "))
		}
		return nil
	}
	if err := pick("Cannot update these configs dynamically", func(name string) bool {
		return brokerIndex[name] != nil && scopes[name] == Fixed
	}); err != nil {
		return err
	}
	if err := pick("These security configs can be dynamically updated only per-listener using the listener prefix", func(name string) bool {
		return scopes[name] == PerListener
	}); err != nil {
		return err
	}
	for _, name := range names {
		if err := validateDynamic(name, after[name]); err != nil {
			return err
		}
	}
	if err := pick("Cannot update these configs at default cluster level, broker id must be specified", func(name string) bool {
		return !one && (scopes[name] == PerBroker || perListener(name))
	}); err != nil {
		return err
	}
	cluster, own := after, other
	if one {
		cluster, own = other, after
	}
	next, err := c.With(cluster, own)
	if err != nil {
		return err
	}
	return c.validateChange(next)
}

func perListener(name string) bool {
	if !strings.HasPrefix(name, "listener.name.") {
		return false
	}
	_, base, _ := strings.Cut(strings.TrimPrefix(name, "listener.name."), ".")
	return !slices.Contains(listenerWide, base)
}

func validateDynamic(name, text string) error {
	s := dynamicSetting(name)
	if s == nil {
		return nil
	}
	v, err := s.parse(text)
	switch {
	case err != nil:
		return RequestError(err.Error())
	case s.Type == ClassName && text != s.Default:
		return requestErrorf("Invalid value %s for configuration %s: Class %[1]s could not be found.", text, s.Name)
	case s.turnsOn(v):
		return requestErrorf("Invalid value %s for configuration %s: this release does not serve it.", s.shown(v), s.Name)
	}
	return nil
}

func (s *Setting) shown(v value) string {
	if s.Sensitive() {
		return "[hidden]"
	}
	return s.format(v)
}

// threads are counted settings that Kafka changes by no more than a factor of two at once.
var threads = []string{
	"num.io.threads", "num.network.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir", "background.threads",
	"remote.log.reader.threads", "remote.log.manager.copier.thread.pool.size", "remote.log.manager.expiration.thread.pool.size",
	"remote.log.manager.follower.thread.pool.size",
}

// validateChange judges the step from the settings in force to those of next.
func (c *Config) validateChange(next *Config) error {
	invalid := func(format string, args ...any) error {
		return requestErrorf("Invalid value org.apache.kafka.common.config.ConfigException: "+format+" for configuration Invalid dynamic configuration", args...)
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		key, most := "group."+kind+".assignment.interval.ms", "group."+kind+".max.assignment.interval.ms"
		if next.Number(key) > next.Number(most) {
			return requestErrorf("%s must be less than or equal to %s", key, most)
		}
	}
	for _, name := range threads {
		is, will := c.Number(name), next.Number(name)
		failed := "Dynamic thread count update validation failed for " + name + "=%d, value should "
		switch {
		case is == will:
		case will < 1:
			return invalid(failed+"be at least 1", will)
		case will < is/2:
			return invalid(failed+"be at least half the current value %d", will, is)
		case will > 2*is:
			return invalid(failed+"not be greater than double the current value %d", will, is)
		}
	}
	switch is, will := c.Number("log.cleaner.threads"), next.Number("log.cleaner.threads"); {
	case is == will:
	case will < 1:
		return invalid("Log cleaner threads should be at least 1")
	case will < is/2:
		return invalid("Log cleaner threads cannot be reduced to less than half the current value %d", is)
	case is > 0 && will > 2*is:
		return invalid("Log cleaner threads cannot be increased to more than double the current value %d", is)
	}
	for _, at := range next.Listeners {
		for _, name := range perListenerLimits {
			if n := next.ofListener(at.Name, name); n <= 0 && n != c.ofListener(at.Name, name) {
				return invalid("Invalid %s %d", name, n)
			}
		}
	}
	for local, key := range map[string]string{"log.local.retention.ms": "log.retention.ms", "log.local.retention.bytes": "log.retention.bytes"} {
		whole := next.defaults[strings.TrimPrefix(key, "log.")].num
		if n := next.Number(local); n != c.Number(local) && n > whole && whole >= 0 {
			return invalid("Invalid value %d for configuration %s: Value must not be more than %s property value: %d", n, local, key, whole)
		}
	}
	return nil
}
