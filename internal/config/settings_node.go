package config

// Settings of the node itself.
var nodeSettings = []Setting{
	honoured("process.roles", List, "broker,controller", nonEmptyList("broker", "controller"), "What this process is: broker (hosts partitions), controller (votes on the metadata), or both."),
	honoured("node.id", Int, "1", atLeast(0), "Number of this node in the cluster."),
	honoured("broker.id", Int, "-1", anything, "Older name of node.id."),
	honoured("broker.rack", String, unset, anything, "Rack or zone of this broker, handed to clients."),
	accepted("initial.broker.registration.timeout.ms", Int, "60000", anything, "How long a starting broker tries to register."),
	honoured("broker.heartbeat.interval.ms", Int, "500", anything, "Pause between heartbeats from broker to controller; at most a third of the session time-out."),
	honoured("broker.session.timeout.ms", Int, "2000", anything, "Silence after which the controller fences a broker."),
	honoured("controlled.shutdown.enable", Bool, "true", anything, "Hand leadership over before a clean stop."),
	accepted("background.threads", Int, "10", atLeast(1), "Threads for background work."),
	accepted("num.io.threads", Int, "8", atLeast(1), "Threads that execute requests."),
	accepted("num.network.threads", Int, "3", atLeast(1), "Threads that read and write sockets."),
	accepted("num.recovery.threads.per.data.dir", Int, "2", atLeast(1), "Threads per directory that recover logs at start."),
	honoured("num.replica.alter.log.dirs.threads", Int, unset, anything, "Threads that move replicas between directories; one for each directory where it is not set."),
	accepted("server.max.startup.time.ms", Long, "9223372036854775807", atLeast(0), "Longest time a start may take.").internal(),
	accepted("request.timeout.ms", Int, "30000", anything, "How long requests to other nodes may take."),
	refused("config.providers", List, "", list(), "Classes that resolve ${...} references in values."),
	accepted("unstable.api.versions.enable", Bool, "false", anything, "Offer request versions still in development.").internal(),
	accepted("unstable.feature.versions.enable", Bool, "false", anything, "Offer feature levels still in development.").internal(),
	accepted("early.start.listeners", List, unset, nonEmptyList(), "Listeners opened before the broker is ready."),
	honoured("state.memory.max.bytes", Long, "536870912", atLeast(-1), "Memory of topics, groups, sessions and producers together from which on no more of them are taken, while those that are there go on; -1 sets no limit.").own().internal(),
	accepted("telemetry.max.bytes", Int, "1048576", atLeast(1), "Largest telemetry push of a client."),
}
