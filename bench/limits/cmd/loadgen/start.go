package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"
)

// startCommand starts a broker and asks it for its versions until it answers.
func startCommand(args []string) {
	if len(args) == 0 {
		die("start needs a command")
	}
	if answered(*bootstrap) {
		die("something answers on", *bootstrap, "already")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	t0 := time.Now()
	check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // a command may end and leave the broker behind
	for !answered(*bootstrap) {
		select {
		case err := <-ended:
			if err != nil {
				die(args[0], err)
			}
		case <-time.After(time.Millisecond):
		}
		if time.Since(t0) > 2*time.Minute {
			die("no answer from", *bootstrap)
		}
	}
	fmt.Printf("%.1f %d\n", float64(time.Since(t0).Microseconds())/1e3, cmd.Process.Pid)
}

// answered makes one ApiVersions request.
func answered(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	c.Write([]byte{0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, 1, 0, 1, 'c'}) // ApiVersions (18) version 0, client id "c"
	var head [10]byte                                                // length, correlation id, error code
	_, err = io.ReadFull(c, head[:])
	return err == nil && binary.BigEndian.Uint16(head[8:]) == 0
}
