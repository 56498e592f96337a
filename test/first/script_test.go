package first

import "regexp"

// step is a piece of the page: text, and then a command whose transcript follows it.
type step struct {
	text    string
	command string
	beside  string           // runs meanwhile, with a record every few milliseconds as its input
	stable  []*regexp.Regexp // what must be in the output, where the rest is never the same
}

func line(patterns ...string) (all []*regexp.Regexp) {
	for _, p := range patterns {
		all = append(all, regexp.MustCompile("(?m)^"+p))
	}
	return all
}

// script is the page.
func script() []step {
	return []step{
		{text: `# First questions

What one asks of a cluster first, and which command answers. The transcripts are those of a test, ` + "`go test ./test/first`" + `, which runs the
commands on a broker of its own and fails when this page no longer says what they print; ` + "`-rewrite`" + ` writes it afresh.

Every command takes ` + "`--format json`" + ` or ` + "`plain`" + ` for programs, ` + "`--help`" + ` has examples, and all but ` + "`moldau broker status`" + ` work with Apache
Kafka as well. The broker of this page was started by

    moldau serve --listen 127.0.0.1:9192 --admin 127.0.0.1:9644 2> moldau.log
    export MOLDAU_BOOTSTRAP=127.0.0.1:9192

and has three topics, two groups that have read one of them, and a setting for all brokers:

`, command: `moldau topic create orders --partitions 3 --config retention.ms=86400000`},
		{command: `moldau topic create customers --config cleanup.policy=compact`},
		{command: `moldau topic create events --config max.message.bytes=1000`},
		{command: `seq 300 | sed 's/.*/k&:order &/' | moldau produce orders --key-separator :`},
		{command: `moldau consume orders --group billing > /dev/null`},
		{command: `seq 301 450 | sed 's/.*/k&:order &/' | moldau produce orders --key-separator :`},
		{command: `moldau consume orders --group audit > /dev/null`},
		{command: `moldau config set broker all log.retention.bytes=1073741824`},

		{text: `
## What topics are there, and how big are they?

`, command: `moldau topic list`},
		{command: `moldau topic size`},
		{text: `
By partition, with the directory each replica lies in:

`, command: `moldau topic size orders --partitions`},
		{text: `
And everything about one topic: leaders, replicas, offsets, and the settings that somebody has made.

`, command: `moldau topic describe orders`},

		{text: `
## Who is lagging?

`, command: `moldau group list`},
		{command: `moldau group lag`},
		{text: `
As a check for a script; the exit status is 2 when a group is further behind:

`, command: `moldau group lag billing --max-lag 100 --format plain; echo "status $?"`},
		{text: `
The members of a group, and what each of them has, are in ` + "`moldau group describe billing`" + `. Prometheus has the same lag:

`, command: `curl -s http://127.0.0.1:9644/metrics | grep moldau_group_lag_records`},

		{text: `
## Which settings differ from the default?

`, command: `moldau config diff`},
		{text: `
Of one topic, with what counts without the setting; ` + "`--all`" + ` shows every setting there is.

`, command: `moldau config describe topic orders`},
		{text: `
What a setting means, and whether it acts here, is in [configuration.md](configuration.md). ` + "`moldau config describe ... --format json`" + ` has
a sentence on each.

## Is the cluster well?

Its brokers, who votes on its metadata and how far each is behind, and the partitions that are not as they should be, if there are any:

`, command: `moldau cluster`,
			stable: line(`CLUSTER +CONTROLLER +BROKERS +FENCED OR GONE `, `[A-Za-z0-9_-]{22} +1 +1 +0 +4 +55 +0 +0 +0$`, `1 +127\.0\.0\.1:9192 +- +serving +yes +55 +55 +55$`, `1 +leader +- +[0-9]+ +0 +- +-$`)},
		{text: `
` + "`moldau dev --brokers 3`" + ` runs a cluster of three on this machine, of which you can kill one and see what becomes of its partitions.

## What is the broker doing now?

Here somebody writes fifty records a second to ` + "`orders`" + `:

`, command: `moldau broker status`, beside: `moldau produce orders --key-separator :`,
			stable: line(`BROKER +STATE +UP `, `1 +ready +`, `moldau-data +online`, `REQUEST +A SECOND`, `Produce +[0-9.]+ +[0-9.]+`, `TOPIC +RECORDS`, `orders +[0-9.]+`)},
		{text: `
Is it well, and does it serve? A load balancer asks the same:

`, command: `curl -s http://127.0.0.1:9644/healthz`},
		{command: `curl -s http://127.0.0.1:9644/readyz`},
		{text: `
All figures are in ` + "`/metrics`" + `, with the queries for the usual questions in [metrics.md](metrics.md); profiles for ` + "`go tool pprof`" + ` in ` + "`/debug/pprof/`" + `.

## Why was my request refused?

The command says so, and what to do:

`, command: `echo 'no key' | moldau produce customers`},
		{command: `head -c 2000 /dev/zero | tr '\0' x | moldau produce events`},
		{command: `moldau config set topic orders retention.ms=soon`},
		{command: `moldau consume ordres`},
		{command: `moldau topic create orders`},
		{text: `
Of any other client the broker's log says it: who asked, for what, about which topic, and why not. The same refusal has one line a minute,
so that no client can flood the log.

`, command: `grep 'topic=customers' moldau.log`},
		{command: `grep 'topic=events' moldau.log`},
		{command: `grep 'IncrementalAlterConfigs' moldau.log`},
		{text: `
How often, since the start, by request and error:

`, command: `curl -s http://127.0.0.1:9644/metrics | grep INVALID_`},
		{text: `
And a broker that does not start says in one line why not:

`, command: `echo 'log.retention.hous=24' > server.properties; moldau serve --config server.properties --data other`},
		{command: `echo 'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer' > server.properties; moldau serve --config server.properties --data other`},
		{command: `moldau serve --listen 127.0.0.1:9192 --data other`},
		{command: `moldau serve --listen 127.0.0.1:0`},
		{text: `
## With Kafka's own tools

They ask the same questions of the same broker:

| | |
| --- | --- |
| topics | ` + "`kafka-topics --bootstrap-server 127.0.0.1:9192 --describe`" + ` |
| sizes | ` + "`kafka-log-dirs --bootstrap-server 127.0.0.1:9192 --describe`" + `, ` + "`kafka-get-offsets --bootstrap-server 127.0.0.1:9192`" + ` |
| lag | ` + "`kafka-consumer-groups --bootstrap-server 127.0.0.1:9192 --describe --all-groups`" + ` |
| settings | ` + "`kafka-configs --bootstrap-server 127.0.0.1:9192 --describe --entity-type topics --all`" + ` |
| the quorum | ` + "`kafka-metadata-quorum --bootstrap-server 127.0.0.1:9192 describe --status`" + ` |
`},
	}
}
