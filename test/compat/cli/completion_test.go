package cli

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// complete asks for the words that can follow, as the script of a shell does.
func (c command) complete(t *testing.T, words ...string) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(c.run(t, "", append([]string{"__complete"}, words...)...)) {
		if word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); !strings.HasPrefix(word, ":") {
			found = append(found, word)
		}
	}
	return found
}

// completion completes topics, brokers and settings, and checks the script of bash with bash.
func completion(t *testing.T, c command) {
	first, second := c.prefix+"first", c.prefix+"second"
	c.create(t, first)
	c.create(t, second)
	for line, want := range map[string][]string{
		"topic describe " + c.prefix:                                    {first, second},
		"topic describe " + first + " " + c.prefix:                      {second},
		"consume " + c.prefix + "f":                                     {first},
		"produce " + c.prefix + "s":                                     {second},
		"group reset g --topic " + c.prefix + "s":                       {second},
		"config describe topic " + c.prefix:                             {first, second},
		"config describe topic " + first + " max.message":               {"max.message.bytes"},
		"config set topic " + first + " max.message":                    {"max.message.bytes="},
		"config describe broker a":                                      {"all"},
		"topic describe --bootstrap " + c.addr + " " + c.prefix + "sec": {second},
	} {
		if got := c.complete(t, strings.Fields(line)...); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	script := c.run(t, "", "completion", "bash")
	if bash, err := exec.LookPath("bash"); err == nil {
		check := exec.Command(bash, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash does not take its script: %v\n%s", err, out)
		}
	}
}
