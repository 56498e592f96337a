package config

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// setting is one setting as the broker describes it.
type setting struct {
	Name          string  `json:"name"`
	Value         *string `json:"value"`  // null for none, and for what is secret
	Source        string  `json:"source"` // who set it, in Kafka's words
	Default       *string `json:"default"`
	DefaultSource string  `json:"defaultSource,omitempty"`
	ReadOnly      bool    `json:"readOnly"` // fixed while the broker runs
	Sensitive     bool    `json:"sensitive"`
	Doc           string  `json:"doc,omitempty"`

	original *string // the default that nobody has set, where the broker says it
}

func newSetting(c kmsg.DescribeConfigsResponseResourceConfig) setting {
	s := setting{Name: c.Name, Value: c.Value, Source: c.Source.String(), ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive, Doc: text(c.Documentation)}
	// The synonyms are what counts if the setting itself and then those before are taken away. The first that somebody else set
	// is what would be in force without it.
	for _, synonym := range c.ConfigSynonyms {
		if synonym.Source != c.Source {
			s.Default, s.DefaultSource = synonym.Value, synonym.Source.String()
			break
		}
	}
	for _, synonym := range c.ConfigSynonyms {
		if synonym.Source == kmsg.ConfigSourceDefaultConfig {
			s.original = synonym.Value
			break
		}
	}
	if c.Source == kmsg.ConfigSourceDefaultConfig {
		s.Default, s.DefaultSource = c.Value, c.Source.String()
	}
	return s
}

// set says whether somebody has set it.
func (s setting) set() bool { return s.Source != kmsg.ConfigSourceDefaultConfig.String() }

// units are the settings of brokers that give topics their defaults in one of several units, the first that is set, and how many of the
// topic's own each has. Brokers do not name them as synonyms unless the first one is set.
var units = map[string][]struct {
	name string
	each int64
}{
	"retention.ms":      {{"log.retention.ms", 1}, {"log.retention.minutes", 60_000}, {"log.retention.hours", 3_600_000}},
	"segment.ms":        {{"log.roll.ms", 1}, {"log.roll.hours", 3_600_000}},
	"segment.jitter.ms": {{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", 3_600_000}},
	"flush.ms":          {{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}},
}

// unexplained says of a setting of a topic that its default is not told though the broker has one.
func (s setting) unexplained() bool { return s.set() && s.Default == nil && units[s.Name] != nil }

// explainUnits finds the defaults that are not told in the settings of a broker.
func explainUnits(of, broker []setting) {
	for i := range of {
		if !of[i].unexplained() {
			continue
		}
		for _, u := range units[of[i].Name] {
			at := slices.IndexFunc(broker, func(b setting) bool { return b.Name == u.name && b.Value != nil })
			if at < 0 {
				continue
			}
			if n, err := strconv.ParseInt(*broker[at].Value, 10, 64); err == nil {
				text := strconv.FormatInt(max(n, -1)*u.each, 10)
				if n < 0 {
					text = "-1"
				}
				of[i].Default, of[i].DefaultSource = &text, broker[at].Source
			}
			break
		}
	}
}

// valueText is the value for people; an empty one is shown as two quotes.
func (s setting) valueText() string {
	if s.Sensitive {
		return "(hidden)"
	}
	return shown(s.Value)
}

func (s setting) defaultText() string {
	if s.Sensitive {
		return "(hidden)"
	}
	return shown(s.Default)
}

func shown(value *string) string {
	switch {
	case value == nil:
		return "-"
	case *value == "":
		return `""`
	}
	return *value
}
