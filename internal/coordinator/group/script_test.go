package group

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into the files of testdata; read the difference before it is committed")

// command is one entry of a file of testdata: a line "name key key=value key=(value,value)", lines of input, a line of four dashes, and
// what is to come out, up to an empty line. Comments and empty lines may stand before it.
type command struct {
	head, name string
	args       []argument
	input      string
	want       string
	before     string // comments and empty lines
	line       int
}

type argument struct {
	key    string
	values []string
}

// runScript gives each command of a file to f and compares what it returns.
func runScript(t *testing.T, path string, f func(c *command) string) {
	commands, after := readScript(t, path)
	var b strings.Builder
	for _, c := range commands {
		got := f(c)
		if got != c.want && !*rewrite {
			t.Errorf("%s:%d: %s\ngot:\n%swant:\n%s", path, c.line, c.head, got, c.want)
		}
		fmt.Fprintf(&b, "%s%s\n%s----\n%s\n", c.before, c.head, c.input, got)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(strings.TrimRight(b.String()+after, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readScript(t *testing.T, path string) (commands []*command, after string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c *command
	var before strings.Builder
	inWant := false
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		switch {
		case inWant && line == "":
			c, inWant = nil, false
		case inWant:
			c.want += line + "\n"
		case c == nil && (line == "" || strings.HasPrefix(line, "#")):
			before.WriteString(line + "\n")
		case c == nil:
			c = &command{head: line, line: i + 1, before: before.String()}
			before.Reset()
			c.parse(t)
			commands = append(commands, c)
		case line == "----":
			inWant = true
		default:
			c.input += line + "\n"
		}
	}
	return commands, before.String()
}

func (c *command) parse(t *testing.T) {
	words := strings.Fields(c.head)
	c.name = words[0]
	for _, w := range words[1:] {
		key, value, some := strings.Cut(w, "=")
		a := argument{key: key}
		if some {
			a.values = strings.Split(strings.Trim(value, "()"), ",")
		}
		if key == "" {
			t.Fatalf("line %d: %q is no argument", c.line, w)
		}
		c.args = append(c.args, a)
	}
}

// arg returns the values of an argument.
func (c *command) arg(key string) (values []string, ok bool) {
	for _, a := range c.args {
		if a.key == key {
			return a.values, true
		}
	}
	return nil, false
}

func scripts(t *testing.T) []string {
	paths, err := filepath.Glob("testdata/*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	return paths
}
