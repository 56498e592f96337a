// Package metrics is what the broker counts and how it is told to Prometheus: instruments that cost an atomic addition, the table of
// all metrics with names, kinds, labels and help, and the text format. It owns no figure of its own but those of the Go runtime: who
// counts keeps his instruments, and package broker reads them when it is asked. It opens no socket and speaks no HTTP (that is admin).
//
// An instrument is an array of atomics that is there from the start, or is made at its first use and kept. Nothing here takes a lock
// or allocates for each event, so instruments may stand on the path of every request.
//
// # Text format
//
// One block a metric, version 0.0.4 of the format:
//
//	# HELP name what it counts        a backslash and a line feed are escaped
//	# TYPE name counter               or gauge, histogram
//	name{label="value"} 1.5           in a value also the quote is escaped
//
// A histogram has, for each set of labels, name_bucket{le="bound"} for each bound and "+Inf", each counting all below it, name_sum
// and name_count.
package metrics
