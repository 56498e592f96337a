// Package quota measures what clients take and says how long they must be left alone so that they keep within their quotas: bytes
// produced and fetched, time of requests, changes of partitions, new connections. It owns the samples, the token buckets and the order
// in which quotas of users and client ids count. It delays nobody and answers nothing: server and handler do what it says.
//
// # Rates
//
// A rate is kept in samples of one window each (quota.window.size.seconds), as many as quota.window.num says and one more that the
// measured time still overlaps. It is their sum over the time since the oldest of them began, and over one window less than all
// at least, so that a client may take at once what its quota gives in that time. Who is above the quota is told to wait until the
// same sum, over a longer time, is the quota. These are Kafka's formulas, sample by sample: the same bytes at the same
// times give the same throttle times.
//
// # Memory
//
// Only who has a quota is measured. A measure that has been idle for all its samples says the same as a new one, and is forgotten;
// Kafka keeps it for an hour, which nobody can tell from outside. Of client ids there may be as many as somebody likes to invent: when
// measuresMax are kept and none is idle, the one idle for longest of a few goes. A client that goes on is not among them, and
// one that changes its name with every request has a new quota each time anyhow.
package quota
