package metrics

// Kind is what a metric is to Prometheus.
type Kind string

// The kinds in use.
const (
	CounterKind   Kind = "counter"
	GaugeKind     Kind = "gauge"
	HistogramKind Kind = "histogram"
)

// Metric is one row of the table.
type Metric struct {
	Name   string
	Kind   Kind
	Group  string // heading on the page
	Help   string
	Labels []string

	place int // in Table
}

// Table holds every metric, in the order of the page and of a scrape.
var Table []*Metric

func row(group string, kind Kind, name, help string, labels ...string) *Metric {
	m := &Metric{Name: name, Kind: kind, Group: group, Help: help, Labels: labels, place: len(Table)}
	Table = append(Table, m)
	return m
}

const (
	node     = "The node"
	requests = "Requests and connections"
	records  = "Records"
	topics   = "Topics"
	groups   = "Consumer groups"
	disks    = "Disks"
	cleaning = "Retention and compaction"
	process  = "The process"
)

// The node.
var (
	BuildInfo        = row(node, GaugeKind, "moldau_build_info", "Always 1; the labels say what runs.", "version", "goversion")
	NodeInfo         = row(node, GaugeKind, "moldau_node_info", "Always 1; the labels say which node this is.", "cluster", "node")
	StartTime        = row(node, GaugeKind, "moldau_start_time_seconds", "When the broker started, in seconds since 1970.")
	Ready            = row(node, GaugeKind, "moldau_ready", "1 while /readyz says so, otherwise 0.")
	ActiveController = row(node, GaugeKind, "moldau_active_controller", "1 while this node is the active controller, otherwise 0; over the cluster the sum is 1, or 0 during an election.")
	KnowsController  = row(node, GaugeKind, "moldau_controller_known", "1 while this node knows the active controller, otherwise 0: then the metadata cannot change.")
	Brokers          = row(node, GaugeKind, "moldau_brokers", "Registered brokers: serving, fenced, or leaving.", "state")
	LeftOut          = row(node, GaugeKind, "moldau_scrape_left_out",
		"Topics or groups that this scrape has no series of their own for, because there are more than admin.metrics.series.max or they did not answer in time.", "what")
)

// Requests and connections.
var (
	RequestCount = row(requests, CounterKind, "moldau_requests_total",
		"Requests that were answered, by the first error in the answer: NONE where there is none, CONNECTION_CLOSED where the request closed its connection. Version is a number, or other.", "api", "version", "error")
	RequestDuration = row(requests, HistogramKind, "moldau_request_duration_seconds",
		"From the arrival of a request's last bytes to its answer being handed to the socket. A Fetch waits for records within it, a JoinGroup for members.", "api")
	InFlight      = row(requests, GaugeKind, "moldau_requests_in_flight", "Requests that were received and not yet answered, those that wait for records or members included.")
	ReceivedBytes = row(requests, CounterKind, "moldau_received_bytes_total", "Bytes received from clients, with all framing.")
	SentBytes     = row(requests, CounterKind, "moldau_sent_bytes_total", "Bytes sent to clients, with all framing.")
	Connections   = row(requests, GaugeKind, "moldau_connections", "Open connections.", "listener")
	Accepted      = row(requests, CounterKind, "moldau_connections_accepted_total", "Connections that were accepted, those included that were closed at once because there are too many.")
	ClosedCount   = row(requests, CounterKind, "moldau_connections_closed_total",
		"Connections that have ended: disconnected by the client, idle or stalled for too long, refused because there are too many, throttled because their address opens too many a second, shutdown of the broker, no memory, or error of the client or the network.", "reason")
	MemoryUsed        = row(requests, GaugeKind, "moldau_request_memory_bytes", "Memory that requests hold of their budget.")
	MemoryLimit       = row(requests, GaugeKind, "moldau_request_memory_limit_bytes", "The budget for requests (queued.max.request.bytes).")
	MemoryWaiting     = row(requests, GaugeKind, "moldau_request_memory_waiting", "Connections that wait for memory of the budget before they read on.")
	StateUsed         = row(requests, GaugeKind, "moldau_state_memory_bytes", "Memory of topics, groups, sessions and producers, and of all else that stays when requests are answered, as the last garbage collection found it.")
	StateLimit        = row(requests, GaugeKind, "moldau_state_memory_limit_bytes", "Where no more topics, groups and producers are taken (state.memory.max.bytes); 0 where there is no limit.")
	ThrottledRequests = row(requests, CounterKind, "moldau_throttled_requests_total",
		"Requests after which a client was held back, by the quota that it was over: produce and fetch of bytes, request of time, controller_mutation of partitions created and deleted.", "quota")
	ThrottleTime  = row(requests, CounterKind, "moldau_throttle_seconds_total", "Throttle times of those requests together.", "quota")
	QuotaMeasures = row(requests, GaugeKind, "moldau_quota_measures", "Clients that are measured because they have a quota, each kind of quota counted by itself.")
	QueuedBytes   = row(requests, GaugeKind, "moldau_response_queue_bytes", "Memory of answers that wait to be sent.")
)

// Records.
var (
	ProducedRecords = row(records, CounterKind, "moldau_produced_records_total", "Records that clients appended.")
	ProducedBatches = row(records, CounterKind, "moldau_produced_batches_total", "Record batches that clients appended.")
	ProducedBytes   = row(records, CounterKind, "moldau_produced_bytes_total", "Bytes of the record batches that clients appended, as stored.")
	FetchedRuns     = row(records, CounterKind, "moldau_fetched_partitions_total", "Partitions in answers to Fetch that brought record batches.")
	FetchedBytes    = row(records, CounterKind, "moldau_fetched_bytes_total", "Bytes of the record batches in answers to Fetch.")
)

// Topics.
var (
	Topics          = row(topics, GaugeKind, "moldau_topics", "Topics of the cluster.")
	Partitions      = row(topics, GaugeKind, "moldau_partitions", "Partitions that this broker hosts a replica of.")
	Led             = row(topics, GaugeKind, "moldau_partitions_led", "Partitions that this broker leads.")
	UnderReplicated = row(topics, GaugeKind, "moldau_partitions_under_replicated", "Partitions that this broker leads with fewer replicas in sync than they have; over the cluster the sum, with those that are offline, is all of them.")
	UnderMinISR     = row(topics, GaugeKind, "moldau_partitions_under_min_isr", "Partitions that this broker leads with fewer replicas in sync than min.insync.replicas asks for: acks=all is refused.")
	Offline         = row(topics, GaugeKind, "moldau_partitions_offline", "Partitions of the cluster that nobody leads; every node says the same.")
	NotPreferred    = row(topics, GaugeKind, "moldau_partitions_off_preferred_leader", "Partitions of the cluster that another replica leads than the first one; every node says the same.")
	Reassigning     = row(topics, GaugeKind, "moldau_partitions_reassigning", "Partitions of the cluster whose replicas are on their way to other brokers; every node says the same.")
	LogSize         = row(topics, GaugeKind, "moldau_log_size_bytes", "Bytes of all segments of all partitions.")
	TopicPartitions = row(topics, GaugeKind, "moldau_topic_partitions", "Partitions of a topic that this broker hosts.", "topic")
	TopicSize       = row(topics, GaugeKind, "moldau_topic_size_bytes", "Bytes of the segments of a topic's partitions.", "topic")
	TopicSegments   = row(topics, GaugeKind, "moldau_topic_segments", "Segments of a topic's partitions.", "topic")
	TopicRecordsIn  = row(topics, CounterKind, "moldau_topic_produced_records_total", "Records that were appended to a topic since the start, by clients and by the broker.", "topic")
	TopicBytesIn    = row(topics, CounterKind, "moldau_topic_produced_bytes_total", "Bytes of record batches that were appended to a topic since the start, by clients and by the broker.", "topic")
	TopicBytesOut   = row(topics, CounterKind, "moldau_topic_fetched_bytes_total", "Bytes of record batches that were read from a topic since the start.", "topic")
)

// Consumer groups.
var (
	Groups   = row(groups, GaugeKind, "moldau_groups", "Consumer groups that this broker coordinates.", "state")
	GroupLag = row(groups, GaugeKind, "moldau_group_lag_records",
		"Records between what a group has committed and the high watermark, over the partitions of the topic that it has committed offsets of and that this broker leads.", "group", "topic")
	Loading = row(groups, GaugeKind, "moldau_coordinators_loading", "Partitions of __consumer_offsets whose groups are being loaded.")
)

// Disks.
var (
	DirFree        = row(disks, GaugeKind, "moldau_directory_free_bytes", "Bytes that may still be written to the file system of a data directory.", "directory")
	DirSize        = row(disks, GaugeKind, "moldau_directory_size_bytes", "Size of the file system of a data directory.", "directory")
	DirState       = row(disks, GaugeKind, "moldau_directory_state", "1 for the state that a data directory is in, 0 for the others: online; full, when producers are refused; offline, for good.", "directory", "state")
	Commit         = row(disks, HistogramKind, "moldau_journal_commit_duration_seconds", "Group commits: one write and one sync of the journal for the small appends of many partitions.", "directory")
	DirWaits       = row(disks, GaugeKind, "moldau_directory_sync_waiting_seconds", "For how long the oldest sync, or other call of the disk that is watched, has been under way: of a disk that hangs it grows.", "directory")
	DirSlow        = row(disks, CounterKind, "moldau_directory_slow_syncs_total", "Group commits and syncs of segment files that took longer than a second.", "directory")
	Damaged        = row(disks, CounterKind, "moldau_log_damaged_places_total", "Places in segment files whose records are not what was written, found since the start; the log names each with file, position and offsets.")
	Repaired       = row(disks, CounterKind, "moldau_log_repaired_places_total", "Places of those that were repaired from another replica of the partition.")
	RepairedBytes  = row(disks, CounterKind, "moldau_log_repaired_bytes_total", "Bytes of record batches that other replicas gave for repairs.")
	RepairsWaiting = row(disks, GaugeKind, "moldau_log_repairs_waiting", "Segments with damage that are to be repaired from another replica and are not yet.")
	Scrubbed       = row(disks, CounterKind, "moldau_scrub_read_bytes_total", "Bytes of old segments that were read to find damage before a client meets it (log.scrub.interval.hours).")
	SyncTime       = row(disks, HistogramKind, "moldau_segment_sync_duration_seconds", "Syncs of the segment files of one partition.", "directory")
)

// Retention and compaction.
var (
	RetentionSegments = row(cleaning, CounterKind, "moldau_retention_deleted_segments_total", "Segments that retention has deleted: below the log start, beyond the size (retention.bytes), beyond the age (retention.ms).", "reason")
	CleanerPasses     = row(cleaning, CounterKind, "moldau_cleaner_passes_total", "Passes over the log of a partition for compaction, by how they ended: done or failed.", "result")
	CleanerRead       = row(cleaning, CounterKind, "moldau_cleaner_read_bytes_total", "Bytes that compaction has read.")
	CleanerWritten    = row(cleaning, CounterKind, "moldau_cleaner_written_bytes_total", "Bytes that compaction has written.")
	CleanerRecords    = row(cleaning, CounterKind, "moldau_cleaner_removed_records_total", "Records that compaction has removed.")
	CleanerRemoved    = row(cleaning, CounterKind, "moldau_cleaner_removed_bytes_total", "Bytes by which compaction has made logs smaller.")
)

// The process.
var (
	Goroutines   = row(process, GaugeKind, "go_goroutines", "Goroutines that exist.")
	HeapBytes    = row(process, GaugeKind, "go_heap_objects_bytes", "Memory of objects on the heap, live or not yet collected.")
	GoMemory     = row(process, GaugeKind, "go_memory_bytes", "Memory that the Go runtime has from the system and has not given back.")
	GoLimit      = row(process, GaugeKind, "go_memory_limit_bytes", "Memory limit of the Go runtime (GOMEMLIMIT); near 2^63 where there is none.")
	AllocBytes   = row(process, CounterKind, "go_allocated_bytes_total", "Bytes that were allocated on the heap since the start.")
	GCCycles     = row(process, CounterKind, "go_gc_cycles_total", "Garbage collections since the start.")
	GCPause      = row(process, CounterKind, "go_gc_pause_seconds_total", "Time that garbage collections have stopped the program for.")
	GCCPU        = row(process, CounterKind, "go_gc_cpu_seconds_total", "Processor time that garbage collections have taken, as the runtime estimates it.")
	Processors   = row(process, GaugeKind, "go_processors", "Processors that Go code may use at once (GOMAXPROCS).")
	CPUTime      = row(process, CounterKind, "process_cpu_seconds_total", "Processor time of the process. Linux only.")
	Resident     = row(process, GaugeKind, "process_resident_memory_bytes", "Memory of the process that is in RAM, mapped files included. Linux only.")
	OpenFiles    = row(process, GaugeKind, "process_open_fds", "Open file descriptors. Linux only.")
	ProcessStart = row(process, GaugeKind, "process_start_time_seconds", "When the process started, in seconds since 1970. Linux only.")
)
