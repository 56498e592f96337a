package tools

import (
	"strconv"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
)

// TestQuotas gives quotas to every kind of entity, sees them by each way of asking, and takes them back. Those of everybody are so high that
// nobody notices.
func TestQuotas(t *testing.T) {
	t.Parallel()
	me, app := "o'Brien/100%"+broker.Name(t), broker.Name(t)
	configs := func(args ...string) string {
		t.Helper()
		return java.Run(t, "", append([]string{"kafka.admin.ConfigCommand", "--bootstrap-server", broker.Addr()}, args...)...)
	}
	describe := func(entity []string) string { return configs(append([]string{"--describe"}, entity...)...) }
	user, client, ip := []string{"--entity-type", "users"}, []string{"--entity-type", "clients"}, []string{"--entity-type", "ips"}
	named := func(entity []string, name string) []string { return append(entity[:2:2], "--entity-name", name) }
	all := func(entity []string) []string { return append(entity[:2:2], "--entity-default") }
	both := func(user, client []string) []string { return append(user[:len(user):len(user)], client...) }
	for _, c := range []struct {
		entity           []string
		setting, another string
		shown            string
	}{
		{named(user, me), "producer_byte_rate=900000000000", "consumer_byte_rate=900000000001", "user-principal '" + me + "'"},
		{all(user), "request_percentage=99999.5", "producer_byte_rate=900000000002", "the default user-principal"},
		{named(client, app), "consumer_byte_rate=900000000003", "controller_mutation_rate=5000.25", "client-id '" + app + "'"},
		{all(client), "producer_byte_rate=900000000004", "consumer_byte_rate=900000000005", "the default client-id"},
		{both(named(user, me), named(client, app)), "producer_byte_rate=900000000006", "", "user-principal '" + me + "', client-id '" + app + "'"},
		{both(named(user, me), all(client)), "producer_byte_rate=900000000007", "", "user-principal '" + me + "', the default client-id"},
		{both(all(user), named(client, app)), "producer_byte_rate=900000000008", "", "the default user-principal, client-id '" + app + "'"},
		{both(all(user), all(client)), "producer_byte_rate=900000000009", "", "the default user-principal, the default client-id"},
		{named(ip, "192.0.2.9"), "connection_creation_rate=100000", "", "ip '192.0.2.9'"},
		{named(ip, "localhost"), "connection_creation_rate=100001", "", "ip 'localhost'"},
		{all(ip), "connection_creation_rate=100002", "", "the default ip"},
	} {
		name, value, _ := strings.Cut(c.setting, "=")
		added := c.setting
		if c.another != "" {
			added += "," + c.another
		}
		configs(append(c.entity, "--alter", "--add-config", added)...)
		line := "Quota configs for " + c.shown + " are "
		is := func(what string) bool {
			return strings.Contains("\n"+describe(c.entity), "\n"+line+what)
		}
		broker.Eventually(t, c.shown+" has quotas", func() bool { return is("") })
		text := describe(c.entity)
		if got := floats(text); !strings.Contains(got, name+"="+value) || !strings.Contains(got, c.another) {
			t.Errorf("%s has not got %s:\n%s", c.shown, added, text)
		}
		kinds := []string{} // without names
		for i := 0; i < len(c.entity); i++ {
			if c.entity[i] == "--entity-type" {
				kinds = append(kinds, c.entity[i:i+2]...)
			}
		}
		if text := describe(kinds); !strings.Contains(text, line) {
			t.Errorf("%v shows no %s:\n%s", kinds, c.shown, text)
		}
		gone := name
		if c.another != "" {
			another, _, _ := strings.Cut(c.another, "=")
			gone += "," + another
		}
		configs(append(c.entity, "--alter", "--delete-config", gone)...)
		broker.Eventually(t, c.shown+" has no quotas", func() bool { return !is("") })
	}
	for _, c := range []struct {
		setting, says string
		entity        []string
	}{
		{"producer_byte_rate=0", "Quota producer_byte_rate must be greater than 0", named(user, me)},
		{"producer_byte_rate=1.5", "producer_byte_rate cannot be a fractional value.", named(client, me)},
		{"producer_byte_rate=NaN", "Quota producer_byte_rate must be a finite number", named(user, me)},
	} {
		wrong := java.Try(t, "", append([]string{"kafka.admin.ConfigCommand", "--bootstrap-server", broker.Addr(), "--alter", "--add-config", c.setting}, c.entity...)...)
		if wrong.Status == 0 || !strings.Contains(wrong.Out+wrong.Err, c.says) {
			t.Errorf("%s: exit status %d, want %q:\n%s%s", c.setting, wrong.Status, c.says, wrong.Out, wrong.Err)
		}
	}
}

// floats writes numbers as the tests do: the tool shows Java's, 9.0E11 and 5.0.
func floats(text string) string {
	fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,\n", r) })
	for i, f := range fields {
		if name, value, ok := strings.Cut(f, "="); ok {
			fields[i] = name + "=" + number(value)
		}
	}
	return strings.Join(fields, " ")
}

func number(text string) string {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
