// Package python tests the broker with kafka-python: 2.0.2, which many still have, and the newest. It holds tests
// only. It installs the clients into virtual environments of its own; Python 3.11 must be there, as 2.0.2 does not
// run on later ones.
package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

func TestMain(m *testing.M) { broker.Main(m) }

var ran = regexp.MustCompile(`(?m)^Ran [1-9][0-9]* tests? in .*\n\nOK$`)

// TestKafkaPython runs test_*.py with each version. examples/python is on the path: its programs are tested too.
func TestKafkaPython(t *testing.T) {
	for name, requirement := range map[string]string{"2.0.2": "kafka-python==2.0.2", "newest": "kafka-python"} {
		t.Run(name, func(t *testing.T) {
			python := environment(t, name, requirement)
			cmd := exec.Command(python, "-m", "unittest", "-v")
			cmd.Env = append(os.Environ(), "BOOTSTRAP="+broker.Addr(), "EXAMPLES="+filepath.Join(broker.Root(), "examples/python"))
			out, err := cmd.CombinedOutput()
			if err != nil || !ran.Match(out) {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// environment returns the interpreter of a virtual environment that has the client and its codecs.
func environment(t *testing.T, name, requirement string) string {
	t.Helper()
	dir := broker.Cache(t, "kafka-python-"+name)
	python := filepath.Join(dir, "bin/python")
	base, err := exec.LookPath("python3.11")
	if err != nil {
		base = "python3"
	}
	if _, err := os.Stat(python); err != nil {
		broker.Run(t, "", base, "-m", "venv", "--clear", dir)
	}
	broker.Run(t, "", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", requirement, "python-snappy", "lz4", "zstandard")
	return python
}
