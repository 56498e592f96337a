package broker

import (
	"os/exec"
	"syscall"
)

// endWithUs has the kernel end the broker when the tests are killed.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
