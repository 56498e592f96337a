package config

import "time"

// Cleaner is what the settings log.cleaner.* say of the threads that compact logs.
type Cleaner struct {
	Threads        int           // log.cleaner.threads; 0: nothing is compacted, as with log.cleaner.enable=false
	Backoff        time.Duration // log.cleaner.backoff.ms
	KeyBytes       int64         // log.cleaner.dedupe.buffer.size, of all threads
	KeyLoad        float64       // log.cleaner.io.buffer.load.factor
	Buffer         int           // log.cleaner.io.buffer.size, of all threads, for reading and writing
	BytesPerSecond float64       // log.cleaner.io.max.bytes.per.second, read and written, of all threads
}

// Cleaner returns the settings of the threads that compact logs.
func (c *Config) Cleaner() Cleaner {
	threads := int(c.Number("log.cleaner.threads"))
	if !c.parsed["log.cleaner.enable"].yes {
		threads = 0
	}
	return Cleaner{
		Threads:        threads,
		Backoff:        c.Millis("log.cleaner.backoff.ms"),
		KeyBytes:       c.Number("log.cleaner.dedupe.buffer.size"),
		KeyLoad:        c.parsed["log.cleaner.io.buffer.load.factor"].float,
		Buffer:         int(c.Number("log.cleaner.io.buffer.size")),
		BytesPerSecond: c.parsed["log.cleaner.io.max.bytes.per.second"].float,
	}
}

// cleaner checks what concerns several settings of the cleaner.
func (l *loader) cleaner(c *Config) {
	const least = 1 << 20
	if n := c.Number("log.cleaner.threads"); n > 0 && c.Number("log.cleaner.dedupe.buffer.size")/n <= least {
		l.failKey("log.cleaner.dedupe.buffer.size", "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")
	}
}
