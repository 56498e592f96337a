package output

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// Style is how a cell of a table looks on a terminal.
type Style string

// Colours of the terminal's own palette, so that they are readable on any background.
const (
	None Style = ""
	Bold Style = "\x1b[1m"
	Good Style = "\x1b[32m"
	Warn Style = "\x1b[33m"
	Bad  Style = "\x1b[31m"

	reset = "\x1b[0m"
)

// Coloured says whether what goes to w may have colours: w is a terminal, and nobody asked for none (NO_COLOR, TERM=dumb).
func Coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && colourful(info.Mode(), os.Getenv)
}

// colourful needs TERM to be set, which consoles that do not understand escapes leave out.
func colourful(mode os.FileMode, env func(string) string) bool {
	term := env("TERM")
	return mode&os.ModeCharDevice != 0 && env("NO_COLOR") == "" && term != "" && term != "dumb"
}

// table aligns the columns, two blanks between them.
func (l List) table(w io.Writer, coloured bool) error {
	rows := append([][]string{l.Heading}, l.Rows...)
	widths := make([]int, len(l.Heading))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for r, row := range rows {
		for i, cell := range row {
			style := None
			if coloured {
				style = l.style(r, i, cell)
			}
			b.WriteString(string(style) + cell)
			if style != None {
				b.WriteString(reset)
			}
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l List) style(row, column int, cell string) Style {
	if row == 0 {
		return Bold
	}
	if choose := l.Styles[column]; choose != nil {
		return choose(cell)
	}
	return None
}
