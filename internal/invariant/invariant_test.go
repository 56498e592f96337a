package invariant

import "testing"

func TestCheck(t *testing.T) {
	Check(true, "never seen %d", 1)
	defer func() {
		v, ok := recover().(*Violation)
		if !ok || v.Message != "log start 5 > high watermark 4" || v.Error() != "invariant broken: log start 5 > high watermark 4" {
			t.Errorf("recovered %v", v)
		}
	}()
	Check(false, "log start %d > high watermark %d", 5, 4)
}
