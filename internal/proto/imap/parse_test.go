package imap

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/linear"
)

// TestRFCCommands parses every command line that the RFCs give as an example.
func TestRFCCommands(t *testing.T) {
	text, err := os.ReadFile("testdata/rfc-commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		in := strings.ReplaceAll(line, "}|", "}\r\n")
		cmd, err := ParseCommand([]byte(in), Mode{})
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if tag, _, _ := strings.Cut(line, " "); cmd.Tag != tag {
			t.Errorf("%s: tag %q", line, cmd.Tag)
		}
	}
	if n < 100 {
		t.Errorf("only %d examples", n)
	}
}

func set(r ...Num) NumSet {
	var s NumSet
	for i := 0; i < len(r); i += 2 {
		s.Ranges = append(s.Ranges, NumRange{r[i], r[i+1]})
	}
	return s
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

var parsed = []struct {
	in   string // without its tag
	name string
	args any
}{
	{"noop", "NOOP", nil},
	{"NOOP  ", "NOOP", nil},
	{`login "a\"b\\" {3}` + "\r\nx y", "LOGIN", &Login{`a"b\`, "x y"}},
	{`login joe "pässwörd"`, "LOGIN", &Login{"joe", "pässwörd"}},
	{"login jörg@example.org pässwörd", "LOGIN", &Login{"jörg@example.org", "pässwörd"}},
	{"AUTHENTICATE plain AGEAYg==", "AUTHENTICATE", &Authenticate{"PLAIN", []byte("\x00a\x00b")}},
	{"AUTHENTICATE  plain  AGEAYg==", "AUTHENTICATE", &Authenticate{"PLAIN", []byte("\x00a\x00b")}},
	{"AUTHENTICATE plain  ", "AUTHENTICATE", &Authenticate{Mechanism: "PLAIN"}},
	{"AUTHENTICATE external =", "AUTHENTICATE", &Authenticate{"EXTERNAL", []byte{}}},
	{"AUTHENTICATE SCRAM-SHA-256-PLUS", "AUTHENTICATE", &Authenticate{Mechanism: "SCRAM-SHA-256-PLUS"}},
	{"enable utf8=accept imap4rev2", "ENABLE", &Enable{[]string{"UTF8=ACCEPT", "IMAP4REV2"}}},
	{"ID nil", "ID", &IDParams{}},
	{"ID ()", "ID", &IDParams{Fields: map[string]string{}}},
	{`ID ("Name" "x" "os" NIL)`, "ID", &IDParams{Fields: map[string]string{"name": "x", "os": ""}}},
	{"select inbox", "SELECT", &Select{Mailbox: "inbox"}},
	{`EXAMINE "&U,BTFw-/&ZeVnLIqe-"`, "EXAMINE", &Select{Mailbox: "台北/日本語", ReadOnly: true}},
	{"SELECT {6}\r\nFür", "", nil}, // octets missing
	{"SELECT {4}\r\nFür", "SELECT", &Select{Mailbox: "Für"}},
	{"CREATE a]b", "CREATE", &Create{Mailbox: "a]b"}},
	{`CREATE x (use (\Sent \Foo))`, "CREATE", &Create{Mailbox: "x", Use: []string{`\Sent`, `\Foo`}}},
	{"CREATE x (USE ())", "CREATE", &Create{Mailbox: "x"}},
	{`rename "a b" c`, "RENAME", &Rename{"a b", "c"}},
	{"UNSUBSCRIBE x", "UNSUBSCRIBE", &Subscribe{Mailbox: "x"}},
	{"LSUB a *", "LSUB", &List{LSub: true, Reference: "a", Patterns: []string{"*"}}},
	{`LIST "" R&D*`, "LIST", &List{Patterns: []string{"R&D*"}}},
	{`LIST "" &AOk-%`, "LIST", &List{Patterns: []string{"é%"}}},
	{`list (special-use recursivematch subscribed) "" (a "b c") return (special-use status (size deleted) children)`, "LIST",
		&List{Extended: true, Select: ListSelect{Subscribed: true, RecursiveMatch: true, SpecialUse: true},
			Patterns: []string{"a", "b c"},
			Return:   ListReturn{Children: true, SpecialUse: true, Status: []StatusItem{StatusSize, StatusDeleted}}}},
	{`LIST "" x RETURN ()`, "LIST", &List{Extended: true, Patterns: []string{"x"}}},
	{"STATUS x (messages RECENT uidvalidity)", "STATUS",
		&Status{"x", []StatusItem{StatusMessages, StatusRecent, StatusUIDValidity}}},
	{"APPEND x {0}", "APPEND", &Append{Mailbox: "x"}},
	{`APPEND x (\seen $Junk \Recent \Foo) "17-Jul-1996 02:44:25 -0730" {9223372036854775807+}`, "APPEND",
		&Append{Mailbox: "x", Flags: FlagList{System: mail.Seen, Keywords: []string{"$Junk"}, Recent: true, Unknown: []string{`\Foo`}},
			Date:    time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600-30*60)),
			Literal: Literal{Size: 1<<63 - 1, NonSync: true}}},
	{`APPEND x () " 3-Feb-2025 18:28:47 +0000" ~{7}`, "APPEND",
		&Append{Mailbox: "x", Date: time.Date(2025, 2, 3, 18, 28, 47, 0, time.FixedZone("", 0)), Literal: Literal{Size: 7, Binary: true}}},
	{`APPEND x "3-Feb-2025 23:59:60 +0000" {1}`, "APPEND",
		&Append{Mailbox: "x", Date: time.Date(2025, 2, 3, 23, 59, 59, 0, time.FixedZone("", 0)), Literal: Literal{Size: 1}}},
	{"COPY 1,3:*,*:7 x", "COPY", &Copy{Set: set(1, 1, 3, Star, Star, 7), Mailbox: "x"}},
	{"uid move $ x", "UID MOVE", &Copy{Set: NumSet{Saved: true}, Mailbox: "x", Move: true}},
	{"UID EXPUNGE 4294967295", "UID EXPUNGE", &Expunge{set(1<<32-1, 1<<32-1)}},
	{`STORE 1 flags \Seen \Draft`, "STORE", &Store{Set: set(1, 1), Flags: FlagList{System: mail.Seen | mail.Draft}}},
	{"STORE 1 -FLAGS.SILENT ()", "STORE", &Store{Set: set(1, 1), Mode: StoreRemove, Silent: true}},
	{"UID STORE 1 +FLAGS (a b)", "UID STORE", &Store{Set: set(1, 1), Mode: StoreAdd, Flags: FlagList{Keywords: []string{"a", "b"}}}},
}

func TestParseCommand(t *testing.T) {
	for _, c := range parsed {
		cmd, err := ParseCommand([]byte("t "+c.in), Mode{})
		if c.name == "" {
			if err == nil {
				t.Errorf("%q: no error", c.in)
			}
			continue
		}
		want := Command{Tag: "t", Verb: lookup([]byte(c.name)), UID: strings.HasPrefix(c.name, "UID "), Args: c.args}
		if err != nil || !reflect.DeepEqual(cmd, want) {
			t.Errorf("%q:\n got %+v %+v, %v\nwant %+v %+v", c.in, cmd, cmd.Args, err, want, want.Args)
		}
	}
}

func TestParseFetch(t *testing.T) {
	all, _ := ParseCommand([]byte("t FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)"), Mode{})
	full, err := ParseCommand([]byte("t FETCH 1 full"), Mode{})
	if err != nil || !reflect.DeepEqual(all, full) {
		t.Errorf("FULL is %+v, %v", full.Args, err)
	}
	for in, want := range map[string]FetchItem{
		"uid":               {Kind: FetchUID, Peek: true},
		"bodystructure":     {Kind: FetchBodyStructure, Peek: true},
		"rfc822":            {Kind: FetchRFC822},
		"rfc822.peek":       {Kind: FetchRFC822, Peek: true},
		"rfc822.header":     {Kind: FetchRFC822Header, Peek: true},
		"rfc822.text":       {Kind: FetchRFC822Text},
		"body":              {Kind: FetchBodyStructureBasic, Peek: true},
		"body[]":            {Kind: FetchBody},
		"BODY.peek[]<0.1>":  {Kind: FetchBody, Peek: true, Partial: &Partial{0, 1}},
		"BODY[1.2.MIME]":    {Kind: FetchBody, Section: Section{Path: []int{1, 2}, Text: SectionMIME}},
		"BODY[4.TEXT]":      {Kind: FetchBody, Section: Section{Path: []int{4}, Text: SectionBodyText}},
		"BODY[HEADER]":      {Kind: FetchBody, Section: Section{Text: SectionHeader}},
		"BINARY[1]<2.3>":    {Kind: FetchBinary, Section: Section{Path: []int{1}}, Partial: &Partial{2, 3}},
		"BINARY.PEEK[]":     {Kind: FetchBinary, Peek: true},
		"BINARY.SIZE[1.22]": {Kind: FetchBinarySize, Peek: true, Section: Section{Path: []int{1, 22}}},
		"BODY[2.HEADER.FIELDS.NOT (From \"x y\")]": {Kind: FetchBody,
			Section: Section{Path: []int{2}, Text: SectionHeaderFieldsNot, Fields: []string{"From", "x y"}}},
		"BODY[]<7.9223372036854775807>": {Kind: FetchBody, Partial: &Partial{7, 1<<32 - 1}},
	} {
		cmd, err := ParseCommand([]byte("t FETCH 1 "+in), Mode{})
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := cmd.Args.(*Fetch).Items; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: got %+v", in, got)
		}
	}
}

func TestParseSearch(t *testing.T) {
	seen := SearchKey{Op: SearchHasFlag, Flag: mail.Seen}
	for in, want := range map[string]SearchKey{
		"ALL":                      {},
		"unseen":                   not(seen),
		"OLD":                      not(SearchKey{Op: SearchRecent}),
		"(SEEN)":                   seen,
		"(SEEN NEW) $":             {Op: SearchAnd, Keys: []SearchKey{seen, {Op: SearchNew}, {Op: SearchSeq, Set: NumSet{Saved: true}}}},
		"or or seen new or 1 all":  {Op: SearchOr, Keys: []SearchKey{seen, {Op: SearchNew}, {Op: SearchSeq, Set: set(1, 1)}, {}}},
		"not not (not seen)":       not(seen),
		"subject 会議":               {Op: SearchEnvelope, Field: "Subject", Text: "会議"},
		"or seen not (all recent)": {Op: SearchOr, Keys: []SearchKey{seen, not(SearchKey{Op: SearchAnd, Keys: []SearchKey{{}, {Op: SearchRecent}}})}},
		"uid 2:*":                  {Op: SearchUID, Set: set(2, Star)},
		"12":                       {Op: SearchSeq, Set: set(12, 12)},
		"unkeyword $Junk":          not(SearchKey{Op: SearchHasKeyword, Keyword: "$Junk"}),
		`from "" `:                 {Op: SearchEnvelope, Field: "From"},
		`HEADER message-id <x@y>`:  {Op: SearchHeader, Field: "message-id", Text: "<x@y>"},
		`subject "päper"`:          {Op: SearchEnvelope, Field: "Subject", Text: "päper"},
		"body {2}\r\né":            {Op: SearchBody, Text: "é"},
		`sentsince "01-Feb-1994"`:  {Op: SearchSentSince, Date: day(1994, 2, 1)},
		"before 1-feb-1994":        {Op: SearchBefore, Date: day(1994, 2, 1)},
		"larger 4294967296":        {Op: SearchLarger, Size: 1 << 32},
	} {
		cmd, err := ParseCommand([]byte("t SEARCH "+in), Mode{})
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := cmd.Args.(*Search).Key; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}

func TestSearchReturn(t *testing.T) {
	for in, want := range map[string]SearchReturn{
		"ALL":                           {},
		"RETURN () ALL":                 {Extended: true, All: true},
		"return (save) all":             {Extended: true, Save: true},
		"RETURN (MIN MAX COUNT) ALL":    {Extended: true, Min: true, Max: true, Count: true},
		"RETURN (ALL) CHARSET utf8 ALL": {Extended: true, All: true},
	} {
		cmd, err := ParseCommand([]byte("t UID SEARCH "+in), Mode{})
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := cmd.Args.(*Search).Return; got != want {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}

// latin1 is a decoder that knows one charset.
func latin1(charset string, text []byte) (string, bool) {
	if !strings.EqualFold(charset, "ISO-8859-1") {
		return "", false
	}
	var b strings.Builder
	for _, c := range text {
		b.WriteRune(rune(c))
	}
	return b.String(), true
}

func TestSearchCharset(t *testing.T) {
	for _, in := range []string{"{1}\r\n\xe9", "\"\xe9\"", "\xe9"} {
		cmd, err := ParseCommand([]byte(`t SEARCH CHARSET "iso-8859-1" TEXT `+in), Mode{Decode: latin1})
		if err != nil || cmd.Args.(*Search).Key.Text != "é" {
			t.Errorf("%q: %+v, %v", in, cmd.Args, err)
		}
	}
	for in, save := range map[string]bool{
		"CHARSET KOI8-R ALL":                    false,
		"RETURN (SAVE) CHARSET KOI8-R ALL":      true,
		"TEXT {1}\r\n\xe9":                      false,
		"CHARSET US-ASCII TEXT {2}\r\n\xe9\xe9": false,
		"TEXT \"\xe9\"":                         false,
		"TEXT \xe9":                             false,
	} {
		_, err := ParseCommand([]byte("t SEARCH "+in), Mode{Decode: latin1})
		var e *Error
		if !errors.As(err, &e) || e.Kind != BadCharset || e.Tag != "t" || e.Save != save {
			t.Errorf("%q: %+v", in, err)
		}
	}
	if _, err := ParseCommand([]byte("t SEARCH CHARSET ISO-8859-1 ALL"), Mode{}); err == nil {
		t.Error("no decoder knows no charset")
	}
}

// What is beyond US-ASCII may stand in quotes and without them once UTF-8 is enabled, and
// in neither before.
func TestUTF8Mode(t *testing.T) {
	const name = "Entwürfe"
	for _, given := range []string{`"` + name + `"`, name} {
		for _, c := range []struct {
			in  string
			got func(any) string
		}{
			{"SELECT " + given, func(a any) string { return a.(*Select).Mailbox }},
			{"STATUS " + given + " (MESSAGES)", func(a any) string { return a.(*Status).Mailbox }},
			{"APPEND " + given + " {1}", func(a any) string { return a.(*Append).Mailbox }},
			{"RENAME x " + given, func(a any) string { return a.(*Rename).To }},
			{`LIST ` + given + ` ""`, func(a any) string { return a.(*List).Reference }},
			{`LIST "" ` + given, func(a any) string { return a.(*List).Patterns[0] }},
			{`LSUB "" ` + given, func(a any) string { return a.(*List).Patterns[0] }},
			{"FETCH 1 BODY[HEADER.FIELDS (" + given + ")]", func(a any) string { return a.(*Fetch).Items[0].Section.Fields[0] }},
		} {
			cmd, err := ParseCommand([]byte("t "+c.in), Mode{UTF8: true})
			if err != nil || c.got(cmd.Args) != name {
				t.Errorf("%s: %+v, %v", c.in, cmd.Args, err)
			}
			if _, err := ParseCommand([]byte("t "+c.in), Mode{}); err == nil || !strings.Contains(err.Error(), "before UTF-8 is enabled") {
				t.Errorf("%s, before UTF-8 is enabled: %v", c.in, err)
			}
			notUTF8 := strings.ReplaceAll(c.in, "ü", "\xff")
			if _, err := ParseCommand([]byte("t "+notUTF8), Mode{UTF8: true}); err == nil {
				t.Errorf("%q, which is no UTF-8, is taken", notUTF8)
			}
		}
	}
}

var faults = []struct {
	in   string
	want Error
}{
	{"", Error{Column: 0, Want: "tag"}},
	{"+ NOOP", Error{Column: 0, Want: "tag"}},
	{strings.Repeat("x", MaxTag+1) + " NOOP", Error{Column: MaxTag + 1, Want: "shorter tag"}},
	{"t", Error{Tag: "t", Column: 1, Want: "' '"}},
	{"t FOO", Error{Kind: UnknownCommand, Tag: "t", Column: 5}},
	{"t UID NOOP", Error{Kind: UnknownCommand, Tag: "t", Column: 10}},
	{"t " + strings.Repeat("x", MaxVerb+1), Error{Kind: UnknownCommand, Tag: "t", Column: MaxVerb + 3}},
	{"t NOOP x", Error{Tag: "t", Name: "NOOP", Column: 7, Want: "end of line"}},
	{"t UID FETCH 0 FLAGS", Error{Tag: "t", Name: "UID FETCH", Column: 12, Want: "number from 1"}},
	{"t FETCH 1, FLAGS", Error{Tag: "t", Name: "FETCH", Column: 10, Want: "sequence set"}},
	{"t FETCH 4294967296 FLAGS", Error{Tag: "t", Name: "FETCH", Column: 8, Want: "number of at most 4294967295"}},
	{"t FETCH 1 (FLAGS", Error{Tag: "t", Name: "FETCH", Column: 16, Want: "')'"}},
	{"t FETCH 1 ()", Error{Tag: "t", Name: "FETCH", Column: 11, Want: "data item"}},
	{"t FETCH 1 (ALL)", Error{Tag: "t", Name: "FETCH", Column: 14, Want: "data item"}},
	{"t FETCH 1 BODY[MIME]", Error{Tag: "t", Name: "FETCH", Column: 19, Want: "section"}},
	{"t FETCH 1 BODY[1.]", Error{Tag: "t", Name: "FETCH", Column: 17, Want: "section"}},
	{"t FETCH 1 BODY[0]", Error{Tag: "t", Name: "FETCH", Column: 15, Want: "number from 1"}},
	{"t FETCH 1 BODY[]<1.0>", Error{Tag: "t", Name: "FETCH", Column: 19, Want: "number from 1"}},
	{"t FETCH 1 BINARY[TEXT]", Error{Tag: "t", Name: "FETCH", Column: 17, Want: "']'"}},
	{"t LOGIN a", Error{Tag: "t", Name: "LOGIN", Column: 9, Want: "' '"}},
	{`t LOGIN a "b`, Error{Tag: "t", Name: "LOGIN", Column: 12, Want: "closing quote"}},
	{`t LOGIN a "\b"`, Error{Tag: "t", Name: "LOGIN", Column: 13, Want: `\" or \\`}},
	{"t LOGIN a {1}\r\n\x00", Error{Tag: "t", Name: "LOGIN", Column: 15, Want: "literal without NUL"}},
	{"t LOGIN a {2}\r\nx", Error{Tag: "t", Name: "LOGIN", Column: 15, Want: "octets of the literal"}},
	{"t AUTHENTICATE PLAIN AG=", Error{Tag: "t", Name: "AUTHENTICATE", Column: 24, Want: "base64"}},
	{"t SELECT &AOk", Error{Kind: BadMailbox, Tag: "t", Name: "SELECT", Column: 13}},
	{"t SELECT {1}\r\n\xff", Error{Kind: BadMailbox, Tag: "t", Name: "SELECT", Column: 15}},
	{"t SELECT x (CONDSTORE)", Error{Tag: "t", Name: "SELECT", Column: 11, Want: "end of line"}},
	{`t LIST (RECURSIVEMATCH) "" x`, Error{Tag: "t", Name: "LIST", Column: 23, Want: "SUBSCRIBED beside RECURSIVEMATCH"}},
	{`t LIST "" x RETURN (FOO)`, Error{Tag: "t", Name: "LIST", Column: 23, Want: "known return option"}},
	{"t STATUS x (HIGHESTMODSEQ)", Error{Tag: "t", Name: "STATUS", Column: 25, Want: "status item"}},
	{"t APPEND x", Error{Tag: "t", Name: "APPEND", Column: 10, Want: "' '"}},
	{"t APPEND x msg", Error{Tag: "t", Name: "APPEND", Column: 11, Want: "literal"}},
	{`t APPEND x "30-Feb-2024 00:00:00 +0000" {1}`, Error{Tag: "t", Name: "APPEND", Column: 39, Want: "day of the month"}},
	{`t APPEND x "1-Feb-2024 24:00:00 +0000" {1}`, Error{Tag: "t", Name: "APPEND", Column: 31, Want: "time of day"}},
	{"t APPEND x UTF8 ({1}", Error{Tag: "t", Name: "APPEND", Column: 20, Want: "literal8"}},
	{"t SEARCH ON 1-Foo-2020", Error{Tag: "t", Name: "SEARCH", Column: 14, Want: "month"}},
	{"t SEARCH MODSEQ 1", Error{Tag: "t", Name: "SEARCH", Column: 15, Want: "search key"}},
	{"t SEARCH " + strings.Repeat("(", MaxSearchDepth) + "ALL", Error{Tag: "t", Name: "SEARCH", Column: 9 + MaxSearchDepth, Want: "simpler search"}},
	{"t SEARCH TEXT " + strings.Repeat("x", MaxSearchText+1), Error{Tag: "t", Name: "SEARCH", Column: 14 + MaxSearchText + 1, Want: "shorter search texts"}},
	{"t SEARCH ALL" + strings.Repeat(" ALL", MaxSearchKeys), Error{Tag: "t", Name: "SEARCH", Column: 9 + 4*MaxSearchKeys, Want: "simpler search"}},
	{"t FETCH 1" + strings.Repeat(",1", MaxSetRanges) + " UID", Error{Tag: "t", Name: "FETCH", Column: 8 + 2*MaxSetRanges, Want: "fewer ranges"}},
	{"t FETCH 1 BODY[" + strings.Repeat("1.", MaxSectionDepth) + "1]", Error{Tag: "t", Name: "FETCH", Column: 15 + 2*MaxSectionDepth, Want: "fewer part numbers"}},
	{"t FETCH 1 (UID" + strings.Repeat(" UID", MaxFetchItems) + ")", Error{Tag: "t", Name: "FETCH", Column: 11 + 4*MaxFetchItems, Want: "fewer items"}},
}

func TestErrors(t *testing.T) {
	for _, c := range faults {
		_, err := ParseCommand([]byte(c.in), Mode{})
		var e *Error
		if !errors.As(err, &e) || *e != c.want {
			t.Errorf("%.60q:\n got %+v\nwant %+v", c.in, err, &c.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := ParseCommand([]byte("t FETCH x\x01"), Mode{})
	if err == nil || err.Error() != "FETCH: expected sequence set at column 9" {
		t.Errorf("got %v", err)
	}
	for k := BadSyntax; k <= BadMailbox; k++ {
		if text := (&Error{Kind: k, Want: "x"}).Error(); text == "" || strings.ContainsAny(text, "\r\n%") {
			t.Errorf("kind %d: %q", k, text)
		}
	}
}

// fetched and searched are data items and search programs as we write them.
var fetched = []string{"FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822",
	"RFC822.PEEK", "RFC822.HEADER", "RFC822.TEXT", "RFC822.TEXT.PEEK", "BODY[]", "BODY.PEEK[1.22.MIME]<0.4294967295>",
	"BODY[HEADER]", "BODY[3.TEXT]", "BODY[1]", `BODY.PEEK[1.HEADER.FIELDS (From "a b" "")]`,
	"BODY[HEADER.FIELDS.NOT (x)]<7.1>", "BINARY[]", "BINARY.PEEK[1.1]<2.3>", "BINARY.SIZE[1]"}

var searched = []string{"ALL", "1:3,*,7:*", "$", "UID 2", "SEEN", "NOT DELETED", "OR DRAFT (FLAGGED ANSWERED)", "RECENT", "NEW",
	"NOT RECENT", "KEYWORD $Junk", `HEADER From "a b"`, `HEADER X-Y ""`, "BODY x", "TEXT {2}\r\né", "LARGER 1", "SMALLER 9223372036854775807",
	"BEFORE 1-Feb-1994", "ON 2-Feb-1994", "SINCE 3-Feb-1994", "SENTBEFORE 11-Dec-0001", "SENTON 4-Feb-1994", "SENTSINCE 5-Feb-1994",
	"NOT (ALL 1)", "ALL 1 2 OR 1 2", "OR 1 OR 2 3"}

// Keys nest a thousand deep and more, in every way, and a thousand can be ORed.
func TestSearchIsDeep(t *testing.T) {
	const n = 1200
	for name, in := range map[string]string{
		"ORs":         strings.Repeat("OR 1 ", n) + "2",
		"brackets":    strings.Repeat("OR 1 (", n) + "2" + strings.Repeat(")", n),
		"on the left": strings.Repeat("OR (", n) + "2" + strings.Repeat(") 1", n),
		"NOTs":        strings.Repeat("NOT (1 ", n) + "2" + strings.Repeat(")", n),
		"both":        strings.Repeat("OR 1 (2 ", n) + "3" + strings.Repeat(")", n),
	} {
		cmd, err := ParseCommand([]byte("t SEARCH "+in), Mode{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		written := cmd.Args.(*Search).Key.String()
		if got := strings.Count(written, "1"); got != n {
			t.Errorf("%s: %d of %d keys", name, got, n)
		}
		again, err := ParseCommand([]byte("t SEARCH "+written), Mode{})
		if err != nil || !reflect.DeepEqual(again.Args.(*Search).Key.String(), written) {
			t.Errorf("%s: written otherwise than it is parsed, %v", name, err)
		}
	}
	linear.Check(t, 300, func(size int) func() {
		in := []byte("t SEARCH " + strings.Repeat("OR 1 (OR 2 ", size) + "3" + strings.Repeat(")", size))
		return func() {
			if _, err := ParseCommand(in, Mode{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWrittenAsParsed(t *testing.T) {
	for _, in := range fetched {
		cmd, err := ParseCommand([]byte("t FETCH 1 "+in), Mode{})
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := cmd.Args.(*Fetch).Items[0].String(); got != in {
			t.Errorf("%s is written %s", in, got)
		}
	}
	for _, in := range searched {
		cmd, err := ParseCommand([]byte("t SEARCH "+in), Mode{})
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := cmd.Args.(*Search).Key.String(); got != in {
			t.Errorf("%s is written %s", in, got)
		}
	}
}

// TestVerbs: each has a name of its own, by which it is found, and VerbOf finds it in
// a line.
func TestVerbs(t *testing.T) {
	for v := Unknown + 1; v < Verbs; v++ {
		name := v.String()
		if name == "" || lookup([]byte(name)) != v || len(name) > len("UID ")+MaxVerb {
			t.Errorf("verb %d is called %q, which is verb %d", v, name, lookup([]byte(name)))
		}
		for _, line := range []string{"t " + name, "a.1 " + strings.ToLower(name) + " 1:* x"} {
			if got := VerbOf([]byte(line)); got != v {
				t.Errorf("%q begins with %v", line, got)
			}
		}
	}
	for _, line := range []string{"", "t", "t ", "DONE", "t XFETCH 1", "t UID", "t UID NOOP", "t  FETCH 1 UID", "\xff FETCH 1 UID", "t " + strings.Repeat("x", 99)} {
		if got := VerbOf([]byte(line)); got != Unknown {
			t.Errorf("%q begins with %v", line, got)
		}
	}
	if Unknown.String() != "" {
		t.Error("what is unknown has a name")
	}
}
