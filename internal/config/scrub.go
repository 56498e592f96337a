package config

import "time"

// Scrub returns what the settings log.scrub.* say: how often old segments are read, 0 for never, and how many bytes a second.
func (c *Config) Scrub() (interval time.Duration, bytesPerSecond int64) {
	return time.Duration(c.Number("log.scrub.interval.hours")) * time.Hour, c.Number("log.scrub.max.bytes.per.second")
}
