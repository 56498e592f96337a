package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule judges a parsed value; it may tidy a list. Its texts are Kafka's.
type rule func(s *Setting, v *value) error

func anything(*Setting, *value) error { return nil }

func atLeast(low float64) rule {
	return func(s *Setting, v *value) error {
		if s.number(v) < low {
			return s.invalid(s.format(*v), "Value must be at least "+bound(low))
		}
		return nil
	}
}

func between(low, high float64) rule {
	return func(s *Setting, v *value) error {
		if s.number(v) > high {
			return s.invalid(s.format(*v), "Value must be no more than "+bound(high))
		}
		return atLeast(low)(s, v)
	}
}

// number makes one comparison do for whole numbers and doubles. Every bound in the table is exact in a float64.
func (s *Setting) number(v *value) float64 {
	if s.Type == Double {
		return v.float
	}
	return float64(v.num)
}

func bound(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func gzipLevel(s *Setting, v *value) error {
	if v.num == -1 || v.num >= 1 && v.num <= 9 {
		return nil
	}
	return s.invalid(v.num, "Value must be between 1 and 9 or equal to -1")
}

func oneOf(names ...string) rule {
	return func(s *Setting, v *value) error {
		if slices.Contains(names, v.text) {
			return nil
		}
		return s.invalid(v.text, "String must be one of: "+strings.Join(names, ", "))
	}
}

func oneOfFold(names ...string) rule {
	return func(s *Setting, v *value) error {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, v.text) }) {
			return nil
		}
		return s.invalid(v.text, "String must be one of (case insensitive): "+strings.Join(names, ", "))
	}
}

func notEmpty(s *Setting, v *value) error {
	if v.text == "" {
		return s.invalid(v.text, "String must be non-empty")
	}
	return nil
}

// list allows the given names, or any when none is given, and drops repeated ones.
func list(names ...string) rule {
	return func(s *Setting, v *value) error {
		if slices.Contains(v.list, "") {
			return errorf("Configuration '%s' values must not be empty.", s.Name)
		}
		seen := make(map[string]bool, len(v.list))
		v.list = slices.DeleteFunc(v.list, func(e string) bool { again := seen[e]; seen[e] = true; return again })
		for _, e := range v.list {
			if len(names) > 0 && !slices.Contains(names, e) {
				return s.invalid(e, "String must be one of: "+strings.Join(names, ", "))
			}
		}
		return nil
	}
}

func nonEmptyList(names ...string) rule {
	valid := "any non-empty value"
	if len(names) > 0 {
		valid = "[" + strings.Join(names, ", ") + "]"
	}
	elements := list(names...)
	return func(s *Setting, v *value) error {
		if len(v.list) == 0 {
			return errorf("Configuration '%s' must not be empty. Valid values include: %s", s.Name, valid)
		}
		return elements(s, v)
	}
}

// throttledReplica matches nothing at all too: Kafka overlooks commas with nothing between them.
var throttledReplica = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)

func throttledReplicas(s *Setting, v *value) error {
	if strings.Join(v.list, "") == "*" {
		return nil
	}
	for _, e := range v.list {
		if !throttledReplica.MatchString(e) {
			return s.invalid("["+strings.Join(v.list, ", ")+"]", s.Name+" must be the literal '*' or a list of replicas in the "+
				"following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")
		}
	}
	return nil
}
