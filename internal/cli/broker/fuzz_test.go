package broker

import "testing"

// FuzzScrape: whatever answers in place of an admin listener, the command reads it or says that it cannot.
func FuzzScrape(f *testing.F) {
	f.Add([]byte("# HELP up x\nup 1\nrequests_total{api=\"Fetch\",code=\"a\\\"b\"} 5 1700000000\n"))
	f.Add([]byte("a{"))
	f.Add([]byte("a{b=\"c\",}"))
	f.Add([]byte("a{b=`c`} NaN"))
	f.Add([]byte("{} 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parse(text)
		if err != nil {
			return
		}
		for _, one := range all {
			if one.name == "" || one.labels == nil {
				t.Fatalf("%q is read as %+v", text, one)
			}
		}
	})
}
