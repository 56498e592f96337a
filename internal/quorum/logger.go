package quorum

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/moldau/moldau/internal/invariant"
)

// quiet gives what the library says about itself to the debug level; it prints nothing of its own. Its panics are broken
// invariants.
type quiet struct{ log *slog.Logger }

func (q quiet) say(v []any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug(fmt.Sprint(v...))
	}
}

func (q quiet) sayf(format string, v []any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug(fmt.Sprintf(format, v...))
	}
}

func (q quiet) Debug(v ...any)                   { q.say(v) }
func (q quiet) Debugf(format string, v ...any)   { q.sayf(format, v) }
func (q quiet) Info(v ...any)                    { q.say(v) }
func (q quiet) Infof(format string, v ...any)    { q.sayf(format, v) }
func (q quiet) Warning(v ...any)                 { q.say(v) }
func (q quiet) Warningf(format string, v ...any) { q.sayf(format, v) }
func (q quiet) Error(v ...any)                   { q.say(v) }
func (q quiet) Errorf(format string, v ...any)   { q.sayf(format, v) }
func (q quiet) Fatal(v ...any)                   { q.Panic(v...) }
func (q quiet) Fatalf(format string, v ...any)   { q.Panicf(format, v...) }
func (q quiet) Panic(v ...any)                   { invariant.Check(false, "raft: %s", fmt.Sprint(v...)) }
func (q quiet) Panicf(format string, v ...any)   { invariant.Check(false, "raft: "+format, v...) }
