package config

// Settings of the listener for metrics and health, and of the program's own log. Kafka has other means for both (JMX, log4j), so
// they are ours, and DescribeConfigs lists them only where they are set.
var adminSettings = []Setting{
	honoured("admin.listener", String, "", adminListener, "HOST:PORT that answers metrics, health and profiles over HTTP, without a password; empty opens none, port 0 takes any.").own().internal(),
	honoured("admin.hosts", List, "", list(), "Names, besides those in admin.listener and advertised.listeners, by which HTTP requests may call the node; addresses and localhost always may.").own().internal(),
	honoured("admin.metrics.series.max", Int, "1000", between(0, 100000), "Topics, and pairs of group and topic, that have series of their own in a scrape; the rest is in the sums alone.").own().internal(),
	honoured("logging.format", String, "text", oneOf("text", "json"), "How the lines of the program's own log look: text (key=value) or json.").own().internal(),
	honoured("logging.level", String, "info", oneOf("debug", "info", "warn", "error"), "From which level on the program's own log has lines.").own().internal(),
}
