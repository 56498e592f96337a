package config

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// Source says where a value comes from. The numbers are those of DescribeConfigs and frozen.
type Source int8

const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStatic         Source = 4
	SourceDefault        Source = 5
	SourceLogger         Source = 6
	SourceClientMetrics  Source = 7
	SourceGroup          Source = 8
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

// DescribeTopic returns every topic setting with its effective value, sorted by name. least is what min.insync.replicas is of the topic's partitions where nobody
// set it.
func (c *Config) DescribeTopic(overrides map[string]string, least int) []Entry {
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
		if s.Name == minISR && c.byFactor(overrides, least) {
			e.Synonyms = []Synonym{{minISR, new(strconv.Itoa(least)), SourceDefault}}
		}
		var text string
		if v, err := s.parse(raw); own && err == nil {
			text = s.format(v)
			e.Synonyms = append([]Synonym{{s.Name, &text, SourceTopic}}, e.Synonyms...)
		} else {
			text = s.format(c.defaults[s.Name])
			if s.Name == minISR && c.byFactor(overrides, least) {
				text = strconv.Itoa(least)
			}
		}
		e.Value = &text
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		entries = append(entries, e)
	}
	return entries
}

// byFactor says that min.insync.replicas of a topic is not what a broker shows as its own, which is Kafka's default, since nobody set it and the topic has
// more replicas.
func (c *Config) byFactor(overrides map[string]string, least int) bool {
	_, own := overrides[minISR]
	return !own && !c.minISRSet && least != int(c.defaults[minISR].num)
}

// CreatedSource says where a topic that is made with these overrides has a setting from. For DescribeConfigs Kafka looks at the broker's
// setting in its finest unit alone, and for the answer to CreateTopics at all of them.
func (c *Config) CreatedSource(name string, overrides map[string]string, least int) Source {
	s := topicIndex[name]
	if name == minISR && c.byFactor(overrides, least) {
		return SourceDefault
	}
	if _, own := overrides[name]; own || s == nil {
		return SourceTopic
	}
	group := units[s.From]
	if group == nil {
		group = []string{s.From}
	}
	has := func(layer map[string]string) bool {
		return slices.ContainsFunc(group, func(n string) bool { _, ok := layer[n]; return ok })
	}
	switch {
	case has(c.own):
		return SourceDynamicBroker
	case has(c.cluster):
		return SourceDynamicDefault
	case slices.ContainsFunc(group, func(n string) bool { _, ok := c.set[n]; return ok }):
		return SourceStatic
	}
	return SourceDefault
}

// DescribeBroker returns every broker setting with its effective value, sorted by name.
func (c *Config) DescribeBroker() []Entry {
	entries := make([]Entry, 0, len(brokerTable))
	for i := range brokerTable {
		s := &brokerTable[i]
		if s.Hidden && !c.isSet(s.Name) {
			continue
		}
		e := Entry{Name: s.Name, Type: s.Type, ReadOnly: s.Scope() == Fixed, Sensitive: s.Sensitive(), Doc: s.Doc, Source: SourceDefault,
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
	others := map[string]bool{}
	for _, layer := range []map[string]string{c.cluster, c.own} {
		for name := range layer {
			if brokerIndex[name] == nil && !others[name] {
				others[name] = true
				entries = append(entries, c.describeOther(name, c.synonyms(name)))
			}
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}

// isSet says whether a broker setting is set anywhere.
func (c *Config) isSet(name string) bool {
	_, started := c.set[name]
	_, all := c.cluster[name]
	_, own := c.own[name]
	return started || all || own
}

// DescribeBrokers returns what is set for all brokers, sorted by name.
func (c *Config) DescribeBrokers() []Entry {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(c.cluster)) {
		synonyms := []Synonym{{name, shownValue(name, c.cluster[name]), SourceDynamicDefault}}
		e := c.describeOther(name, synonyms)
		if s := brokerIndex[name]; s != nil {
			e.ReadOnly, e.Doc = s.Scope() == Fixed, s.Doc
		}
		entries = append(entries, e)
	}
	return entries
}

// describeOther describes a setting of a running broker that is in no table. What is not known at all may be a secret.
func (c *Config) describeOther(name string, synonyms []Synonym) Entry {
	e := Entry{Name: name, Value: synonyms[0].Value, Source: synonyms[0].Source, ReadOnly: true, Sensitive: secret(name), Synonyms: synonyms}
	s := brokerIndex[name]
	if s == nil {
		s = listenerSetting(name)
	}
	if s != nil {
		e.Type = s.Type
	}
	return e
}

// secret says whether the values of a setting may not be shown.
func secret(name string) bool {
	if s := brokerIndex[name]; s != nil {
		return s.Sensitive()
	}
	s := listenerSetting(name)
	return s == nil || s.Sensitive()
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
	if s := listenerSetting(name); s != nil {
		group = append(group, s.Name)
	}
	var all []Synonym
	for _, layer := range []struct {
		set    map[string]string
		source Source
	}{{c.own, SourceDynamicBroker}, {c.cluster, SourceDynamicDefault}} {
		for _, n := range group {
			if text, ok := layer.set[n]; ok {
				all = append(all, Synonym{n, shownValue(n, text), layer.source})
			}
		}
	}
	for _, n := range group {
		if v, ok := c.set[n]; ok {
			all = append(all, Synonym{n, shownValue(n, v.text), SourceStatic})
		}
	}
	for _, n := range group {
		if s := brokerIndex[n]; s != nil && !s.Unset && !slices.Contains(throttles, n) {
			all = append(all, Synonym{n, shownValue(n, s.Default), SourceDefault})
		}
	}
	for len(all) > 0 && all[0].Name != name {
		all = all[1:]
	}
	return all
}

func shownValue(name, text string) *string {
	if secret(name) {
		return nil
	}
	return &text
}
