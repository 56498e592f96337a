package logdir

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// TestLossesAreToldUntilTheControllerKnows: that a log has less than it had is told by each start, wherever the one before it ended, until the controller knows, and then no more.
func TestLossesAreToldUntilTheControllerKnows(t *testing.T) {
	folder := filepath.Join(root, logID(0).DirName())
	gone := func(disk *vfs.Mem) error { return disk.RemoveAll(folder) }
	for what, harm := range map[string]func(*vfs.Mem) error{
		"gone": gone, "empty and gone": gone,
		"cut off": func(disk *vfs.Mem) error {
			f, err := disk.OpenFile(folder+"/00000000000000000000.log", vfs.ReadWrite, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(5 << 10)
		},
	} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean %v", what, clean), func(t *testing.T) {
				disk := vfs.NewMem()
				w := newWorld()
				must(t, w.open(options(disk)))
				for range 2 {
					must(t, w.append(0, 10<<10, 1, true, true)) // too much for the journal
				}
				if what == "empty and gone" {
					must(t, w.logs[0].AdvanceLogStart(2)) // the next one has offset 2 all the same
				}
				must(t, w.d.Checkpoint())
				if clean {
					must(t, w.d.Close())
				} else {
					must(t, w.d.Abort())
				}
				must(t, harm(disk))
				disk = disk.Crash(vfs.KeepAll, 0) // no crash later takes that back

				tells := func(d *Dir) bool {
					_, err := d.Log(logID(0), config(true), nil)
					must(t, err)
					return slices.Contains(d.Recovery().Lost, logID(0)) || slices.ContainsFunc(d.Recovery().Short, func(id commitlog.ID) bool { return keyOf(id) == keyOf(logID(0)) }) || d.Short(logID(0))
				}
				points := uint64(0)
				d := mustOpen(t, options(vfs.NewFault(disk, func(op vfs.Op) error {
					if points++; op.Kind.Changes() {
						for _, model := range vfs.AllSurvivors {
							d := mustOpen(t, options(disk.Peek(model, points)))
							if !tells(d) {
								t.Errorf("after a crash at call %d, %s, nothing is told", points, model)
							}
							must(t, d.Abort())
						}
					}
					return nil
				})))
				for range 2 {
					if !tells(d) {
						t.Fatal("nothing is told")
					}
					must(t, d.Checkpoint())
					must(t, d.Abort())
					d = mustOpen(t, options(disk))
				}
				must(t, d.Told())
				must(t, d.Abort())
				d = mustOpen(t, options(disk))
				if tells(d) {
					t.Error("it is told again")
				}
				must(t, d.Close())
			})
		}
	}
}
