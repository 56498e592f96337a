// Package disk breaks the disk under a running or stopped broker, for real: file systems that fill up, die or become read-only, system calls
// that fail, bits that are flipped in each file, directories that are removed. It holds tests only, and checks what docs/operations.md promises of
// each fault: what clients get, what goes on, and the way back.
//
//	go test ./test/disk                    a Moldau of this tree; a flipped bit in a file of each kind
//	go test ./test/disk -v -real           and all else, a few faults of each kind
//	go test ./test/disk -v -real -long     more of each, for minutes
//
// The tests are for Linux. File systems need root and loop devices, failing system calls need strace. Where the machine does not have them, the tests print
// NOT TESTED HERE and why, again at the end; with -require that fails.
package disk
