package sqldb

import (
	"strings"

	"yubin/internal/mail"
)

// words are what the text of a schema or a statement says between braces where
// the databases differ; see the package comment. {lock …} is not among them.
type words []string

var sqliteWords = words{
	"{id}", "INTEGER PRIMARY KEY AUTOINCREMENT",
	"{int}", "INTEGER",
	"{text}", "TEXT",
	"{blob}", "BLOB",
	"{clustered}", "WITHOUT ROWID",
	"{free}", "",
}

// expand puts what a database says for the words of a text. Of a statement that
// locks rows, word says what they are.
func (w words) expand(text, lock string) (sql string, word LockWord, err error) {
	if !strings.Contains(text, "{") {
		return text, 0, nil
	}
	for i := 0; i < len(w); i += 2 {
		text = strings.ReplaceAll(text, w[i], w[i+1])
	}
	before, rest, found := strings.Cut(text, "{lock ")
	if !found {
		return text, 0, nil
	}
	name, after, _ := strings.Cut(rest, "}")
	if word = lockWord(name); word == 0 || strings.TrimSpace(after) != "" {
		return "", 0, mail.Errorf(mail.Internal, "{lock …} is the end of a SELECT and names what is locked: %q", text)
	}
	return before + lock, word, nil
}
