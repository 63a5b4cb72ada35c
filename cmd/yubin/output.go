package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"

	"yubin/internal/world/obs"
)

// show writes v as JSON if that was asked for, else with text. A list is a value
// a line, and an empty one is nothing.
func (e *env) show(v any, text func(io.Writer)) error {
	if !e.json {
		text(e.stdout)
		return nil
	}
	out := json.NewEncoder(e.stdout)
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return out.Encode(v)
	}
	for i := range list.Len() {
		if err := out.Encode(list.Index(i).Interface()); err != nil {
			return err
		}
	}
	return nil
}

// did says in a line what was done, or writes v as JSON.
func (e *env) did(v any, format string, args ...any) error {
	return e.show(v, func(w io.Writer) { writeLine(w, format, args...) })
}

// tell says something in a line of the standard error output.
func (e *env) tell(format string, args ...any) { writeLine(e.stderr, "yubin: "+format, args...) }

// writeText writes text that stands in a line.
func writeText(w io.Writer, text string) { fmt.Fprint(w, obs.Printable(text)) }

// writeLine writes one line, whatever line ends are in names that others gave.
func writeLine(w io.Writer, format string, args ...any) {
	fmt.Fprintln(w, obs.Printable(fmt.Sprintf(format, args...)))
}

// table is rows of cells, written with aligned columns. The first row is the head.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

func (t table) write(w io.Writer) { t.writeWithin(w, math.MaxInt) }

// writeWithin is write where a cell of more than most characters widens no column: its row
// goes on behind it.
func (t table) writeWithin(w io.Writer, most int) {
	for _, row := range t {
		for i, cell := range row {
			row[i] = obs.Printable(cell) // One line, whatever it holds.
		}
	}
	widths := t.widths(most)
	for _, row := range t {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

func (t table) widths(most int) []int {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if n := utf8.RuneCountInString(cell); n <= most {
				widths[i] = max(widths[i], n)
			}
		}
	}
	return widths
}

// octets writes n for people.
func octets(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n), 0
	for value >= unit && suffix < 5 {
		value /= unit
		suffix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[suffix-1])
}
