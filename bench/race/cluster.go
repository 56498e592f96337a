package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A table of clusters compares three nodes of each, all in Kafka's combined mode on one disk. Each topic has three replicas, of which
// acks=all wants two at least; all else is as each broker has it by itself.
const clusterNodes = 3

var replicated = []string{"default.replication.factor=3", "min.insync.replicas=2", deleteDelay}

// startMoldaus starts three nodes on empty directories and once more after a clean stop, and leaves them running.
func (r *race) startMoldaus(ctx context.Context) (*broker, start, error) {
	s, b := start{Label: "moldau"}, &broker{label: "moldau"}
	var addresses, voters []string
	for i := range clusterNodes {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", r.port+20+i))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, r.port+30+i))
	}
	files := make([]string, clusterNodes)
	for i := range files {
		dir := filepath.Join(r.tmp, fmt.Sprintf("moldau-%d", i+1))
		_, controller, _ := strings.Cut(voters[i], "@")
		lines := append([]string{
			fmt.Sprintf("node.id=%d", i+1), "process.roles=broker,controller", "controller.listener.names=CONTROLLER", "controller.quorum.voters=" + strings.Join(voters, ","),
			"listeners=PLAINTEXT://" + addresses[i] + ",CONTROLLER://" + controller, "log.dirs=" + dir, "offsets.topic.replication.factor=3", "log.durability=" + r.durability,
		}, replicated...)
		files[i], b.data = dir+".properties", append(b.data, dir)
		if err := os.WriteFile(files[i], []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return nil, s, err
		}
	}
	pids := make([]int, clusterNodes)
	stop := func() {
		var ending sync.WaitGroup
		for _, pid := range pids {
			if pid != 0 {
				ending.Go(func() { end(pid) })
			}
		}
		ending.Wait()
	}
	for _, times := range []*[]float64{&s.EmptyMS, &s.AgainMS} {
		stop()
		var starting sync.WaitGroup
		took, failed := make([]float64, clusterNodes), make([]error, clusterNodes)
		for i := range clusterNodes { // together, as none serves before there is a majority
			starting.Go(func() {
				took[i], pids[i], failed[i] = r.launch(ctx, addresses[i], filepath.Join(r.tmp, "moldau.exe"), "serve", "--config", files[i])
			})
		}
		starting.Wait()
		if err := errors.Join(failed...); err != nil {
			stop()
			return nil, s, err
		}
		*times = []float64{max(took[0], took[1], took[2])}
	}
	var list []string
	for _, pid := range pids {
		list = append(list, strconv.Itoa(pid))
	}
	b.address, b.pids, b.stop = strings.Join(addresses, ","), strings.Join(list, ","), stop
	return b, s, nil
}

// startKafkas starts three nodes of Kafka on directories that are formatted first.
func (r *race) startKafkas(ctx context.Context) (*broker, start, error) {
	script, text := filepath.Join(r.root, "bench/kafka.sh"), strconv.Itoa(r.port+2)
	s, b := start{Label: "kafka"}, &broker{label: "kafka", stop: func() { _ = exec.Command(script, "stop", text).Run() }}
	began := time.Now()
	cmd := exec.CommandContext(ctx, script, "start", text, strconv.Itoa(clusterNodes))
	cmd.Env = append(os.Environ(), "EXTRA_PROPERTIES="+strings.Join(replicated, "\n"))
	cmd.Stderr = os.Stderr
	said, err := cmd.Output()
	if err == nil {
		s.EmptyMS = []float64{digits(float64(time.Since(began).Microseconds()) / 1e3)}
		b.address = strings.TrimSpace(string(said))
		b.pids, err = output(ctx, script, "pids", text)
	}
	home := ""
	if err == nil {
		home, err = output(ctx, script, "home", text)
	}
	if err != nil {
		b.stop()
		return nil, s, fmt.Errorf("start %d nodes of Kafka: %w", clusterNodes, err)
	}
	for i := range clusterNodes {
		b.data = append(b.data, filepath.Join(home, fmt.Sprintf("data-%d", i+1)))
	}
	return b, s, nil
}
