package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

// integration are the files of kafka-python's tests that want a broker. Some of their tests do not, and run all the same.
var integration = []string{"test/test_admin_integration.py", "test/test_consumer_group.py", "test/test_consumer_integration.py", "test/test_producer.py", "test/test_sasl_integration.py"}

// kafkaPython runs the tests of kafka-python 2.0.2 with the Python it still runs on. Its fixtures know an outside broker
// by the plug-in kafkapython_outside.py. The settings are those of its own test environment.
func kafkaPython(ctx context.Context, s *session) error {
	source, err := debianSource(ctx, "python-kafka")
	if err != nil {
		return err
	}
	python, err := pythonEnvironment(ctx)
	if err != nil {
		return err
	}
	if err := s.moldau(0, "KAFKA_NODE_ID=0", "KAFKA_NUM_PARTITIONS=4", "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS=1000"); err != nil {
		return err
	}
	env := []string{"KAFKA_VERSION=2.5.0", // the newest it knows
		"KAFKA_URI=kafka://" + s.broker.Addr, "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + filepath.Join(broker.Root(), "test/compat/suites") + ":" + source}
	args := append([]string{"-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "kafkapython_outside"}, integration...)
	text, err := s.execute(ctx, 10*time.Minute, source, env, python, args...)
	if err != nil {
		return err
	}
	s.results = parsePytest(text)
	if len(s.results) == 0 {
		return fmt.Errorf("pytest ran nothing")
	}
	return nil
}

// pythonEnvironment returns a Python 3.11 with what the tests import.
func pythonEnvironment(ctx context.Context) (string, error) {
	base, err := exec.LookPath("python3.11")
	if err != nil {
		return "", fmt.Errorf("kafka-python 2.0.2 does not run on later Pythons: %w", err)
	}
	dir, err := cache("kafka-python")
	if err != nil {
		return "", err
	}
	python := filepath.Join(dir, "bin/python")
	if _, err := command(ctx, dir, nil, base, "-m", "venv", dir); err != nil {
		return "", err
	}
	_, err = command(ctx, dir, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pytest", "pytest-mock", "mock", "py", "python-snappy", "lz4", "zstandard")
	return python, err
}
