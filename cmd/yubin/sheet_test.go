package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// A line that is too long, or no UTF-8, is told and passed over; the lines after it
// keep their numbers.
func TestSheetGoesOn(t *testing.T) {
	text := "address,password\na@example.org,x\n" + strings.Repeat("y", 3*maxSheetLine) + "\nb@example.org,p\xe4\n\r\nc@example.org,\" z \"\r\n" + strings.Repeat("e", maxSheetLine+1)
	next, err := readCSV(strings.NewReader(text), accountColumns)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	var faults []string
	for {
		r, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, r.line)
		switch {
		case r.fault != nil:
			faults = append(faults, r.fault.Error())
		case r.line == 6 && r.one("password") != " z ":
			t.Errorf("%q", r.cells)
		}
	}
	if !slices.Equal(lines, []int{2, 3, 4, 6, 7}) || len(faults) != 3 || !strings.Contains(faults[0], "longer than 65536") ||
		!strings.Contains(faults[1], "UTF-8") || !strings.Contains(faults[2], "longer than") {
		t.Errorf("lines %v, faults %q", lines, faults)
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                             nil,
		" , ,":                         nil,
		"a@b, c@d\te@f":                {"a@b", "c@d", "e@f"},
		`"odd, name"@b "q\" q"@c`:      {`"odd, name"@b`, `"q\" q"@c`},
		"alice@example.org;bob@x.test": {"alice@example.org;bob@x.test"},
	} {
		if got, err := splitWords(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := splitWords(`"open@b`); err == nil {
		t.Error("a quote that is open was read")
	}
}

// Whatever stands in a file, reading it ends, and each record is of a line of it.
func FuzzSheet(f *testing.F) {
	for _, seed := range []string{"address,password\na@b.example,x", "sep=;\naddress;quota\n\"a;b\";1", "\xff\xfea\x00,\x00", "\xef\xbb\xbf{\"address\": [\"x\"]}",
		"a: b,\n c\n# d\n\ne f", "user:{PLAIN}x::::::userdb_quota_rule=*:storage=1G:messages=0", "one.example, two.example,\n  three.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		limit := strings.Count(text, "\n") + strings.Count(text, "\x0a") + 2
		aliases := func(in io.Reader, _ []column) (sheet, error) {
			return (&aliasImportCmd{Format: "aliases"}).readAliasTable(in)
		}
		for name, read := range map[string]func(io.Reader, []column) (sheet, error){
			"csv": readCSV, "jsonl": readJSONLines, "passwd": readPasswd, "domains": readDomainTable, "aliases": aliases} {
			next, err := read(strings.NewReader(text), accountColumns)
			if err != nil {
				continue
			}
			for range len(text) + 2 {
				r, err := next()
				if err != nil {
					break
				}
				if r.line < 1 || r.line > limit {
					t.Fatalf("%s: a record of line %d in a text of %d", name, r.line, limit)
				}
			}
			if _, err := next(); err == nil {
				t.Fatalf("%s: no end", name)
			}
		}
	})
}
