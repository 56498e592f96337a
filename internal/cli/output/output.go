// Package output prints what the command line lists: as a table for people, as JSON or as plain fields for programs. It owns
// the three formats and the colours, and knows nothing of what is listed.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Format is the value of --format.
type Format string

const (
	Table Format = "table" // aligned columns with a heading
	JSON  Format = "json"  // one document
	Plain Format = "plain" // fields separated by tabs, no heading
)

// Formats are all of them, for the completion of --format.
var Formats = []string{string(Table), string(JSON), string(Plain)}

// String, Set and Type make a Format a flag.
func (f *Format) String() string { return string(*f) }

func (f *Format) Type() string { return "table|json|plain" }

func (f *Format) Set(s string) error {
	switch v := Format(s); v {
	case Table, JSON, Plain:
		*f = v
		return nil
	}
	return fmt.Errorf("want table, json or plain")
}

// Flag adds --format to a command and returns where its value will be.
func Flag(flags *pflag.FlagSet) *Format {
	f := Table
	flags.Var(&f, "format", "how to print")
	return &f
}

// List is rows under a heading; for JSON, Document is printed instead.
type List struct {
	Heading  []string
	Rows     [][]string
	Document any
	Styles   map[int]func(cell string) Style // how a table shows the cells of a column; none is plain
}

// Print writes the list in the format.
func (l List) Print(w io.Writer, f Format) error {
	switch f {
	case JSON:
		return Document(w, l.Document)
	case Plain:
		for _, row := range l.Rows {
			if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		return nil
	}
	return l.table(w, Coloured(w))
}

// Document writes v as JSON.
func Document(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Numbers joins ids as 1,2,3; none is "-".
func Numbers(ids []int32) string {
	if len(ids) == 0 {
		return "-"
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = fmt.Sprint(id)
	}
	return strings.Join(texts, ",")
}

// Number is n, or "-" where there is none.
func Number(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}

// Text is s, or "-" for nothing, so that a cell is never empty.
func Text(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Bytes is a size for people, in units of 1024.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	const units = "KMGTPE"
	size, unit := float64(n)/1024, 0
	for ; size >= 1023.95 && unit < len(units)-1; unit++ { // what would be shown as 1024.0
		size /= 1024
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " " + units[unit:unit+1] + "iB"
}
