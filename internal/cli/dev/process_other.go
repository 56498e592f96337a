//go:build !unix

package dev

import (
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func wake(*os.Process) {}
