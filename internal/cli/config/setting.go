package config

import (
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
	if c.Source == kmsg.ConfigSourceDefaultConfig {
		s.Default, s.DefaultSource = c.Value, c.Source.String()
	}
	return s
}

// set says whether somebody has set it.
func (s setting) set() bool { return s.Source != kmsg.ConfigSourceDefaultConfig.String() }

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
