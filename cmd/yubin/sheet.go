package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Limits on a file of records.
const (
	maxSheetLine    = 64 << 10  // octets of a line
	maxSheetRecords = 1_000_000 // of a file: those that came before are remembered
	maxSheetFaults  = 1000      // that --json names; all are told and counted
)

// column is what a file can say of each record.
type column struct {
	name   string
	list   bool // of words; the others are one text
	raw    bool // spaces at the end are part of it
	number bool // in JSON it may be a number too
}

// record is a line of a file, or what is wrong with it.
type record struct {
	line  int
	cells map[string][]string // by the name of the column; what is empty is not there
	fault error
}

// one is the cell of a column that is no list.
func (r record) one(name string) string {
	if c := r.cells[name]; len(c) > 0 {
		return c[0]
	}
	return ""
}

// sheet yields the records of a file one by one; io.EOF ends them, and another error
// is of the whole file.
type sheet func() (record, error)

// sheetLines reads the lines of a text, whatever its encoding and line ends.
type sheetLines struct {
	in     *bufio.Reader
	number int
}

// newSheetLines understands UTF-8, and UTF-16 if a byte order mark says so.
func newSheetLines(in io.Reader) (*sheetLines, error) {
	b := bufio.NewReaderSize(in, maxSheetLine)
	switch head, _ := b.Peek(3); {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = b.Discard(3)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		d := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder()
		b = bufio.NewReaderSize(transform.NewReader(b, d), maxSheetLine)
	case bytes.IndexByte(head, 0) >= 0:
		return nil, errors.New("the file is no text in UTF-8: save it as UTF-8 (a spreadsheet calls that CSV UTF-8)")
	}
	return &sheetLines{in: b}, nil
}

// next returns a line without its end, which may be empty, good until the call after
// it. A fault is of this line alone.
func (l *sheetLines) next() (text string, fault, err error) {
	l.number++
	line, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.in.ReadSlice('\n')
		}
		if err == io.EOF {
			err = nil
		}
		return "", fmt.Errorf("is longer than %d octets", maxSheetLine), err
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	if err != nil {
		return "", nil, err
	}
	text = strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return "", errors.New("is not UTF-8: save the file as UTF-8 (a spreadsheet calls that CSV UTF-8)"), nil
	}
	return text, nil, nil
}

// nextFilled is next without empty lines.
func (l *sheetLines) nextFilled() (text string, fault, err error) {
	for {
		text, fault, err = l.next()
		if err != nil || fault != nil || strings.TrimSpace(text) != "" {
			return text, fault, err
		}
	}
}

// readCSV reads a text whose first line names the columns, with a comma, semicolon or
// tab between them. One line is one record: no field has a line end in it.
func readCSV(in io.Reader, columns []column) (sheet, error) {
	lines, err := newSheetLines(in)
	if err != nil {
		return nil, err
	}
	text, fault, err := lines.nextFilled()
	separators := []rune{',', ';', '\t'}
	if said, ok := strings.CutPrefix(text, "sep="); ok && utf8.RuneCountInString(said) == 1 { // As Excel writes it.
		separators = []rune(said)
		text, fault, err = lines.nextFilled()
	}
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("the file is empty; its first line must name the columns: %s", columnNames(columns, ","))
	case err != nil:
		return nil, err
	case fault != nil:
		return nil, fmt.Errorf("line %d %w", lines.number, fault)
	}
	head, separator, err := readHead(text, separators, columns)
	if err != nil {
		return nil, fmt.Errorf("line %d %w", lines.number, err)
	}
	return func() (record, error) {
		text, fault, err := lines.nextFilled()
		if err != nil {
			return record{}, err
		}
		r := record{line: lines.number, fault: fault}
		if fault == nil {
			r.cells, r.fault = readRow(text, separator, head)
		}
		return r, nil
	}, nil
}

func columnNames(columns []column, between string) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, between)
}

// readHead finds the separator with which most names of columns are known, and what
// stands in each.
func readHead(text string, separators []rune, columns []column) (head []column, separator rune, err error) {
	best := -1
	var names []string
	for _, s := range separators {
		fields, err := fieldsOf(text, s)
		if err != nil {
			continue
		}
		known := 0
		for _, f := range fields {
			if slices.ContainsFunc(columns, func(c column) bool { return strings.EqualFold(c.name, strings.TrimSpace(f)) }) {
				known++
			}
		}
		if known > best {
			best, separator, names = known, s, fields
		}
	}
	if best < 1 {
		if strings.Contains(text, "@") {
			return nil, 0, fmt.Errorf("is no head line: put one before it that names the columns, such as %s", columnNames(columns[:2], ","))
		}
		return nil, 0, fmt.Errorf("must name the columns, with a comma, a semicolon or a tab between them; known are %s", columnNames(columns, ", "))
	}
	for _, name := range withoutTail(names, 0) {
		i := slices.IndexFunc(columns, func(c column) bool { return strings.EqualFold(c.name, strings.TrimSpace(name)) })
		switch {
		case i < 0:
			return nil, 0, fmt.Errorf("names the column %q, which is not known: take it out, or rename it; known are %s", cut(name, 40), columnNames(columns, ", "))
		case slices.Contains(head, columns[i]):
			return nil, 0, fmt.Errorf("names the column %s twice", columns[i].name)
		}
		head = append(head, columns[i])
	}
	return head, separator, nil
}

// fieldsOf divides a line.
func fieldsOf(text string, separator rune) ([]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comma = separator
	r.TrimLeadingSpace = separator != '\t'
	fields, err := r.Read()
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return nil, errors.New(`has a " within a field: put the field in quotes, and write that one twice`)
	case errors.Is(err, csv.ErrQuote):
		return nil, errors.New(`has a field that begins with a " and does not end with one; a " within it is written twice`)
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return fields, nil
}

func readRow(text string, separator rune, head []column) (map[string][]string, error) {
	fields, err := fieldsOf(text, separator)
	if err != nil {
		return nil, err
	}
	if fields = withoutTail(fields, len(head)); len(fields) > len(head) {
		return nil, fmt.Errorf("has %s, and the head line names %s: a field with %q in it must be in quotes",
			count(len(fields), "field", "fields"), count(len(head), "column", "columns"), separator)
	}
	cells := make(map[string][]string, len(head))
	for i, f := range fields {
		if err := setCell(cells, head[i], f); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

// withoutTail takes away what separators at the end of a line leave, beyond n fields.
func withoutTail(fields []string, n int) []string {
	for len(fields) > n && strings.TrimSpace(fields[len(fields)-1]) == "" {
		fields = fields[:len(fields)-1]
	}
	return fields
}

// setCell puts a text into the cell of a column.
func setCell(cells map[string][]string, c column, text string) error {
	switch {
	case c.list:
		words, err := splitWords(text)
		if err != nil {
			return fmt.Errorf("has in %s what cannot be read: %w", c.name, err)
		}
		if len(words) > 0 {
			cells[c.name] = append(cells[c.name], words...)
		}
		return nil
	case !c.raw:
		text = strings.TrimSpace(text)
	}
	if text != "" {
		cells[c.name] = []string{text}
	}
	return nil
}

// splitWords divides a text at commas and spaces that do not stand in quotes, as those of
// the local part of an address may.
func splitWords(text string) (words []string, err error) {
	var word strings.Builder
	quoted, escaped := false, false
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, r := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		case !quoted && (r == ',' || r == ' ' || r == '\t'):
			end()
			continue
		}
		word.WriteRune(r)
	}
	if end(); quoted {
		return nil, errors.New(`a " is opened and not closed`)
	}
	return words, nil
}

// readJSONLines reads an object on each line, whose keys are the columns.
func readJSONLines(in io.Reader, columns []column) (sheet, error) {
	lines, err := newSheetLines(in)
	if err != nil {
		return nil, err
	}
	begun := false
	return func() (record, error) {
		text, fault, err := lines.nextFilled()
		if err != nil {
			return record{}, err
		}
		if !begun && strings.HasPrefix(strings.TrimSpace(text), "[") {
			return record{}, errors.New("the file is an array, and must have one object on each line: jq -c '.[]' makes that of it")
		}
		begun = true
		r := record{line: lines.number, fault: fault}
		if fault == nil {
			r.cells, r.fault = readObject(text, columns)
		}
		return r, nil
	}, nil
}

func readObject(text string, columns []column) (map[string][]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		if wrong := (*json.UnmarshalTypeError)(nil); err == nil || errors.As(err, &wrong) {
			return nil, fmt.Errorf("is no JSON object such as {%q: ...}", columns[0].name)
		}
		return nil, fmt.Errorf("is no JSON: %w", err)
	}
	cells := make(map[string][]string, len(object))
	for key, value := range object {
		i := slices.IndexFunc(columns, func(c column) bool { return c.name == key })
		if i < 0 {
			return nil, fmt.Errorf("has the key %q, which is not known; known are %s", cut(key, 40), columnNames(columns, ", "))
		}
		if err := fillJSON(cells, columns[i], value); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

func fillJSON(cells map[string][]string, c column, value json.RawMessage) error {
	var text string
	var number json.Number
	var list []string
	switch {
	case string(value) == "null":
	case json.Unmarshal(value, &text) == nil:
		return setCell(cells, c, text)
	case c.list && json.Unmarshal(value, &list) == nil:
		if len(list) > 0 {
			cells[c.name] = list
		}
	case c.number && json.Unmarshal(value, &number) == nil:
		cells[c.name] = []string{number.String()}
	case c.list:
		return fmt.Errorf("has in %q what is no text and no list of texts", c.name)
	default:
		return fmt.Errorf("has in %q what is no text", c.name)
	}
	return nil
}
