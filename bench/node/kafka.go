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

// StartKafka starts Apache Kafka by bench/kafka.sh, from the root of the module, on port and some above it. Its first start formats its
// directory; what Answer tells is the one after that.
func StartKafka(port int) (*Broker, error) {
	script, err := filepath.Abs("bench/kafka.sh")
	if err != nil {
		return nil, err
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(script, args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", script, strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	at := strconv.Itoa(port)
	if _, err := run("start", at); err != nil {
		return nil, err
	}
	b := &Broker{Addr: "127.0.0.1:" + at, stop: func() error { _, err := run("stop", at); return err }}
	fail := func(err error) (*Broker, error) {
		_ = b.Stop()
		return nil, err
	}
	if _, err := run("term", at, "1"); err != nil {
		return fail(err)
	}
	began := time.Now()
	again := exec.Command(script, "run", at, "1")
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
	pid, err := run("pids", at)
	if err != nil {
		return fail(err)
	}
	if b.PID, err = strconv.Atoi(pid); err != nil {
		return fail(err)
	}
	return b, nil
}
