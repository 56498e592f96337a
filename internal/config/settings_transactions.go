package config

// Settings of transactions.
var transactionsSettings = []Setting{
	accepted("transaction.state.log.num.partitions", Int, "50", atLeast(1), "Partitions of __transaction_state."),
	accepted("transaction.state.log.replication.factor", Short, "3", atLeast(1), "Replicas of __transaction_state."),
	accepted("transaction.state.log.min.isr", Int, "2", atLeast(1), "In-sync replicas __transaction_state needs."),
	accepted("transaction.state.log.segment.bytes", Int, "104857600", atLeast(1), "Segment size of __transaction_state."),
	accepted("transaction.state.log.load.buffer.size", Int, "5242880", atLeast(1), "Read size when transactions are loaded."),
	accepted("transaction.max.timeout.ms", Int, "900000", atLeast(1), "Longest transaction time-out a producer may ask for."),
	accepted("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, "10000", atLeast(1), "Pause between checks for timed-out transactions."),
	accepted("transaction.remove.expired.transaction.cleanup.interval.ms", Int, "3600000", atLeast(1), "Pause between checks for expired transactional ids."),
	accepted("transaction.partition.verification.enable", Bool, "true", anything, "Check that a partition belongs to the transaction before writing."),
	accepted("transaction.two.phase.commit.enable", Bool, "false", anything, "Allow transactions that an outside coordinator decides."),
	accepted("transactional.id.expiration.ms", Int, "604800000", atLeast(1), "How long an idle transactional id is remembered."),
	accepted("add.partitions.to.txn.retry.backoff.max.ms", Int, "100", atLeast(0), "How long adding partitions to a transaction is retried."),
	accepted("add.partitions.to.txn.retry.backoff.ms", Int, "20", atLeast(1), "Pause between such retries."),
}
