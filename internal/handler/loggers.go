package handler

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/protocol"
)

// Loggers of a broker (KIP-412). Kafka has one for each of its classes; we have one, by the name of Kafka's first. Its level acts at once
// and is forgotten with a restart, as in Kafka.

// rootLogger is the name of the one logger.
const rootLogger = "root"

// logLevels are the levels by their names, the lowest first.
var logLevels = []struct {
	name  string
	level slog.Level
}{{"TRACE", slog.LevelDebug - 4}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn}, {"ERROR", slog.LevelError}, {"FATAL", slog.LevelError + 4}}

// logLevel returns the name of a level: of several the one below.
func logLevel(level slog.Level) string {
	name := logLevels[0].name
	for _, l := range logLevels {
		if level >= l.level {
			name = l.name
		}
	}
	return name
}

// describeLoggers describes the loggers of this broker.
func (h *Handler) describeLoggers(broker string) ([]config.Entry, protocol.ErrorCode, string) {
	if broker == "" {
		return nil, protocol.InvalidRequest, "Broker id must not be empty"
	}
	id, err := strconv.ParseInt(broker, 10, 32)
	if err != nil {
		return nil, protocol.InvalidRequest, "Broker id must be an integer, but it is: " + broker
	}
	if int32(id) != h.BrokerID {
		return nil, protocol.InvalidRequest, fmt.Sprintf("Unexpected broker id, expected %d but received %s", h.BrokerID, broker)
	}
	return []config.Entry{{Name: rootLogger, Value: new(logLevel(h.LogLevel.Level())), Source: config.SourceLogger}}, protocol.None, ""
}

// alterLoggers changes the levels of loggers, or only says whether it would.
func (h *Handler) alterLoggers(r kmsg.IncrementalAlterConfigsRequestResource, only bool) (protocol.ErrorCode, string) {
	id, err := strconv.ParseInt(r.ResourceName, 10, 32)
	if err != nil {
		return protocol.InvalidRequest, "Node id must be an integer, but it is: " + r.ResourceName
	}
	if int32(id) != h.BrokerID {
		return protocol.InvalidRequest, fmt.Sprintf("Unexpected node id. Expected %d, but received %s", h.BrokerID, r.ResourceName)
	}
	next := h.LogLevel.Level()
	for _, c := range r.Configs {
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
		case kmsg.IncrementalAlterConfigOpDelete:
			if c.Name == rootLogger {
				return protocol.InvalidRequest, "Removing the log level of the root logger is not allowed"
			}
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			return protocol.InvalidRequest, fmt.Sprintf("%s operation is not allowed for the BROKER_LOGGER resource", c.Op)
		default:
			return protocol.InvalidRequest, fmt.Sprintf("Unknown operation type %d is not allowed for the BROKER_LOGGER resource", c.Op)
		}
		if c.Name != rootLogger {
			return protocol.InvalidConfig, fmt.Sprintf("Logger %s does not exist!", c.Name)
		}
		known := false
		for _, l := range logLevels {
			if l.name == *c.Value {
				next, known = l.level, true
			}
		}
		if !known {
			return protocol.InvalidConfig, fmt.Sprintf("Cannot set the log level of %s to %s as it is not a supported log level. "+
				"Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", c.Name, *c.Value)
		}
	}
	if !only {
		h.LogLevel.Set(next)
	}
	return protocol.None, ""
}
