package commitlog

import "time"

// Config is what a topic asks of its logs. It is replaced whole with Configure and never changed in place. Where a comment names a
// default, zero means that.
type Config struct {
	SegmentBytes       int64         // size at which the active segment rolls (segment.bytes); default 1 GiB
	SegmentAge         time.Duration // span of record timestamps at which it rolls (segment.ms); default 7 days
	Preallocate        bool          // reserve the space of a segment with its first append, not step by step (preallocate)
	SegmentJitter      time.Duration // at most so much earlier, so that logs do not roll together (segment.jitter.ms)
	SegmentIndexBytes  int32         // size at which an index is full and the segment rolls (segment.index.bytes); default 10 MiB
	IndexIntervalBytes int32         // bytes of log between two index entries (index.interval.bytes); default 4096, negative means 0

	RetentionBytes    int64         // size above which old segments go (retention.bytes); negative: no limit
	RetentionAge      time.Duration // age above which old segments go (retention.ms); negative: no limit
	Delete            bool          // cleanup.policy contains delete: retention by size and age acts
	Compact           bool          // cleanup.policy contains compact
	MinCleanableRatio float64       // share of uncleaned bytes above which compaction acts (min.cleanable.dirty.ratio)
	MinCompactionLag  time.Duration // how long a record stays uncleaned at least (min.compaction.lag.ms)
	MaxCompactionLag  time.Duration // how long it stays uncleaned at most (max.compaction.lag.ms); zero: no limit
	DeleteRetention   time.Duration // how long tombstones stay (delete.retention.ms)

	FileDeleteDelay time.Duration // how long a removed segment stays on disk as NNN.log.deleted (file.delete.delay.ms)

	FlushMessages int64         // records after which an append flushes the files itself (flush.messages); zero: never
	FlushInterval time.Duration // age at which unflushed records make FlushDue true (flush.ms); zero: never

	// Reserved is set for a broker's own topics: appends go on when little space is left (Env.SetLow), and a batch larger than SegmentBytes
	// is taken, since nobody could make it smaller.
	Reserved bool

	Durable bool // topic setting durability=disk: unsynced appends are announced to the Committer
}

// rollAge is the span of timestamps at which a segment rolls. Only what is not active can be compacted, so compaction's lag counts too.
func (c *Config) rollAge() time.Duration {
	if c.Compact && c.MaxCompactionLag > 0 {
		return min(c.SegmentAge, c.MaxCompactionLag)
	}
	return c.SegmentAge
}

// withDefaults returns c with every field set that has a default.
func (c Config) withDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 1 << 30
	}
	if c.SegmentAge <= 0 {
		c.SegmentAge = 7 * 24 * time.Hour
	}
	if c.SegmentIndexBytes <= 0 {
		c.SegmentIndexBytes = 10 << 20
	}
	switch {
	case c.IndexIntervalBytes == 0:
		c.IndexIntervalBytes = 4096
	case c.IndexIntervalBytes < 0:
		c.IndexIntervalBytes = 0
	}
	return c
}
