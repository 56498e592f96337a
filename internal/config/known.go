package config

import "strings"

// Settings of older releases that Kafka 4.4 passes over, and so do we.
var removedSettings = []string{
	"advertised.host.name", "advertised.port", "broker.id.generation.enable", "control.plane.listener.name",
	"group.coordinator.new.enable", "host.name", "inter.broker.protocol.version", "log.message.downconversion.enable",
	"log.message.format.version", "log.message.timestamp.difference.max.ms", "offsets.commit.required.acks",
	"password.encoder.cipher.algorithm", "password.encoder.iterations", "password.encoder.key.length",
	"password.encoder.keyfactory.algorithm", "password.encoder.old.secret", "password.encoder.secret", "port",
	"reserved.broker.max.id", "eligible.leader.replicas.enable",
}

func removed(key string) bool {
	for _, name := range removedSettings {
		if key == name {
			return true
		}
	}
	return strings.HasPrefix(key, "zookeeper.") || strings.HasPrefix(key, "confluent.")
}

// Prefixes under which plug-ins of Kafka read settings of their own.
var pluginPrefixes = []string{"rsm.config.", "rlmm.config.", "config.providers.", "remote.log.storage.manager.impl.", "metrics.jmx."}

func forPlugin(key string) bool {
	for _, p := range pluginPrefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// listenerSetting finds the setting that listener.name.NAME.KEY sets for one listener.
func listenerSetting(key string) *Setting {
	rest, ok := strings.CutPrefix(key, "listener.name.")
	if !ok {
		return nil
	}
	for at := strings.IndexByte(rest, '.'); at >= 0; {
		rest = rest[at+1:] // for SASL a mechanism stands between the name and the key
		if s := brokerIndex[rest]; s != nil {
			return s
		}
		at = strings.IndexByte(rest, '.')
	}
	return nil
}

func known(key string) bool {
	return brokerIndex[key] != nil || removed(key) || forPlugin(key) || listenerSetting(key) != nil
}

// nearest returns the known broker setting closest to key, or "" when none is close.
func nearest(key string) string {
	best, distance := "", max(2, len(key)/4)+1
	for i := range brokerTable {
		if d := editDistance(key, brokerTable[i].Name); d < distance {
			best, distance = brokerTable[i].Name, d
		}
	}
	return best
}

// editDistance counts the letters to insert, remove or change to get from a to b.
func editDistance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	current := make([]int, len(b)+1)
	for i := range len(a) {
		current[0] = i + 1
		for j := range len(b) {
			change := previous[j]
			if a[i] != b[j] {
				change++
			}
			current[j+1] = min(change, previous[j+1]+1, current[j]+1)
		}
		previous, current = current, previous
	}
	return previous[len(b)]
}
