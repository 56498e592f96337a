package config

import (
	"math"
	"strconv"
	"strings"
)

// value is a parsed setting. Which field counts follows from the setting's type.
type value struct {
	num   int64 // Int, Short, Long
	float float64
	yes   bool
	text  string // String, ClassName, Password
	list  []string
}

// parse reads raw as Kafka's ConfigDef does and applies the setting's rule. The error is the text Kafka's clients see.
func (s *Setting) parse(raw string) (value, error) {
	var v value
	trimmed := strings.TrimSpace(raw)
	switch s.Type {
	case Bool:
		switch {
		case strings.EqualFold(trimmed, "true"):
			v.yes = true
		case !strings.EqualFold(trimmed, "false"):
			return v, s.invalid(raw, "Expected value to be either true or false")
		}
	case Int, Short, Long:
		bits := map[Type]int{Short: 16, Int: 32, Long: 64}[s.Type]
		n, err := strconv.ParseInt(trimmed, 10, bits)
		if err != nil {
			return v, s.invalid(raw, "Not a number of type "+s.Type.String())
		}
		v.num = n
	case Double:
		f, err := strconv.ParseFloat(trimmed, 64)
		if err != nil {
			return v, s.invalid(raw, "Not a number of type "+s.Type.String())
		}
		v.float = f
	case List:
		v.list = splitList(trimmed)
	case Password:
		v.text = raw
	default:
		v.text = trimmed
	}
	return v, s.check(s, &v)
}

func (s *Setting) invalid(shown any, why string) error {
	if s.Sensitive() {
		shown = "[hidden]"
	}
	return errorf("Invalid value %v for configuration %s: %s", shown, s.Name, why)
}

// format prints v as DescribeConfigs shows it.
func (s *Setting) format(v value) string {
	switch s.Type {
	case Bool:
		return strconv.FormatBool(v.yes)
	case Int, Short, Long:
		return strconv.FormatInt(v.num, 10)
	case Double:
		return formatDouble(v.float)
	case List:
		return strings.Join(v.list, ",")
	}
	return v.text
}

// splitList splits at commas and keeps empty elements, which the rules of lists refuse.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// formatDouble prints f as Java does: decimal between 0.001 and ten million, otherwise with an exponent, and always with a
// digit after the point.
func formatDouble(f float64) string {
	switch {
	case math.IsInf(f, 0):
		return strings.Replace(strconv.FormatFloat(f, 'f', -1, 64), "Inf", "Infinity", 1)
	case math.IsNaN(f):
		return "NaN"
	}
	if abs := math.Abs(f); f == 0 || abs >= 1e-3 && abs < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}
