// Package first answers a new user's first questions with the tools alone, and keeps the transcripts as docs/first-questions.md. It holds
// tests only.
//
// The script in script_test.go is prose and commands. The test runs each command with the binary of this tree, in one folder, against one
// broker, and compares what is printed with the page; -rewrite writes the page afresh. Ports and paths are replaced by those that a
// reader would have; what differs from run to run stands in the page as it once was, and is left out of the comparison by the
// table below.
package first

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the page afresh")

const page = "../../docs/first-questions.md"

// patience bounds every command and every wait.
const patience = time.Minute

// volatile is what two runs need not have in common.
var volatile = []struct {
	pattern *regexp.Regexp
	as, why string
}{
	{regexp.MustCompile(`time=\S+`), "time=<now>", "when a line of the log was written"},
	{regexp.MustCompile(`\b[A-Za-z0-9_-]{22}\b`), "<id>", "ids of topics and clusters are random"},
	{regexp.MustCompile(`\b[0-9]+(\.[0-9])? ([KMGT]i)?B\b`), "<size>", "how a client puts records into batches, and the disk of the machine"},
	{regexp.MustCompile(` {2,}`), "  ", "the width of a column follows from its cells"},
}

func compared(text string) string {
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.as)
	}
	return text
}

// story is one run of the script.
type story struct {
	t            *testing.T
	dir          string // where the commands run
	broker       string // address of the broker
	admin        string // address of its admin listener
	replacements *strings.Replacer
}

func TestFirstQuestions(t *testing.T) {
	s := begin(t)
	var fresh strings.Builder
	open := false // a transcript, to which the next command is added unless text comes before it
	for _, step := range script() {
		if open && step.text != "" {
			fresh.WriteString(fence + "\n")
		}
		fresh.WriteString(step.text)
		if step.command == "" {
			break
		}
		if !open || step.text != "" {
			fresh.WriteString(fence + "console\n")
		}
		open = true
		fresh.WriteString(s.transcript(step))
	}
	if *rewrite {
		if err := os.WriteFile(page, []byte(fresh.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, got := blocks(string(kept)), blocks(fresh.String())
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want) || i >= len(got):
			t.Fatalf("the page has %d parts, the script %d: go test ./test/first -rewrite", len(want), len(got))
		case compared(want[i]) != compared(got[i]) && !loose(want[i], got[i]):
			t.Errorf("the page is stale; go test ./test/first -rewrite. It has\n%s\nand now it is\n%s", want[i], got[i])
		}
	}
}

// loose compares the transcript of a command whose output is never the same twice: its step says what must be there.
func loose(want, got string) bool {
	for _, step := range script() {
		if step.stable == nil || !strings.HasPrefix(want, "$ "+step.command+"\n") || !strings.HasPrefix(got, "$ "+step.command+"\n") {
			continue
		}
		for _, pattern := range step.stable {
			if !pattern.MatchString(want) || !pattern.MatchString(got) {
				return false
			}
		}
		return true
	}
	return false
}

// fence opens and closes a transcript.
const fence = "```"

// blocks parts a page into transcripts and what lies between.
func blocks(text string) []string {
	parts := strings.Split(text, fence)
	for i := range parts {
		parts[i] = strings.TrimPrefix(parts[i], "console\n")
	}
	return parts
}

// begin builds the binary and starts the broker whose address the page says is 127.0.0.1:9192.
func begin(t *testing.T) *story {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "moldau"), "./cmd/moldau")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build moldau: %v\n%s", err, out)
	}
	s := &story{t: t, dir: filepath.Join(dir, "here"), broker: freeAddress(t), admin: freeAddress(t)}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.replacements = strings.NewReplacer(s.broker, "127.0.0.1:9192", s.admin, "127.0.0.1:9644", s.dir+"/", "/home/you/", s.dir, "/home/you")
	log, err := os.Create(filepath.Join(s.dir, "moldau.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	serve := exec.Command(filepath.Join(dir, "bin", "moldau"), "serve", "--listen", s.broker, "--admin", s.admin)
	serve.Dir, serve.Stderr, serve.Env = s.dir, log, s.environment()
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatalf("start moldau: %v", err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = serve.Process.Kill() })
		defer kill.Stop()
		if err := serve.Wait(); err != nil {
			t.Errorf("the broker ended with %v", err)
		}
	})
	lines := bufio.NewReader(out)
	for range 2 { // broker, and admin listener
		line := make(chan string, 1)
		go func() { l, _ := lines.ReadString('\n'); line <- l }()
		select {
		case l := <-line:
			if !strings.HasPrefix(l, "moldau: ") {
				t.Fatalf("the broker says %q when it starts", l)
			}
		case <-time.After(patience):
			t.Fatal("the broker does not say that it serves")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	return s
}

// freeAddress finds a free port of four digits, as those are that the page names, so that columns have their width.
func freeAddress(t *testing.T) string {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 2000+rand.IntN(8000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port of four digits")
	return ""
}

// environment has moldau in its path and no settings of whoever runs the test.
func (s *story) environment() []string {
	env := []string{"PATH=" + filepath.Join(filepath.Dir(s.dir), "bin") + string(os.PathListSeparator) + os.Getenv("PATH"), "MOLDAU_BOOTSTRAP=" + s.broker, "NO_COLOR=1"}
	for _, name := range []string{"HOME", "TMPDIR"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	return env
}

// transcript runs the command of a step and returns it with what it prints, as the page shows it.
func (s *story) transcript(step step) string {
	s.t.Helper()
	if step.beside != "" {
		defer s.beside(step.beside)()
		s.until(step)
	}
	out := s.replacements.Replace(s.run(step.command))
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return "$ " + step.command + "\n" + out
}

// run runs a command as the reader's shell would. What the page calls curl is asked for here: not every machine has it.
func (s *story) run(command string) string {
	s.t.Helper()
	if url, ok := strings.CutPrefix(command, "curl -s "); ok {
		return s.curl(url)
	}
	command = strings.ReplaceAll(command, "127.0.0.1:9192", s.broker)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.environment(), time.Second
	out, err := cmd.CombinedOutput() // that some of them fail is what the page is about
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("%s: %v, %v\n%s", command, err, ctx.Err(), out)
	}
	return string(out)
}

// curl asks the admin listener: curl -s URL, or curl -s URL | grep WORD.
func (s *story) curl(command string) string {
	s.t.Helper()
	url, word, filtered := strings.Cut(command, " | grep ")
	client := http.Client{Timeout: patience}
	resp, err := client.Get(strings.Replace(url, "127.0.0.1:9644", s.admin, 1))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if !filtered {
		return string(body)
	}
	var kept bytes.Buffer
	for line := range bytes.Lines(body) {
		if bytes.Contains(line, []byte(word)) && line[0] != '#' {
			kept.Write(line)
		}
	}
	return kept.String()
}

// beside runs a command meanwhile. Its end is waited for.
func (s *story) beside(command string) (end func()) {
	cmd := exec.Command("sh", "-c", "exec "+command)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.environment(), time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop := make(chan struct{})
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		defer in.Close()
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(in, "k%d:one more\n", i); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(stop)
		<-fed
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("%s: %v", command, err)
		}
	}
}

// until waits until a command shows what its step says it shows: what runs beside it has begun.
func (s *story) until(step step) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; {
		out, missing := "$ "+step.command+"\n"+s.run(step.command), ""
		for _, p := range step.stable {
			if !p.MatchString(out) {
				missing = p.String()
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s does not show %s:\n%s", step.command, missing, out)
		}
	}
}
