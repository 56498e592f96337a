//go:build unix

package dev

import (
	"os"
	"os/exec"
	"syscall"
)

// detach keeps the terminal's Ctrl-C from the broker: it is for this command, which stops all brokers and knows that they were stopped.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// wake lets a process go on that was frozen.
func wake(p *os.Process) { _ = p.Signal(syscall.SIGCONT) }
