package config

// Source says where a value comes from. The numbers are those of DescribeConfigs and frozen.
type Source int8

const (
	SourceTopic          Source = 1
	SourceDynamicDefault Source = 3
	SourceStatic         Source = 4
	SourceDefault        Source = 5
)

// Entry is one setting as DescribeConfigs answers it. A nil Value is null: unset, or sensitive.
type Entry struct {
	Name      string
	Value     *string
	Source    Source
	Type      Type
	ReadOnly  bool
	Sensitive bool
	Synonyms  []Synonym // most specific first
	Doc       string
}

// Synonym is one place that gives a setting its value or would.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeTopic returns every topic setting with its effective value, sorted by name.
func (c *Config) DescribeTopic(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(topicTable))
	for i := range topicTable {
		s := &topicTable[i]
		raw, own := overrides[s.Name]
		if s.Hidden && !own {
			continue
		}
		e := Entry{Name: s.Name, Type: s.Type, Sensitive: s.Sensitive(), Doc: s.Doc, Source: SourceDefault}
		if s.From != "" {
			e.Synonyms = c.synonyms(s.From)
		}
		var text string
		if v, err := s.parse(raw); own && err == nil {
			text = s.format(v)
			e.Synonyms = append([]Synonym{{s.Name, &text, SourceTopic}}, e.Synonyms...)
		} else {
			text = s.format(c.defaults[s.Name])
		}
		e.Value = &text
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		entries = append(entries, e)
	}
	return entries
}

// DescribeBroker returns every broker setting with its effective value, sorted by name. All are read-only in this release.
func (c *Config) DescribeBroker() []Entry {
	entries := make([]Entry, 0, len(brokerTable))
	for i := range brokerTable {
		s := &brokerTable[i]
		if _, set := c.set[s.Name]; s.Hidden && !set {
			continue
		}
		e := Entry{Name: s.Name, Type: s.Type, ReadOnly: true, Sensitive: s.Sensitive(), Doc: s.Doc, Source: SourceDefault,
			Synonyms: c.synonyms(s.Name)}
		if v, ok := c.parsed[s.Name]; ok && !e.Sensitive {
			text := s.format(v)
			e.Value = &text
		}
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		entries = append(entries, e)
	}
	return entries
}

// units lists the settings that stand in for another one, finest unit first.
var units = map[string][]string{
	"log.retention.ms":      {"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	"log.retention.minutes": {"log.retention.minutes", "log.retention.hours"},
	"log.roll.ms":           {"log.roll.ms", "log.roll.hours"},
	"log.roll.jitter.ms":    {"log.roll.jitter.ms", "log.roll.jitter.hours"},
	"log.flush.interval.ms": {"log.flush.interval.ms", "log.flush.scheduler.interval.ms"},
}

// synonyms lists what sets a broker setting and its stand-ins: first all that are set, then all defaults. Kafka leaves out
// whatever comes before the setting's own name, so a setting that only its stand-ins give a value has none at all.
func (c *Config) synonyms(name string) []Synonym {
	group := units[name]
	if group == nil {
		group = []string{name}
	}
	var all []Synonym
	if name == "min.insync.replicas" {
		// A cluster with eligible leader replicas keeps this one for the whole cluster, and Kafka shows it so.
		text := c.Value(name)
		all = append(all, Synonym{name, &text, SourceDynamicDefault})
	}
	for _, n := range group {
		if v, ok := c.set[n]; ok {
			all = append(all, Synonym{n, shownValue(n, v.text), SourceStatic})
		}
	}
	for _, n := range group {
		if s := brokerIndex[n]; !s.Unset {
			all = append(all, Synonym{n, shownValue(n, s.Default), SourceDefault})
		}
	}
	for len(all) > 0 && all[0].Name != name {
		all = all[1:]
	}
	return all
}

func shownValue(name, text string) *string {
	if brokerIndex[name].Sensitive() {
		return nil
	}
	return &text
}
