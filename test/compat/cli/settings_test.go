package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

type describedSettings struct {
	Kind, Name string
	Settings   []struct {
		Name                  string
		Value, Default        *string
		Source, DefaultSource string
		ReadOnly, Sensitive   bool
		Doc                   string
	}
}

type changedSettings struct {
	Kind, Name string
	DryRun     bool
	Changes    []struct {
		Name          string
		Before, After *string
	}
}

func text(s *string) string {
	if s == nil {
		return "<null>"
	}
	return *s
}

// settings sets, shows and takes away settings of a topic, and looks at those of brokers.
func settings(t *testing.T, c command) {
	topic := c.prefix + "orders"
	c.create(t, topic)
	// is waits for a value: a broker learns of it a moment after the controller.
	is := func(name, value, source string) {
		t.Helper()
		var last describedSettings
		broker.Eventually(t, name+" is "+value, func() bool {
			last = answer[describedSettings](t, c, "config", "describe", "topic", topic, name)
			return text(last.Settings[0].Value) == value
		})
		if s := last.Settings[0]; last.Kind != "topic" || last.Name != topic || len(last.Settings) != 1 || s.Name != name || s.Source != source || s.Sensitive || s.Doc == "" {
			t.Errorf("%s: %+v", name, last)
		}
	}
	is("cleanup.policy", "delete", "DEFAULT_CONFIG")
	if out := c.run(t, "", "config", "describe", "topic", topic); strings.Contains(out, "cleanup.policy") {
		t.Errorf("what nobody set is shown: %s", out)
	}
	if out := c.run(t, "", "config", "describe", "topic", topic, "--all", "--format", "plain"); !strings.Contains(out, "cleanup.policy\tdelete\tDEFAULT_CONFIG\tdelete\n") || strings.Count(out, "\n") < 20 {
		t.Errorf("all of them: %s", out)
	}

	dry := answer[changedSettings](t, c, "config", "set", "topic", topic, "cleanup.policy=compact", "--dry-run")
	if !dry.DryRun || len(dry.Changes) != 1 || text(dry.Changes[0].Before) != "delete" || text(dry.Changes[0].After) != "compact" {
		t.Errorf("a dry run: %+v", dry)
	}
	done := answer[changedSettings](t, c, "config", "set", "topic", topic, "cleanup.policy=compact,delete", "retention.ms=5000")
	if done.DryRun || done.Kind != "topic" || done.Name != topic || len(done.Changes) != 2 || text(done.Changes[0].Before) != "delete" || text(done.Changes[1].After) != "5000" {
		t.Errorf("set: %+v", done)
	}
	is("cleanup.policy", "compact,delete", "DYNAMIC_TOPIC_CONFIG")
	is("retention.ms", "5000", "DYNAMIC_TOPIC_CONFIG")
	if s := answer[describedSettings](t, c, "config", "describe", "topic", topic, "cleanup.policy").Settings[0]; text(s.Default) != "delete" || s.DefaultSource != "DEFAULT_CONFIG" {
		t.Errorf("the default beside what is set: %+v", s)
	}
	type difference struct{ Kind, Name, Setting, Value, Default, Source string }
	differs := func(want difference) {
		t.Helper()
		all := answer[[]difference](t, c, "config", "diff", want.Kind)
		if !slices.Contains(all, want) {
			t.Errorf("no %+v among %+v", want, all)
		}
	}
	differs(difference{"topic", topic, "cleanup.policy", "compact,delete", "delete", "DYNAMIC_TOPIC_CONFIG"})
	differs(difference{"topic", topic, "retention.ms", "5000", "604800000", "DYNAMIC_TOPIC_CONFIG"}) // the broker has it in hours
	done = answer[changedSettings](t, c, "config", "unset", "topic", topic, "cleanup.policy")
	if len(done.Changes) != 1 || text(done.Changes[0].Before) != "compact,delete" || text(done.Changes[0].After) != "delete" {
		t.Errorf("unset: %+v", done)
	}
	is("cleanup.policy", "delete", "DEFAULT_CONFIG")

	on := " on " + c.addr + ": "
	c.refused(t, 1, []string{"config", "set", "topic", topic, "retention.ms=soon"}, "set settings of topic "+topic+on, "INVALID_CONFIG", "soon")
	c.refused(t, 1, []string{"config", "set", "topic", topic, "retention.mss=5"}, "INVALID_CONFIG", "retention.mss: did you mean retention.ms?")
	c.refused(t, 1, []string{"config", "unset", "topic", topic, "cleanup.policy"}, "cleanup.policy is not set for topic "+topic, "DEFAULT_CONFIG")
	c.refused(t, 1, []string{"config", "describe", "topic", topic, "retention.mss"}, "did you mean retention.ms?")
	c.refused(t, 1, []string{"config", "describe", "topic", topic + "s"}, "UNKNOWN_TOPIC_OR_PARTITION", "did you mean "+topic+"?")
	c.refused(t, 1, []string{"config", "set", "topic", topic + "s", "retention.ms=5"}, "UNKNOWN_TOPIC_OR_PARTITION")

	// The id of a broker is that of a leader.
	id := strings.Fields(c.run(t, "", "topic", "describe", topic, "--format", "plain"))[3]
	var ids []string
	listed, controllers := false, 0
	out := c.run(t, "", "broker", "list", "--format", "plain")
	for line := range strings.Lines(out) {
		fields := strings.Split(line, "\t") // ID, ADDRESS, RACK, CONTROLLER ...
		ids = append(ids, fields[0])
		listed = listed || fields[1] == c.addr && fields[2] == "-"
		if fields[3] == "yes" {
			controllers++
		}
	}
	if !listed || controllers != 1 || len(ids) != c.brokers || !slices.Contains(ids, id) {
		t.Errorf("brokers: %q", out)
	}
	status := []string{"broker", "status"}
	if c.brokers > 1 { // of one nobody has to say which
		status = append(status, id)
	}
	c.refused(t, 1, status, "broker "+id+" opens no admin listener", "serve --admin HOST:PORT")
	own := answer[describedSettings](t, c, "config", "describe", "broker", id, "node.id")
	if s := own.Settings[0]; own.Kind != "broker" || own.Name != id || text(s.Value) != id || !s.ReadOnly {
		t.Errorf("a broker: %+v", own)
	}
	if all := answer[describedSettings](t, c, "config", "describe", "broker", "all"); all.Kind != "broker" || all.Name != "all" {
		t.Errorf("all brokers: %+v", all)
	}
	c.refused(t, 1, []string{"config", "describe", "broker", "77"}, "describe settings of broker 77"+on, "the brokers are "+strings.Join(ids, ", "))
	c.refused(t, 1, []string{"config", "set", "broker", id, "node.id=9"}, "set settings of broker "+id+on, "Cannot update these configs dynamically: [node.id]", "the file that the broker is started with")
	c.refused(t, 1, []string{"config", "unset", "broker", id, "node.id"}, "node.id is not set for broker "+id)

	// Groups have settings as soon as they have a name.
	group := c.prefix + "billing"
	c.run(t, "", "config", "set", "group", group, "consumer.session.timeout.ms=50000")
	broker.Eventually(t, "the group's setting is seen", func() bool {
		return answer[describedSettings](t, c, "config", "describe", "group", group, "consumer.session.timeout.ms").Settings[0].Source == "GROUP_CONFIG"
	})
	differs(difference{"group", group, "consumer.session.timeout.ms", "50000", "45000", "GROUP_CONFIG"})
	c.run(t, "", "config", "unset", "group", group, "consumer.session.timeout.ms")

	// A broker takes up what is set for all while it runs.
	const pause = "log.cleaner.backoff.ms"
	waits := func(value, source string) {
		t.Helper()
		var last describedSettings
		broker.Eventually(t, pause+" is "+value, func() bool {
			last = answer[describedSettings](t, c, "config", "describe", "broker", id, pause)
			return text(last.Settings[0].Value) == value
		})
		if s := last.Settings[0]; s.Source != source || s.ReadOnly {
			t.Errorf("%s: %+v", pause, s)
		}
	}
	c.run(t, "", "config", "set", "broker", "all", pause+"=16000")
	waits("16000", "DYNAMIC_DEFAULT_BROKER_CONFIG")
	c.run(t, "", "config", "unset", "broker", "all", pause)
	waits("15000", "DEFAULT_CONFIG")
}
