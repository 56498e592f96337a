package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

var (
	// an entry of its table of tests begins with name and flags; the scenario that it needs may stand further on
	librdkafkaTest     = regexp.MustCompile(`^\s*(\d{4}_\w+),\s*([^,)]+)`)
	librdkafkaScenario = regexp.MustCompile(`\.scenario = "([^"]+)"`)
	threeReplicas      = regexp.MustCompile(`(create_topic\(.*, )3\);`)
	librdkafkaResult   = regexp.MustCompile(`\|\S* (\d{4}_\S+) +\| +(PASSED|FAILED|SKIPPED) `)
	librdkafkaExcluded = regexp.MustCompile(`TEST_F_(LOCAL|MANUAL|KNOWN_ISSUE\b)`)
)

// scenarios are the settings that its tests ask for by name.
var scenarios = map[string]string{"default": "true", "noautocreate": "false"}

// tools are the commands of Kafka that its tests call.
var tools = map[string]string{"kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-acls.sh": "kafka.admin.AclCommand"}

// librdkafka builds librdkafka and runs those of its tests that want a broker, in their quick form, each number in a
// process of its own, as one that takes too long ends the process.
func librdkafka(ctx context.Context, s *session) error {
	source, err := librdkafkaBuilt(ctx)
	if err != nil {
		return err
	}
	tests := filepath.Join(source, "tests")
	table, err := os.ReadFile(filepath.Join(tests, "test.c"))
	if err != nil {
		return err
	}
	home := filepath.Join(s.dir, "kafka")
	if err := kafkaHome(home); err != nil {
		return err
	}
	for scenario, create := range scenarios {
		numbers := map[string][]string{}
		for _, each := range strings.Split(string(table), "_TEST(") {
			m, of := librdkafkaTest.FindStringSubmatch(each), "default"
			if m == nil || librdkafkaExcluded.MatchString(m[2]) {
				continue
			}
			if sc := librdkafkaScenario.FindStringSubmatch(each); sc != nil {
				of = sc[1]
			}
			if slices.Contains(strings.Split(of, ","), scenario) {
				numbers[m[1][:4]] = append(numbers[m[1][:4]], m[1])
			}
		}
		if len(numbers) == 0 {
			return fmt.Errorf("test.c has no tests of scenario %s", scenario)
		}
		if err := s.moldau(0, "KAFKA_NUM_PARTITIONS=4", "KAFKA_AUTO_CREATE_TOPICS_ENABLE="+create); err != nil {
			return err
		}
		conf := filepath.Join(s.dir, scenario+".conf")
		if err := os.WriteFile(conf, []byte("bootstrap.servers="+s.broker.Addr+"\n"), 0o644); err != nil {
			return err
		}
		env := []string{"RDKAFKA_TEST_CONF=" + conf, "LD_LIBRARY_PATH=" + source + "/src:" + source + "/src-cpp", "KAFKA_PATH=" + home, "BROKERS=" + s.broker.Addr, "TEST_LEVEL=1"}
		runNumbers(s, numbers, func(number, part string) (string, error) {
			// 3.1.0 is the version of Kafka that it was published for
			return s.execute(ctx, 4*time.Minute, tests, append(env[:len(env):len(env)], "TESTS="+number, "SUBTESTS="+part), "./test-runner", "-Q", "-L", "-p1", "-s", scenario, "-V", "3.1.0")
		})
	}
	return nil
}

// parts are what is within some tests: a part that fails ends its process, and the others with it.
var parts = map[string][]string{"0081": {"CreateTopics", "DeleteTopics", "CreatePartitions", "CreateAcls", "DescribeAcls", "DeleteAcls", "AlterConfigs", "DescribeConfigs", "DeleteRecords",
	"ListConsumerGroups", "DescribeConsumerGroups", "DeleteGroups", "DeleteConsumerGroupOffsets", "AlterConsumerGroupOffsets", "ListConsumerGroupOffsets"}}

// runNumbers runs tests four at a time; most of them wait most of their time. What fails is run a second time, and what
// passes then is named in the result.
func runNumbers(s *session, numbers map[string][]string, run func(number, part string) (string, error)) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		slot = make(chan struct{}, 4)
	)
	for number, names := range numbers {
		of := parts[number]
		if of == nil {
			of = []string{""}
		}
		for _, part := range of {
			wg.Go(func() {
				slot <- struct{}{}
				defer func() { <-slot }()
				found := runOne(names, part, run, number)
				var again results
				if slices.Contains(slices.Collect(maps.Values(found)), failed) { // many of them count on a fast machine
					again = runOne(names, part, run, number)
				}
				mu.Lock()
				defer mu.Unlock()
				for name, o := range found {
					if again[name] == passed {
						s.again = append(s.again, name)
						o = passed
					}
					s.results[name] = o
					s.results[outermost(name)] = max(s.results[outermost(name)], o)
				}
			})
		}
	}
	wg.Wait()
}

// parseLibrdkafka reads the summary of its test runner.
func parseLibrdkafka(text string) results {
	r := results{}
	for _, m := range librdkafkaResult.FindAllStringSubmatch(text, -1) {
		r[m[1]] = map[string]outcome{"PASSED": passed, "FAILED": failed, "SKIPPED": skipped}[m[2]]
	}
	return r
}

// runOne runs the tests of a number, or a part of them. One that says nothing has failed.
func runOne(names []string, part string, run func(number, part string) (string, error), number string) results {
	text, _ := run(number, part)
	said, r := parseLibrdkafka(text), results{}
	for _, name := range names {
		o := said[name]
		if o == 0 {
			o = failed
		}
		if part != "" {
			name += "/" + part
		}
		r[name] = o
	}
	return r
}

// librdkafkaBuilt returns its source with its tests built. Topics that these make with three replicas have one here.
func librdkafkaBuilt(ctx context.Context) (string, error) {
	source, err := debianSource(ctx, "librdkafka")
	if err != nil {
		return "", err
	}
	tests := filepath.Join(source, "tests")
	if _, err := os.Stat(filepath.Join(tests, "test-runner")); err == nil {
		return source, nil
	}
	for _, name := range []string{"0107-topic_recreate.c", "0111-delay_create_topics.cpp"} {
		path := filepath.Join(tests, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(path, threeReplicas.ReplaceAll(text, []byte("${1}1);")), 0o644); err != nil {
			return "", err
		}
	}
	return source, librdkafkaMake(ctx, source, "tests", "test-runner")
}

// librdkafkaMake builds the library where it has not been built, and then a target in one of its folders.
func librdkafkaMake(ctx context.Context, source, folder, target string) error {
	steps := [][]string{{"make", "-j2", "-C", folder, target}}
	if _, err := os.Stat(filepath.Join(source, "src/librdkafka.a")); err != nil {
		steps = append([][]string{{"./configure", "--disable-ssl", "--disable-gssapi", "--disable-curl"}, {"make", "-j2", "libs"}}, steps...)
	}
	for _, step := range steps {
		if _, err := command(ctx, source, nil, step[0], step[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// rdkafkaPerformance returns its load generator, which races use (bench/race).
func rdkafkaPerformance(ctx context.Context) (string, error) {
	source, err := debianSource(ctx, "librdkafka")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(source, "examples/rdkafka_performance")
	if _, err := os.Stat(exe); err == nil {
		return exe, nil
	}
	return exe, librdkafkaMake(ctx, source, "examples", "rdkafka_performance")
}

// kafkaHome makes what the tests take for an installed Kafka: its commands by the names of their scripts.
func kafkaHome(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return err
	}
	for name, class := range tools {
		script := fmt.Sprintf("#!/bin/sh\nexec %s tool %s \"$@\"\n", filepath.Join(broker.Root(), "bench/kafka.sh"), class)
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}
