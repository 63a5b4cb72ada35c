package arch

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// statements are the tables of the databases: which engine makes them, and which
// files name them in SQL.
type statements struct {
	owners map[string]string // of a table: the package that creates it
	uses   []tableUse
}

type tableUse struct {
	file  string
	line  int
	table string
}

// The words of SQL after which tables stand. Keywords are in capitals in all of our
// SQL, and tables are not.
var (
	creates   = regexp.MustCompile(`\bCREATE TABLE (?:IF NOT EXISTS )?([a-z]\w*)`)
	names     = regexp.MustCompile(`\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+([a-z]\w*(?:\s+(?:AS\s+)?[a-z]\w*)?(?:\s*,\s*[a-z]\w*(?:\s+(?:AS\s+)?[a-z]\w*)?)*)`)
	firstWord = regexp.MustCompile(`^\s*([a-z]\w*)`)
)

// add takes a string that stands in a file.
func (s *statements) add(file string, line int, text string) {
	for _, m := range creates.FindAllStringSubmatch(text, -1) {
		if s.owners == nil {
			s.owners = make(map[string]string)
		}
		s.owners[m[1]] = engineOf(path.Dir(file))
	}
	for _, m := range names.FindAllStringSubmatchIndex(text, -1) {
		at := line + strings.Count(text[:m[0]], "\n")
		for table := range strings.SplitSeq(text[m[2]:m[3]], ",") {
			s.uses = append(s.uses, tableUse{file, at, firstWord.FindStringSubmatch(table)[1]})
		}
	}
}

// violations are the uses of tables by who is not of their engine. A name that no
// schema has is no table.
func (s *statements) violations() (found []Violation) {
	for _, u := range s.uses {
		if owner := s.owners[u.table]; owner != "" && owner != engineOf(path.Dir(u.file)) {
			found = append(found, Violation{u.file, u.line, "reads or writes table " + u.table, fmt.Sprintf("only %s may", owner)})
		}
	}
	return found
}

func engineOf(folder string) string {
	if whole := oneEngine[folder]; whole != "" {
		return whole
	}
	return folder
}
