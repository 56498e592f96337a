package config

import (
	"slices"
	"strings"
)

// The images of Kafka turn environment variables into settings: after KAFKA_, three underscores stand for _, two for -, one
// for a point, and letters become small.
const environmentPrefix = "KAFKA_"

func environmentKey(name string) string {
	name = strings.ToLower(strings.TrimPrefix(name, environmentPrefix))
	return strings.NewReplacer("___", "_", "__", "-", "_", ".").Replace(name)
}

// forJava says whether a KAFKA_ variable is for the Java platform, its logging or the scripts that start it.
func forJava(name string) bool {
	switch name {
	case "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_DEBUG", "KAFKA_HOME",
		"KAFKA_VERSION", "KAFKA_MODE", "KAFKA_CDS_CMD", "KAFKA_CLASSPATH":
		return true
	}
	for _, prefix := range []string{"KAFKA_JMX_", "KAFKA_LOG4J", "KAFKA_TOOLS_LOG4J", "KAFKA_JAVA_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// environment is what the process's variables say.
type environment struct {
	settings  []setValue
	clusterID string
	passed    []string // KAFKA_ variables that are no setting, sorted
}

func readEnvironment(variables []string) environment {
	var e environment
	variables = slices.Clone(variables)
	slices.Sort(variables)
	for _, v := range variables {
		name, text, _ := strings.Cut(v, "=")
		switch key := environmentKey(name); {
		case name == "CLUSTER_ID":
			e.clusterID = text
		case !strings.HasPrefix(name, environmentPrefix):
		case forJava(name) || !known(key) || removed(key):
			e.passed = append(e.passed, name)
		default:
			e.settings = append(e.settings, setValue{key: key, text: text, origin: name})
		}
	}
	return e
}
