package config

import (
	"errors"
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
		f, err := parseDouble(trimmed)
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

// parseDouble takes what Java takes: a letter may say that the number is a float or a double, and what is too large or too small to be
// told from nothing is infinite or zero.
func parseDouble(s string) (float64, error) {
	if n := len(s); n > 1 && strings.ContainsRune("fFdD", rune(s[n-1])) && strings.ContainsRune("0123456789.", rune(s[n-2])) {
		s = s[:n-1]
	}
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) {
		err = nil
	}
	return f, err
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
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
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
