package metrics

import (
	"fmt"
	"strings"
)

// Page returns docs/metrics.md.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Written by "go generate ./internal/docgen" from the table in package metrics; do not edit. -->

With ` + "`moldau serve --admin 127.0.0.1:9644`" + `, or the setting ` + "`admin.listener`" + `, a broker answers on that address

| path | |
|---|---|
| ` + "`/metrics`" + ` | what is listed here, in Prometheus' text format |
| ` + "`/healthz`" + ` | 200 while the process is sound, from the first moment of the start |
| ` + "`/readyz`" + ` | 200 while the broker serves: registered, all groups loaded, a data directory that can be written; else 503. The body has a line for each |
| ` + "`/debug/pprof/`" + ` | profiles for ` + "`go tool pprof`" + `, to requests from the same machine alone |

Without the setting nothing is opened. There is no password: an address that other machines reach is said in a warning at the start, and
names of topics and groups are part of the metrics. Requests must be GET or HEAD, name the node by an IP address, ` + "`localhost`" + `,
the name in ` + "`admin.listener`" + ` or in ` + "`advertised.listeners`" + `, or one of ` + "`admin.hosts`" + `, and must not come from another site's page.

A topic has its series, over its partitions, up to ` + "`admin.metrics.series.max`" + ` topics in the order of their names, and so has each pair of group
and topic; ` + "`moldau_scrape_left_out`" + ` says how many have none. Names of clients are never labels. Counters begin at 0 with each start of the
broker, and those of a topic with the topic.
`)
	group := ""
	for _, m := range Table {
		if m.Group != group {
			group = m.Group
			fmt.Fprintf(&b, "\n## %s\n\n| Metric | Type | Labels | |\n|---|---|---|---|\n", group)
		}
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, labels, strings.ReplaceAll(m.Help, "|", `\|`))
	}
	b.WriteString(`
## Questions

- *How many records a second?* ` + "`rate(moldau_produced_records_total[1m])`" + `
- *How long do producers wait?* ` + "`histogram_quantile(0.99, rate(moldau_request_duration_seconds_bucket{api=\"Produce\"}[5m]))`" + `
- *What is refused, and why?* ` + "`sum by (api, error) (rate(moldau_requests_total{error!=\"NONE\"}[5m])) > 0`" + `
- *Who is lagging?* ` + "`topk(10, moldau_group_lag_records)`" + `
- *How slow is the disk?* ` + "`histogram_quantile(0.99, rate(moldau_journal_commit_duration_seconds_bucket[5m]))`" + `
- *Which disk is filling up?* ` + "`moldau_directory_free_bytes / moldau_directory_size_bytes < 0.1`" + `
`)
	return b.String()
}
