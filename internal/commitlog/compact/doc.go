// Package compact holds what compaction decides: the map from each key to the offset of its newest record, the rules that say which
// records and batches stay, and which transactions were aborted. It owns no file, no segment and no time; it never reads or writes
// a disk and starts nothing. Package commitlog drives it over the segments of a log, package cleaner chooses the logs.
package compact
