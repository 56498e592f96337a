// Package commitlog keeps one partition's log on disk: it appends, reads, truncates, recovers and deletes record batches in
// Kafka's segment format, with the indexes, producer state and leader epochs beside them.
//
// It owns the files of one partition directory. It never re-encodes or validates records, knows no replicas and no high watermark
// of its own, starts no goroutine and no timer: syncing, checkpoints and background deletion are driven by the owner of
// the log directory through Env and Committer.
package commitlog
