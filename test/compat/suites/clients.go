package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// franzGo runs franz-go's tests.
func franzGo(ctx context.Context, s *session) error {
	if err := s.moldau(0); err != nil {
		return err
	}
	return goTests{
		module: "github.com/twmb/franz-go", folder: "pkg/kgo", limit: 20 * time.Minute,
		env:   []string{"KGO_SEEDS=" + s.broker.Addr, "KGO_TEST_RF=1", fmt.Sprintf("KGO_TEST_RECORDS=%d", *records), "KGO_LOG_LEVEL=none"},
		flags: []string{"-test.parallel", "8"},
		alone: []string{"TestTxnEtl"},
	}.run(ctx, s)
}

// kafkaGo runs the tests of segmentio/kafka-go. They want their broker on port 9092 of localhost, with the settings of
// its own test environment.
func kafkaGo(ctx context.Context, s *session) error {
	if err := s.moldau(9092, "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092", "KAFKA_MESSAGE_MAX_BYTES=200000000"); err != nil {
		return err
	}
	for _, folder := range []string{".", "compress", "sasl", "topics"} {
		g := goTests{
			module: "github.com/segmentio/kafka-go", folder: folder, limit: 15 * time.Minute,
			env: []string{"KAFKA_VERSION=4.0.0"}, // the newest of its test environments
		}
		if folder == "." {
			g.alone = []string{"TestReaderConsumerGroup/verify_offset_committed", "TestReaderConsumerGroup/verify_offset_committed_when_using_interval_committer",
				"TestReaderConsumerGroup/consumer_group_commits_on_close"}
		}
		if err := g.run(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

var replicas = regexp.MustCompile(`(ReplicationFactor: +)[2-9]`)

// sarama runs Sarama's functional tests. They know five brokers behind a proxy that can cut connections; here all five
// addresses lead to one broker, and topics have one replica. They read back at once what they sent with acks=1, which
// only log.durability=memory promises.
func sarama(ctx context.Context, s *session) error {
	upstream, err := freePort()
	if err != nil {
		return err
	}
	if err := s.moldau(upstream, "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:29091", "KAFKA_BROKER_RACK=1", "KAFKA_AUTO_CREATE_TOPICS_ENABLE=false",
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0", "KAFKA_LOG_DURABILITY=memory"); err != nil {
		return err
	}
	api, stop, err := toxiproxy(ctx, s.dir, upstream)
	if err != nil {
		return err
	}
	defer stop()
	return goTests{
		module: "github.com/IBM/sarama", folder: ".", tags: "functional", limit: 20 * time.Minute,
		only:   regexp.MustCompile(`^functional_.*_test\.go$`),
		env:    []string{"TOXIPROXY_ADDR=" + api, "KAFKA_VERSION=4.3.1"}, // the newest it knows
		change: map[string]func(string) string{"functional_test.go": func(text string) string { return replicas.ReplaceAllString(text, "${1}1") }},
	}.run(ctx, s)
}

// toxiproxy starts the proxy that Sarama's tests talk to, with a way to the broker for each of the five they know. It
// returns the address at which the tests cut and restore these.
func toxiproxy(ctx context.Context, dir string, upstream int) (string, func(), error) {
	bin, err := cache("toxiproxy")
	if err != nil {
		return "", nil, err
	}
	if _, err := command(ctx, dir, []string{"GOBIN=" + bin}, "go", "install", "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"); err != nil {
		return "", nil, err
	}
	type proxy struct {
		Name     string `json:"name"`
		Listen   string `json:"listen"`
		Upstream string `json:"upstream"`
		Enabled  bool   `json:"enabled"`
	}
	var proxies []proxy
	for i := 1; i <= 5; i++ {
		proxies = append(proxies, proxy{fmt.Sprintf("kafka%d", i), fmt.Sprintf("127.0.0.1:%d", 29090+i), fmt.Sprintf("127.0.0.1:%d", upstream), true})
	}
	text, err := json.Marshal(proxies)
	if err != nil {
		return "", nil, err
	}
	config := filepath.Join(dir, "toxiproxy.json")
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(filepath.Join(bin, "server"), "-host", "127.0.0.1", "-port", fmt.Sprint(port), "-config", config)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	api := fmt.Sprintf("http://127.0.0.1:%d", port)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(api + "/version")
		if err == nil {
			answer.Body.Close()
			return api, stop, nil
		}
		if time.Now().After(end) {
			stop()
			return "", nil, fmt.Errorf("toxiproxy does not answer: %w\n%s", err, said.String())
		}
	}
}
