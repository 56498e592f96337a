package config

import (
	"fmt"
	"slices"
	"strings"
)

// Page returns docs/configuration.md.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Written by "go generate ./internal/docgen" from the tables in that package; do not edit. -->

Settings have Kafka's names and meanings. They come from flags of ` + "`moldau serve`" + `, from ` + "`KAFKA_*`" + ` environment variables
and from a file in the format of ` + "`server.properties`" + ` (` + "`--config FILE`" + `); a flag beats the environment, the environment beats the file.
In the name of a variable one underscore after ` + "`KAFKA_`" + ` stands for a point, two for a dash and three for an underscore:
` + "`KAFKA_LOG_DIRS`" + ` is ` + "`log.dirs`" + `. ` + "`CLUSTER_ID`" + ` gives a new data directory its cluster id.

A setting is never silently ignored:

- *honoured*: it acts;
- *accepted*: it is checked and shown, but it tunes what this release does not serve yet; one warning line names all such that are set;
- *refused*: it is about safety or security and not served yet; a value other than the default stops the start;
- a key that is none of these is refused, with the nearest known one; a ` + "`KAFKA_*`" + ` variable that is none is passed over with one line,
  as are those for the Java platform.

What is *cluster-wide* can be changed while the brokers run, for all of them or for one; what is *per broker* for one (` + "`moldau config set broker`" + `
or Kafka's ` + "`kafka-configs`" + `). It acts at once, it is kept in the metadata, and it wins over what a broker is started with: first what is set
for the one broker, then what is set for all, then flags, environment and file.

Each node of a cluster reads its own file. Nothing checks that the files agree, and all must say the same of

- ` + "`controller.quorum.voters`" + `, ` + "`controller.listener.names`" + `, ` + "`inter.broker.listener.name`" + ` and ` + "`listener.security.protocol.map`" + `, by which nodes find each other;
- what stands for topics that do not set it themselves, as the column "Broker setting" [below](#topic) names it: each replica goes by the file of its node, and
  by ` + "`min.insync.replicas`" + ` and ` + "`unclean.leader.election.enable`" + ` the active controller goes too;
- what the active controller goes by, which may be any of the voters: ` + "`num.partitions`" + `, ` + "`default.replication.factor`" + `, ` + "`broker.session.timeout.ms`" + `,
  ` + "`auto.leader.rebalance.enable`" + `, ` + "`leader.imbalance.check.interval.seconds`" + `;
- what is done by whichever broker a client comes to first, or by the one that a group comes to when another dies: ` + "`auto.create.topics.enable`" + `,
  ` + "`offsets.*`" + `, ` + "`group.*`" + `.

What is set for all brokers while they run is the same everywhere.

`)
	groups := []struct {
		class Class
		title string
	}{{Honoured, "What acts"}, {Accepted, "What is accepted"}, {Refused, "What is refused"}}
	for _, g := range groups {
		fmt.Fprintf(&b, "## Broker: %s\n\n| Setting | Type | Default | While running | |\n|---|---|---|---|---|\n", strings.ToLower(g.title[:1])+g.title[1:])
		for _, s := range brokerTable {
			if s.Class == g.class {
				writeRow(&b, s)
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString("## Topic\n\nA topic that does not override a setting follows the broker setting named with it.\n\n")
	b.WriteString("| Setting | Type | Default | Broker setting | This release | |\n|---|---|---|---|---|---|\n")
	for _, s := range topicTable {
		from := ""
		if s.From != "" {
			from = "`" + strings.Join(append([]string{s.From}, stem(s.From)...), "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s%s |\n", s.Name, typeWord(s), defaultWord(s), from, s.Class, s.Doc, ownWord(s))
	}
	for _, r := range []struct {
		title, about string
		table        []Setting
	}{
		{"Group", "Accepted for any group; nothing of it concerns classic groups. A setting that is not set follows the broker setting named with it.", groupTable},
		{"Client metrics", "Accepted for subscriptions to the metrics of clients, which are not served yet.", clientMetricsTable},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| Setting | Type | Default | Broker setting | |\n|---|---|---|---|---|\n", r.title, r.about)
		for _, s := range r.table {
			from := ""
			if s.From != "" {
				from = "`" + s.From + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, typeWord(s), defaultWord(s), from, s.Doc)
		}
	}
	b.WriteString("\n## Passed over\n\nSettings of older releases of Kafka, which Kafka 4.4 passes over as well:\n")
	old := slices.Clone(removedSettings)
	slices.Sort(old)
	fmt.Fprintf(&b, "`%s`, and all that start with `zookeeper.` or `confluent.`.\n", strings.Join(old, "`, `"))
	return b.String()
}

// stem returns the stand-ins of a broker setting.
func stem(name string) []string {
	if all := units[name]; len(all) > 0 {
		return all[1:]
	}
	return nil
}

func writeRow(b *strings.Builder, s Setting) {
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s%s |\n", s.Name, typeWord(s), defaultWord(s), s.Scope(), s.Doc, ownWord(s))
}

func typeWord(s Setting) string { return strings.ToLower(s.Type.String()) }

func defaultWord(s Setting) string {
	switch {
	case s.Unset:
		return ""
	case s.Default == "":
		return "empty"
	}
	return "`" + s.Default + "`"
}

func ownWord(s Setting) string {
	if s.Own {
		return " Moldau's own."
	}
	if kafka, ok := otherDefaults[s.Name]; ok {
		return " Kafka's default: " + kafka + "."
	}
	return ""
}

// otherDefaults are Kafka's defaults where ours differ.
var otherDefaults = map[string]string{
	"listeners":                      "`PLAINTEXT://:9092`, every interface",
	"log.dir":                        "`/tmp/kafka-logs`",
	"max.decompressed.message.bytes": "`2147483639`",
	"node.id":                        "none, it must be set",
	"process.roles":                  "none, it must be set",
}
