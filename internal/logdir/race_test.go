//go:build race

package logdir

// racing says that the race detector is on, with which all takes ten times as long.
const racing = true
