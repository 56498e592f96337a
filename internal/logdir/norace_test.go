//go:build !race

package logdir

const racing = false
