package config

import (
	"strings"
	"testing"
)

// FuzzAddresses reads all settings that hold addresses. What is read prints as what it is.
func FuzzAddresses(f *testing.F) {
	for _, text := range []string{"PLAINTEXT://127.0.0.1:9092", "PLAINTEXT://:9092,CONTROLLER://[::1]:9093", "1@localhost:9093,2@[::1]:9094", "127.0.0.1:5,[::1]:6,host.example:7",
		"A:PLAINTEXT,B:SASL_SSL", "PLAINTEXT://host:99999", "://:", "x", "", ":", "@", "[", "a://[b]:1", "1@a:-1", "127.0.0.1:9644"} {
		f.Add(text)
	}
	protocols := map[string]string{"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "A": "PLAINTEXT"}
	f.Fuzz(func(t *testing.T, text string) {
		if all, err := parseListeners(strings.Split(text, ","), protocols); err == nil {
			for _, l := range all {
				again, err := parseListeners([]string{l.String()}, protocols)
				if err != nil || again[0] != l {
					t.Errorf("%q: %+v became %+v, %v", text, l, again, err)
				}
				_, _ = l.Loopback(), l.Unspecified()
			}
		}
		if at, err := parseAdmin(text); err == nil && (at == nil) != (text == "") {
			t.Errorf("%q: %v", text, at)
		}
		if limits, err := parseHostLimits(text); err == nil && limits == nil {
			t.Errorf("%q: no limits", text)
		}
		if voters, err := parseVoters(strings.Split(text, ",")); err == nil && len(voters) == 0 {
			t.Errorf("%q: no voters", text)
		}
		_, _ = parseProtocols(text)
	})
}

// FuzzValues reads a value for every setting of a topic and of a broker. What is taken is taken again as it is shown.
func FuzzValues(f *testing.F) {
	for _, text := range []string{"", "0", "-1", "1", " 5 ", "9223372036854775807", "9223372036854775808", "0.5", "1e400", "NaN", "0x1p-3", "true", "TRUE ", "delete,compact", "zstd", ",", "a,,b", "CreateTime", "*", "producer"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, index := range []map[string]*Setting{brokerIndex, topicIndex} {
			for name, s := range index {
				v, err := s.parse(text)
				if err != nil {
					if s.Sensitive() && len(text) > 12 && strings.Contains(err.Error(), text) {
						t.Errorf("%s: the error shows %q", name, text)
					}
					continue
				}
				shown := s.format(v)
				again, err := s.parse(shown)
				if err != nil || s.format(again) != shown {
					t.Errorf("%s: %q is shown as %q, which is %v", name, text, shown, err)
				}
			}
		}
	})
}
