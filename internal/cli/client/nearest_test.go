package client

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"orders", "payments", "Invoices-2026", "a"}
	for name, want := range map[string]string{
		"ordrs": "orders", "ordesr": "orders", "ORDERS": "orders", "payment": "payments", "invoices2026": "Invoices-2026",
		"b": "a", "customers": "", "": "a", "stuff": "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("none: %q", got)
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
