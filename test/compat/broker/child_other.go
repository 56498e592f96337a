//go:build !linux

package broker

import "os/exec"

func endWithUs(*exec.Cmd) {}
