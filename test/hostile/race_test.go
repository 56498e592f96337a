//go:build race

package hostile

// raced says that the race detector is on, with which everything takes many times as long and as much.
const raced = true
