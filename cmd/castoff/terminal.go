package main

import (
	"cmp"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is where a command that reads prints: a terminal, or a file or pipe
// that gets the same text without colours.
type screen struct {
	w        io.Writer
	terminal bool
	colour   bool // only ever in addition to words
	blocks   bool // the terminal's character set has more than ASCII
	// size is the columns and rows of the terminal as it is now; ok is false
	// when that is not known.
	size func() (columns, rows int, ok bool)
}

// newScreen finds out what w can show. NO_COLOR, when it is not empty, turns
// colours off (https://no-color.org).
func newScreen(w io.Writer) screen {
	s := screen{w: w, blocks: speaksUTF8(), size: func() (int, int, bool) { return 0, 0, false }}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.terminal = true
	s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	s.size = func() (int, int, bool) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		return columns, rows, err == nil && columns > 0 && rows > 0
	}
	return s
}

// speaksUTF8 goes by the variables that say so, the first that is set.
func speaksUTF8() bool {
	set := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	set = strings.ToLower(strings.ReplaceAll(set, "-", ""))
	return strings.HasSuffix(set, ".utf8") || strings.Contains(set, ".utf8@")
}

// style is how a text stands out, as the terminal's code for it. The text says
// the same without.
type style string

const (
	plain  style = ""
	strong style = "1"
	alarm  style = "1;31"
	good   style = "32"
	faint  style = "2"
)

// text is a piece of a line in one style.
type text struct {
	said string
	as   style
}

// paint is a line for the terminal, at most so many columns wide (0: any).
func (s screen) paint(line []text, columns int) string {
	var b strings.Builder
	left := columns
	for _, t := range line {
		said := t.said
		if columns > 0 {
			said = cut(said, left)
			left -= utf8.RuneCountInString(said)
		}
		if s.colour && t.as != plain && said != "" {
			b.WriteString("\x1b[" + string(t.as) + "m" + said + "\x1b[0m")
		} else {
			b.WriteString(said)
		}
	}
	return b.String()
}

// cut is the beginning of a text, so many characters of it.
func cut(said string, most int) string {
	for i := range said {
		if most <= 0 {
			return said[:i]
		}
		most--
	}
	return said
}

// pad fills a text up to so many characters.
func pad(said string, columns int) string {
	return said + strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(said)))
}

// printTable writes rows in columns, the first row being the heading. Columns
// that hold figures are flush right.
func (s screen) printTable(rows [][]text, figures ...int) error {
	var wide []int
	for _, row := range rows {
		wide = append(wide, make([]int, max(0, len(row)-len(wide)))...)
		for i, cell := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell.said))
		}
	}
	right := make(map[int]bool, len(figures))
	for _, i := range figures {
		right[i] = true
	}
	var b strings.Builder
	for n, row := range rows {
		var line []text
		for i, cell := range row {
			blank := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell.said))
			if n == 0 {
				cell.as = strong
			}
			switch {
			case right[i]:
				line = append(line, text{said: blank}, cell)
			case i < len(row)-1:
				line = append(line, cell, text{said: blank})
			default:
				line = append(line, cell)
			}
			if i < len(row)-1 {
				line = append(line, text{said: "  "})
			}
		}
		b.WriteString(s.paint(line, 0) + "\n")
	}
	_, err := io.WriteString(s.w, b.String())
	return err
}
