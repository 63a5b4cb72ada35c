package main

import (
	"fmt"
	"slices"
	"strings"
)

// unit says how a figure is printed and which way is better.
type unit struct {
	name   string
	format string
	less   bool // less is better
}

var (
	perSecond = unit{"a second", "%.0f", false}
	millis    = unit{"ms", "%.2f", true}
	kib       = unit{"KiB", "%.1f", true}
	mib       = unit{"MiB", "%.1f", true}
	micros    = unit{"µs", "%.0f", true}
	gib       = unit{"GiB", "%.2f", true}
)

// figure is all that one contestant showed in one line, a value for each round.
type figure struct{ values []float64 }

func (f figure) median() float64 {
	if len(f.values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(f.values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func (f figure) most() float64 { return slices.Max(f.values) }

// text is the median and, of several rounds, the least and the most.
func (f figure) text(u unit) string {
	switch len(f.values) {
	case 0:
		return "-"
	case 1:
		return fmt.Sprintf(u.format, f.values[0])
	}
	return fmt.Sprintf(u.format+" ("+u.format+"-"+u.format+")", f.median(), slices.Min(f.values), slices.Max(f.values))
}

// line is one row of a table.
type line struct {
	name    string
	unit    unit
	figures map[string]*figure // by column
}

// table is what one row of the instrument measured.
type table struct {
	title   string
	intro   string
	columns []string // contestants, the first is ours
	lines   []*line
	plain   bool // the columns are no contestants: divide each by the first
	notes   []string
	failed  []string
}

func newTable(title, intro string) *table { return &table{title: title, intro: intro} }

// add notes a figure of a round.
func (t *table) add(name, column string, value float64, u unit) {
	if !slices.Contains(t.columns, column) {
		t.columns = append(t.columns, column)
	}
	i := slices.IndexFunc(t.lines, func(l *line) bool { return l.name == name })
	if i < 0 {
		i = len(t.lines)
		t.lines = append(t.lines, &line{name: name, unit: u, figures: map[string]*figure{}})
	}
	f := t.lines[i].figures[column]
	if f == nil {
		f = &figure{}
		t.lines[i].figures[column] = f
	}
	f.values = append(f.values, value)
}

// note adds a sentence below the table, once.
func (t *table) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(t.notes, s) {
		t.notes = append(t.notes, s)
	}
}

// fail notes what could not be measured.
func (t *table) fail(what string, err error) {
	t.failed = append(t.failed, fmt.Sprintf("%s: %v", what, err))
}

// markdown is the table as RESULTS.md has it.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", t.title)
	if t.intro != "" {
		fmt.Fprintf(&b, "%s\n\n", t.intro)
	}
	t.grid(&b)
	for _, n := range t.notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	for _, f := range t.failed {
		fmt.Fprintf(&b, "\n**Not measured**: %s\n", strings.ReplaceAll(f, "\n", " "))
	}
	return b.String()
}

func (t *table) grid(b *strings.Builder) {
	if len(t.lines) == 0 {
		return
	}
	head := []string{"", "unit"}
	head = append(head, t.columns...)
	for _, c := range t.columns[1:] {
		if t.plain {
			head = append(head, c+" / "+t.columns[0])
		} else {
			head = append(head, "times "+c)
		}
	}
	rows := [][]string{head}
	for _, l := range t.lines {
		rows = append(rows, l.cells(t.columns, t.plain))
	}
	writeGrid(b, rows)
}

// cells are the figures of a line, then how many times better ours is than each other.
func (l *line) cells(columns []string, plain bool) []string {
	out := []string{l.name, l.unit.name}
	for _, c := range columns {
		out = append(out, l.of(c).text(l.unit))
	}
	ours := l.of(columns[0]).median()
	for _, c := range columns[1:] {
		out = append(out, ratio(ours, l.of(c).median(), l.unit.less || plain))
	}
	return out
}

func (l *line) of(column string) figure {
	if f := l.figures[column]; f != nil {
		return *f
	}
	return figure{}
}

// ratio is how many times better ours is.
func ratio(ours, theirs float64, less bool) string {
	if less {
		ours, theirs = theirs, ours
	}
	if ours <= 0 || theirs <= 0 {
		return "-"
	}
	if r := ours / theirs; r > 0.5 && r < 2 { // Beside one of its own kind a hundredth counts.
		return fmt.Sprintf("%.2f", r)
	}
	return fmt.Sprintf("%.1f", ours/theirs)
}

// writeGrid aligns the columns of a Markdown table.
func writeGrid(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for n, r := range rows {
		for i, c := range r {
			fmt.Fprintf(b, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				fmt.Fprintf(b, "|%s", strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
}
