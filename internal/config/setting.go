package config

import (
	"cmp"
	"fmt"
	"slices"
)

// Class says what this release does with a broker setting.
type Class uint8

const (
	Honoured Class = iota // acts
	Accepted              // checked and stored; tunes what is not served yet, so a set value is said in a warning
	Refused               // about safety or security and not served yet: a value that would turn it on stops the start
)

func (c Class) String() string {
	switch c {
	case Honoured:
		return "honoured"
	case Accepted:
		return "accepted"
	}
	return "refused"
}

// Type is the type of a setting. The numbers are those of DescribeConfigs and frozen.
type Type int8

const (
	Bool      Type = 1
	String    Type = 2
	Int       Type = 3
	Short     Type = 4
	Long      Type = 5
	Double    Type = 6
	List      Type = 7
	ClassName Type = 8
	Password  Type = 9
)

// String returns Kafka's name of the type, as its error texts use it.
func (t Type) String() string {
	switch t {
	case Bool:
		return "BOOLEAN"
	case String:
		return "STRING"
	case Int:
		return "INT"
	case Short:
		return "SHORT"
	case Long:
		return "LONG"
	case Double:
		return "DOUBLE"
	case List:
		return "LIST"
	case ClassName:
		return "CLASS"
	case Password:
		return "PASSWORD"
	}
	return fmt.Sprintf("Type(%d)", int8(t))
}

// Setting is one row of the table.
type Setting struct {
	Name    string
	Type    Type
	Default string // in the form of a properties file; meaningless if Unset
	Unset   bool   // there is no default: the setting is null until it is set
	Class   Class
	Doc     string
	From    string // of a topic setting: the broker setting that gives its default
	Hidden  bool   // DescribeConfigs does not list it, as in Kafka; it may be set all the same
	Own     bool   // Kafka has no such setting

	check rule
}

// unset stands for "no default" in the table; no real value holds a NUL.
const unset = "\x00"

func row(class Class, name string, t Type, def string, check rule, doc string) Setting {
	s := Setting{Name: name, Type: t, Default: def, Class: class, Doc: doc, check: check}
	if def == unset {
		s.Default, s.Unset = "", true
	}
	return s
}

func honoured(name string, t Type, def string, check rule, doc string) Setting {
	return row(Honoured, name, t, def, check, doc)
}

func accepted(name string, t Type, def string, check rule, doc string) Setting {
	return row(Accepted, name, t, def, check, doc)
}

func refused(name string, t Type, def string, check rule, doc string) Setting {
	return row(Refused, name, t, def, check, doc)
}

func (s Setting) internal() Setting        { s.Hidden = true; return s }
func (s Setting) own() Setting             { s.Own = true; return s }
func (s Setting) from(name string) Setting { s.From = name; return s }

// Sensitive says whether values may not be shown.
func (s Setting) Sensitive() bool { return s.Type == Password }

var (
	brokerTable = sorted(nodeSettings, listenersSettings, quorumSettings, topicsSettings, logSettings, replicationSettings,
		groupsSettings, shareSettings, streamsSettings, transactionsSettings, tieredSettings, securitySettings, metricsSettings, adminSettings)
	topicTable  = sorted(topicSettings)
	brokerIndex = index(brokerTable)
	topicIndex  = index(topicTable)
)

// BrokerSettings returns every broker setting, sorted by name.
func BrokerSettings() []Setting { return slices.Clone(brokerTable) }

// TopicSettings returns every topic setting, sorted by name.
func TopicSettings() []Setting { return slices.Clone(topicTable) }

func sorted(groups ...[]Setting) []Setting {
	all := slices.Concat(groups...)
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func index(table []Setting) map[string]*Setting {
	m := make(map[string]*Setting, len(table))
	for i := range table {
		m[table[i].Name] = &table[i]
	}
	return m
}
