package config

import (
	"log/slog"
)

// Admin is what the settings admin.* say.
type Admin struct {
	Listener  *Listener // nil: none
	Hosts     []string  // names of the node in HTTP requests, besides addresses and localhost
	SeriesMax int       // topics, and pairs of group and topic, with series of their own
}

// Admin returns the settings of metrics and health.
func (c *Config) Admin() Admin {
	a := Admin{SeriesMax: int(c.Number("admin.metrics.series.max"))}
	if at, err := parseAdmin(c.parsed["admin.listener"].text); err == nil {
		a.Listener = at
		if at != nil {
			a.Hosts = append(a.Hosts, at.Host)
		}
	}
	for _, at := range c.Advertised {
		a.Hosts = append(a.Hosts, at.Host)
	}
	a.Hosts = append(a.Hosts, c.parsed["admin.hosts"].list...)
	return a
}

// Logging is what the settings logging.* say of the program's own log.
type Logging struct {
	JSON  bool
	Level slog.Level
}

// Logging returns the settings of the program's own log.
func (c *Config) Logging() Logging {
	l := Logging{JSON: c.parsed["logging.format"].text == "json"}
	_ = l.Level.UnmarshalText([]byte(c.parsed["logging.level"].text)) // the table allows only names that it knows
	return l
}

func adminListener(s *Setting, v *value) error {
	if _, err := parseAdmin(v.text); err != nil {
		return s.invalid(v.text, "Not HOST:PORT, such as 127.0.0.1:9644 or 0.0.0.0:9644")
	}
	return nil
}

func parseAdmin(text string) (*Listener, error) {
	if text == "" {
		return nil, nil
	}
	all, err := parseListeners([]string{"ADMIN://" + text}, map[string]string{"ADMIN": "PLAINTEXT"})
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}
