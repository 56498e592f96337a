package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// property is one key and value of a properties file.
type property struct {
	key, value string
	line       int // where it starts, counted from 1
}

// parseProperties reads the format of java.util.Properties.
//
// # File format
//
//	A line ends with LF, CR or CR LF. One whose first character other than blank is # or ! is a comment.
//	A line that ends in an odd number of backslashes goes on in the next one, whose leading blanks are dropped.
//	The key ends at the first unescaped blank, = or :. Blanks around one = or : do not count; blanks at the end of the value do.
//	A backslash makes t, n, r, f and uXXXX what they are in Java, and any other character itself.
//
// A key that occurs twice counts as often as it occurs: the last one wins.
func parseProperties(data string) ([]property, error) {
	data = strings.TrimPrefix(data, "\ufeff")
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data), "\n")
	var found []property
	for i := 0; i < len(lines); i++ {
		start := i + 1
		text := strings.TrimLeft(lines[i], blanks)
		if text == "" || text[0] == '#' || text[0] == '!' {
			continue
		}
		for endsOpen(text) {
			text = text[:len(text)-1]
			if i+1 == len(lines) {
				break
			}
			i++
			text += strings.TrimLeft(lines[i], blanks)
		}
		rawKey, rawValue := splitProperty(text)
		key, err := unescape(rawKey)
		if err == nil {
			var value string
			if value, err = unescape(rawValue); err == nil {
				found = append(found, property{key, value, start})
				continue
			}
		}
		return nil, fmt.Errorf("line %d: %w", start, err)
	}
	return found, nil
}

const blanks = " \t\f"

// endsOpen says whether the last backslash of s is itself unescaped.
func endsOpen(s string) bool {
	n := len(s) - len(strings.TrimRight(s, `\`))
	return n%2 == 1
}

func splitProperty(s string) (key, value string) {
	end := 0
	for end < len(s) && !strings.ContainsRune(blanks+"=:", rune(s[end])) {
		if s[end] == '\\' && end+1 < len(s) {
			end++
		}
		end++
	}
	key, value = s[:end], strings.TrimLeft(s[end:], blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	return key, value
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			if s[i] != '\\' {
				b.WriteByte(s[i])
			}
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			r, n, err := unicodeEscape(s[i-1:])
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			i += n - 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// unicodeEscape reads \uXXXX, or two of them that are a surrogate pair, at the start of s.
func unicodeEscape(s string) (r rune, n int, err error) {
	unit := func(s string) (rune, bool) {
		if len(s) < 6 || s[:2] != `\u` {
			return 0, false
		}
		u, err := strconv.ParseUint(s[2:6], 16, 16)
		return rune(u), err == nil
	}
	high, ok := unit(s)
	if !ok {
		return 0, 0, fmt.Errorf(`malformed \uXXXX encoding`)
	}
	if utf16.IsSurrogate(high) {
		if low, ok := unit(s[6:]); ok {
			if r := utf16.DecodeRune(high, low); r != '\ufffd' {
				return r, 12, nil
			}
		}
	}
	return high, 6, nil
}
