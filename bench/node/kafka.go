package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// kafka is bench/kafka.sh with a port, which is part of the name of what it starts.
type kafka struct{ script, port string }

func newKafka(port int) (kafka, error) {
	script, err := filepath.Abs("bench/kafka.sh")
	return kafka{script, strconv.Itoa(port)}, err
}

// run runs the script and returns what it printed.
func (k kafka) run(args ...string) (string, error) {
	cmd := exec.Command(k.script, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", k.script, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (k kafka) stop() error {
	_, err := k.run("stop", k.port)
	return err
}

// StartKafka starts Apache Kafka by bench/kafka.sh, from the root of the module, on port and some above it. Its first start formats its
// directory; what Answer tells is the one after that.
func StartKafka(port int) (*Broker, error) {
	k, err := newKafka(port)
	if err != nil {
		return nil, err
	}
	if _, err := k.run("start", k.port); err != nil {
		return nil, err
	}
	b := &Broker{Addr: "127.0.0.1:" + k.port, stop: k.stop}
	fail := func(err error) (*Broker, error) {
		_ = b.Stop()
		return nil, err
	}
	if _, err := k.run("term", k.port, "1"); err != nil {
		return fail(err)
	}
	began := time.Now()
	again := exec.Command(k.script, "run", k.port, "1")
	if err := again.Start(); err != nil {
		return fail(err)
	}
	for !answers(b.Addr) {
		if time.Sleep(time.Millisecond); time.Since(began) > startMax {
			return fail(fmt.Errorf("the Kafka broker does not answer on %s", b.Addr))
		}
	}
	b.Answer = time.Since(began)
	if err := again.Wait(); err != nil {
		return fail(err)
	}
	pid, err := k.run("pids", k.port)
	if err != nil {
		return fail(err)
	}
	if b.PID, err = strconv.Atoi(pid); err != nil {
		return fail(err)
	}
	return b, nil
}
