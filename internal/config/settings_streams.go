package config

// Settings of streams groups.
var streamsSettings = []Setting{
	accepted("group.streams.acceptable.recovery.lag", Long, "10000", atLeast(0), "Lag at which a streams task counts as caught up.").internal(),
	accepted("group.streams.assignment.interval.ms", Int, "1000", atLeast(0), "Pause between two assignments of a streams group."),
	accepted("group.streams.assignor.offload.enable", Bool, "true", anything, "Compute assignments outside the coordinator's thread.").internal(),
	accepted("group.streams.assignors", List, "sticky", list(), "Assignors of streams groups."),
	accepted("group.streams.heartbeat.interval.ms", Int, "5000", atLeast(1), "Heartbeat interval of a streams group."),
	accepted("group.streams.initial.rebalance.delay.ms", Int, "3000", atLeast(0), "Wait for more members of a new streams group."),
	accepted("group.streams.max.assignment.interval.ms", Int, "15000", atLeast(0), "Longest assignment interval a group may set."),
	accepted("group.streams.max.heartbeat.interval.ms", Int, "15000", atLeast(1), "Longest heartbeat interval a group may set."),
	accepted("group.streams.max.session.timeout.ms", Int, "60000", atLeast(1), "Longest session time-out a group may set."),
	accepted("group.streams.max.size", Int, "2147483647", atLeast(1), "Members of a streams group."),
	accepted("group.streams.max.standby.replicas", Int, "2", atLeast(0), "Most standby replicas a group may set."),
	accepted("group.streams.max.warmup.replicas", Int, "20", atLeast(0), "Most warm-up replicas a group may set.").internal(),
	accepted("group.streams.min.assignment.interval.ms", Int, "0", atLeast(0), "Shortest assignment interval a group may set."),
	accepted("group.streams.min.heartbeat.interval.ms", Int, "5000", atLeast(1), "Shortest heartbeat interval a group may set."),
	accepted("group.streams.min.session.timeout.ms", Int, "45000", atLeast(1), "Shortest session time-out a group may set."),
	accepted("group.streams.min.task.offset.interval.ms", Int, "15000", atLeast(1), "Shortest task offset interval a group may set.").internal(),
	accepted("group.streams.num.standby.replicas", Int, "0", atLeast(0), "Standby replicas of a stateful task."),
	accepted("group.streams.num.warmup.replicas", Int, "2", atLeast(0), "Warm-up replicas of a streams group.").internal(),
	accepted("group.streams.rack.aware.assignment.tags", List, "", list(), "Client tags that spread standby replicas."),
	accepted("group.streams.session.timeout.ms", Int, "45000", atLeast(1), "Session time-out of a streams group."),
	accepted("group.streams.task.offset.interval.ms", Int, "60000", atLeast(1), "Pause between reports of task offsets.").internal(),
	accepted("group.streams.topology.description.plugin.class", ClassName, unset, anything, "Class that keeps topology descriptions."),
}
