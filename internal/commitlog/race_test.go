//go:build race

package commitlog

// racing says that the race detector is on, with which all takes ten times as long.
const racing = true
