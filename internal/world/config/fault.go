package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	Line int // 0 for the file as a whole
	Text string
}

// Faults is the error of Parse, Load and Verify: everything that is wrong with
// File, by line.
type Faults struct {
	File string
	List []Fault
}

// Error has one line for each fault, as compilers write them.
func (f *Faults) Error() string {
	lines := make([]string, len(f.List))
	for i, fault := range f.List {
		lines[i] = fmt.Sprintf("%s:%d: %s", f.File, fault.Line, fault.Text)
		if fault.Line == 0 {
			lines[i] = fmt.Sprintf("%s: %s", f.File, fault.Text)
		}
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(line int, format string, args ...any) {
	f.List = append(f.List, Fault{line, fmt.Sprintf(format, args...)})
}

// take adds the faults of err; false if err is something else.
func (f *Faults) take(err error) bool {
	var more *Faults
	if errors.As(err, &more) {
		f.List = append(f.List, more.List...)
	}
	return err == nil || more != nil
}

// err returns f, sorted, or nil if there is no fault.
func (f *Faults) err() error {
	if len(f.List) == 0 {
		return nil
	}
	slices.SortStableFunc(f.List, func(a, b Fault) int { return a.Line - b.Line })
	return f
}
