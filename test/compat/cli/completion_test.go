package cli

import (
	"os"
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

// completion completes topics, brokers and settings, and has bash do it.
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
	if bash, err := exec.LookPath("bash"); err == nil {
		// What the package bash-completion has, and then what bash does when somebody presses the key.
		press := exec.Command(bash, "-c", `
			_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}; }
			compopt() { :; }
			source <("$0" completion bash) || exit
			COMP_WORDS=("$0" topic describe "$1") COMP_CWORD=3 COMP_TYPE=9
			__start_moldau
			printf '%s\n' "${COMPREPLY[@]}"`, c.exe, c.prefix+"se")
		press.Env = append(os.Environ(), "MOLDAU_BOOTSTRAP="+c.addr)
		if out, err := press.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != second {
			t.Errorf("bash completes with %q, %v", out, err)
		}
	}
}
