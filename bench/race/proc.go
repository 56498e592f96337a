package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// The kernel counts the times in /proc in hundredths of a second.
const tick = 0.01

// cpuOf is the CPU time of processes in seconds.
func cpuOf(pids string) (s float64) {
	for _, pid := range strings.Split(pids, ",") {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name may hold anything
		if len(f) < 13 {
			continue
		}
		for _, of := range f[11:13] { // user and system
			n, _ := strconv.ParseFloat(of, 64)
			s += n * tick
		}
	}
	return s
}

// memoryOf is a line of a process's status in MB (of 1,048,576 bytes, as the system counts).
func memoryOf(pid, key string) float64 {
	text, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseFloat(f[1], 64)
			return n / 1024
		}
	}
	return 0
}

// busy is the time that the whole machine has worked, in seconds of one core.
func busy() (s float64) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		if n, err := strconv.ParseFloat(f, 64); err == nil && i <= 8 && i != 4 && i != 5 { // not idle, not waiting for a disk
			s += n * tick
		}
	}
	return s
}

// machine is the kind of machine: what makes two races comparable.
func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kb := 0.0
	memory, _ := os.ReadFile("/proc/meminfo")
	_, _ = fmt.Sscanf(string(memory), "MemTotal: %f", &kb)
	return fmt.Sprintf("%s, %d cores, %.0f GB", model, runtime.NumCPU(), kb*1024/1e9)
}
