package dev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// UntilEnd returns a context that ends with the input as well, which ends with the process that writes to it, however that ends.
func UntilEnd(ctx context.Context, input io.Reader) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	go func() { // which a process that stops otherwise leaves behind, as a read has no other end
		defer end()
		_, _ = io.Copy(io.Discard, input)
	}()
	return ctx, end
}

// process is a broker that runs.
type process struct {
	node  node
	cmd   *exec.Cmd
	input io.Closer     // whose end asks the broker to stop
	ready chan struct{} // closed when it serves
	ended chan struct{} // closed when it is gone; then err says how
	err   error
}

// start starts a broker. What it says goes to its log.
func start(exe string, environment []string, n node) (*process, error) {
	log, err := os.OpenFile(n.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start broker %d: %w", n.id, err)
	}
	p := &process{node: n, cmd: exec.Command(exe, "serve", "--config", n.file(), "--until-input-ends"), ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = environment, log
	detach(p.cmd)
	in, err := p.cmd.StdinPipe()
	var out io.ReadCloser
	if err == nil {
		out, err = p.cmd.StdoutPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start broker %d: %w", n.id, err), log.Close())
	}
	p.input = in
	go func() {
		defer close(p.ended)
		defer log.Close()
		p.follow(out, log)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// follow copies what the broker prints, and notices when it serves.
func (p *process) follow(out io.Reader, log io.Writer) {
	serves := fmt.Sprintf("moldau: broker %d serves on ", p.node.id)
	seen := false
	lines := bufio.NewReader(out)
	for {
		text, err := lines.ReadString('\n')
		_, _ = io.WriteString(log, text)
		if !seen && strings.HasPrefix(text, serves) {
			seen = true
			close(p.ready)
		}
		if err != nil {
			return
		}
	}
}

// ask asks the broker to stop, one that is frozen as well.
func (p *process) ask() {
	_ = p.input.Close()
	wake(p.cmd.Process)
}

// failed says whether the broker ended by itself and not well.
func (p *process) failed() bool {
	return p.cmd.ProcessState != nil && p.cmd.ProcessState.ExitCode() > 0
}

// lastWords are the last lines of a broker's log, or nothing.
func (n node) lastWords() string {
	const most = 5
	text, err := os.ReadFile(n.log())
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return "; the end of " + n.log() + ":\n" + string(bytes.Join(lines, []byte("\n")))
}
