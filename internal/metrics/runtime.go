package metrics

import (
	"bytes"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
)

// Version names the version of the program, or in a build from a work tree the commit.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "development-" + s.Value[:12]
		}
	}
	return "development"
}

// fromRuntime are the metrics that package runtime/metrics has.
var fromRuntime = map[string]*Metric{
	"/sched/goroutines:goroutines":        Goroutines,
	"/memory/classes/heap/objects:bytes":  HeapBytes,
	"/gc/gomemlimit:bytes":                GoLimit,
	"/gc/heap/allocs:bytes":               AllocBytes,
	"/gc/cycles/total:gc-cycles":          GCCycles,
	"/cpu/classes/gc/total:cpu-seconds":   GCCPU,
	"/sched/gomaxprocs:threads":           Processors,
	"/memory/classes/total:bytes":         nil, // for GoMemory
	"/memory/classes/heap/released:bytes": nil,
	"/sched/pauses/total/gc:seconds":      nil, // for GCPause
}

// Runtime adds what the Go runtime knows of this process, and the build.
func (s *Scrape) Runtime() {
	s.Count(BuildInfo, 1, Version(), runtime.Version())
	samples := make([]metrics.Sample, 0, len(fromRuntime))
	for name := range fromRuntime {
		samples = append(samples, metrics.Sample{Name: name})
	}
	metrics.Read(samples)
	held := 0.0
	for _, x := range samples {
		value := 0.0
		switch x.Value.Kind() {
		case metrics.KindUint64:
			value = float64(x.Value.Uint64())
		case metrics.KindFloat64:
			value = x.Value.Float64()
		case metrics.KindFloat64Histogram:
			s.Value(GCPause, total(x.Value.Float64Histogram()))
			continue
		default:
			continue // a later Go has it no more
		}
		switch x.Name {
		case "/memory/classes/total:bytes":
			held += value
		case "/memory/classes/heap/released:bytes":
			held -= value
		default:
			s.Value(fromRuntime[x.Name], value)
		}
	}
	s.Value(GoMemory, held)
}

// total estimates the sum of a histogram by the middle of each bucket.
func total(h *metrics.Float64Histogram) (sum float64) {
	for i, n := range h.Counts {
		low, high := h.Buckets[i], h.Buckets[i+1]
		if math.IsInf(low, 0) {
			low = high
		}
		if math.IsInf(high, 0) {
			high = low
		}
		sum += float64(n) * (low + high) / 2
	}
	return sum
}

// Files reads the small files in which Linux tells of a process. An error means that this system has them not.
type Files struct {
	Read  func(name string) ([]byte, error)
	Count func(dir string) (int, error) // of the entries
}

// ticksPerSecond is the unit of times in /proc, the same on every Linux.
const ticksPerSecond = 100

// Process adds what Linux tells of this process; elsewhere nothing.
func (s *Scrape) Process(f Files) {
	if n, err := f.Count("/proc/self/fd"); err == nil {
		s.Count(OpenFiles, int64(n))
	}
	stat, err := f.Read("/proc/self/stat")
	if err != nil {
		return
	}
	// The second field, the program's name in parentheses, may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	number := func(at int) float64 {
		if at-3 >= len(fields) {
			return 0
		}
		n, _ := strconv.ParseFloat(string(fields[at-3]), 64) // 0 is as good as nothing
		return n
	}
	const userTime, systemTime, startTime = 14, 15, 22 // as proc(5) numbers the fields
	s.Value(CPUTime, (number(userTime)+number(systemTime))/ticksPerSecond)
	if status, err := f.Read("/proc/self/status"); err == nil {
		if n, ok := after(status, "\nVmRSS:"); ok {
			s.Value(Resident, n*1024)
		}
	}
	if boot, err := f.Read("/proc/stat"); err == nil {
		if at, ok := after(boot, "\nbtime "); ok {
			s.Value(ProcessStart, at+number(startTime)/ticksPerSecond)
		}
	}
}

// after returns the number that follows a label.
func after(text []byte, label string) (n float64, ok bool) {
	_, rest, found := bytes.Cut(text, []byte(label))
	fields := bytes.Fields(rest[:min(len(rest), 64)])
	if !found || len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(fields[0]), 64)
	return n, err == nil
}
