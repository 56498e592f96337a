package config

import (
	"strings"
	"testing"
	"time"
)

func TestCleaner(t *testing.T) {
	c, _ := load(t, "")
	want := Cleaner{Threads: 1, Backoff: 15 * time.Second, KeyBytes: 128 << 20, KeyLoad: 0.9, Buffer: 512 << 10, BytesPerSecond: 1.7976931348623157e308}
	if got := c.Cleaner(); got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	c, warnings := load(t, "log.cleaner.threads=3\nlog.cleaner.backoff.ms=7\nlog.cleaner.dedupe.buffer.size=5000000\nlog.cleaner.io.buffer.load.factor=0.5\n"+
		"log.cleaner.io.buffer.size=65536\nlog.cleaner.io.max.bytes.per.second=1e6\nlog.cleanup.policy=compact")
	want = Cleaner{Threads: 3, Backoff: 7 * time.Millisecond, KeyBytes: 5_000_000, KeyLoad: 0.5, Buffer: 64 << 10, BytesPerSecond: 1e6}
	if got := c.Cleaner(); got != want {
		t.Errorf("set %+v, want %+v", got, want)
	}
	if text := strings.Join(warnings, "\n"); strings.Contains(text, "clean") || strings.Contains(text, "compact") {
		t.Errorf("warned: %s", text)
	}
	if c, _ := load(t, "log.cleaner.enable=false"); c.Cleaner().Threads != 0 {
		t.Error("log.cleaner.enable=false leaves threads")
	}
	if _, _, err := Load(Sources{FileName: "server.properties", File: []byte("log.cleaner.threads=2\nlog.cleaner.dedupe.buffer.size=2097152")}); err == nil ||
		!strings.Contains(err.Error(), "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.") {
		t.Errorf("two threads with 2 MiB: %v", err)
	}
}
