package config

// Settings of metrics.
var metricsSettings = []Setting{
	accepted("kafka.metrics.polling.interval.secs", Int, "10", atLeast(1), "Pause between two reads of the metrics."),
	accepted("kafka.metrics.reporters", List, "", list(), "Classes that report the server's metrics."),
	accepted("metric.reporters", List, "org.apache.kafka.common.metrics.JmxReporter", list(), "Classes that report metrics."),
	accepted("metrics.num.samples", Int, "2", atLeast(1), "Samples kept for a metric."),
	accepted("metrics.recording.level", String, "INFO", anything, "Level from which metrics are recorded."),
	accepted("metrics.sample.window.ms", Long, "30000", atLeast(1), "Length of a sample."),
}
