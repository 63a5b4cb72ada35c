package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

func nums(n ...Num) iter.Seq[Num] { return slices.Values(n) }

var responses = []struct {
	want  string // without the last CRLF
	write func(e *Encoder)
}{
	{"* OK IMAP4rev2 server ready", func(e *Encoder) { e.Status("", OK, "", "IMAP4rev2 server ready") }},
	{"A001 NO [TRYCREATE] no such mailbox", func(e *Encoder) { e.Status("A001", NO, CodeTryCreate, "no such mailbox") }},
	{"* BYE a  b", func(e *Encoder) { e.Status("", BYE, "", "a\r\nb") }},
	{"A003 OK [APPENDUID 38505 3955] APPEND completed",
		func(e *Encoder) { e.Status("A003", OK, CodeAppendUID(38505, 3955), "APPEND completed") }},
	{"A004 OK [COPYUID 38505 304,319:320 3956:3958] Done", func(e *Encoder) {
		e.Status("A004", OK, CodeCopyUID(38505, []mail.UID{304, 319, 320}, []mail.UID{3956, 3957, 3958}), "Done")
	}},
	{"* OK [UIDNEXT 7] x", func(e *Encoder) { e.Status("", OK, CodeUIDNext(7), "x") }},
	{"* OK [UIDVALIDITY 4294967295] x", func(e *Encoder) { e.Status("", OK, CodeUIDValidity(1<<32-1), "x") }},
	{"* OK [UNSEEN 12] x", func(e *Encoder) { e.Status("", OK, CodeUnseen(12), "x") }},
	{`* OK [PERMANENTFLAGS (\Seen \*)] x`, func(e *Encoder) { e.Status("", OK, CodePermanentFlags(`\Seen`, `\*`), "x") }},
	{"a OK [CAPABILITY IMAP4rev1 ID] x", func(e *Encoder) { e.Status("a", OK, CodeCapability("IMAP4rev1", "ID"), "x") }},
	{`a NO [BADCHARSET ("US-ASCII" "UTF-8")] x`, func(e *Encoder) { e.Status("a", NO, CodeBadCharset("US-ASCII", "UTF-8"), "x") }},
	{"a NO [BADCHARSET] x", func(e *Encoder) { e.Status("a", NO, CodeBadCharset(), "x") }},
	{"+ idling", func(e *Encoder) { e.Continue("idling") }},
	{"+ ", func(e *Encoder) { e.Continue("") }},
	{"* CAPABILITY IMAP4rev1 IMAP4rev2", func(e *Encoder) { e.Capability("IMAP4rev1", "IMAP4rev2") }},
	{"* ENABLED", func(e *Encoder) { e.Enabled() }},
	{"* ENABLED UTF8=ACCEPT", func(e *Encoder) { e.Enabled("UTF8=ACCEPT") }},
	{`* FLAGS (\Answered \Seen)`, func(e *Encoder) { e.Flags(`\Answered`, `\Seen`) }},
	{"* 23 EXISTS", func(e *Encoder) { e.Exists(23) }},
	{"* 0 RECENT", func(e *Encoder) { e.Recent(0) }},
	{"* 44 EXPUNGE", func(e *Encoder) { e.Expunge(44) }},
	{"* ID NIL", func(e *Encoder) { e.ID() }},
	{`* ID ("name" "yubin" "version" NIL)`, func(e *Encoder) { e.ID(Field{"name", "yubin"}, Field{"version", ""}) }},
	{`* NAMESPACE (("" "/")) NIL NIL`, func(e *Encoder) { e.Namespace() }},
	{`* LIST (\Noselect) "/" ""`, func(e *Encoder) { e.List(Listed{Attrs: []MailboxAttr{AttrNoSelect}}) }},
	{`* LSUB () "/" "R&-D\"/&AOk-"`, func(e *Encoder) { e.List(Listed{LSub: true, Name: `R&D"/é`}) }},
	{`* LIST (\Subscribed \HasChildren) "/" "é" ("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("&é"))`, func(e *Encoder) {
		e.SetUTF8(true)
		e.List(Listed{Attrs: []MailboxAttr{AttrSubscribed, AttrHasChildren}, Name: "é", OldName: "&é", ChildInfo: true})
	}},
	{`* LIST () "/" "INBOX" ("OLDNAME" ("inbox"))`, func(e *Encoder) { e.List(Listed{Name: "INBOX", OldName: "inbox"}) }},
	{"* LIST () \"/\" {3}\r\na\nb", func(e *Encoder) { e.SetUTF8(true); e.List(Listed{Name: "a\nb"}) }},
	{`* STATUS "blurdybloop" (MESSAGES 231 UIDNEXT 44292)`, func(e *Encoder) {
		e.MailboxStatus("blurdybloop", StatusValue{StatusMessages, 231}, StatusValue{StatusUIDNext, 44292})
	}},
	{`* STATUS "x" ()`, func(e *Encoder) { e.MailboxStatus("x") }},
	{"* SEARCH", func(e *Encoder) { e.Search(nums()) }},
	{"* SEARCH 2 84 882", func(e *Encoder) { e.Search(nums(2, 84, 882)) }},
	{`* ESEARCH (TAG "a567") UID COUNT 17 ALL 4:18,21,28`, func(e *Encoder) {
		e.ESearch(ESearch{Tag: "a567", UID: true, Count: 17, All: nums(4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 28)})
	}},
	{`* ESEARCH (TAG "a") MIN 2 MAX 9`, func(e *Encoder) { e.ESearch(ESearch{Tag: "a", Min: 2, Max: 9, Count: -1}) }},
	{`* ESEARCH COUNT 0`, func(e *Encoder) { e.ESearch(ESearch{}) }},
	{`* 23 FETCH (FLAGS (\Seen) RFC822.SIZE 44827 UID 447)`, func(e *Encoder) {
		f := e.Fetch(23)
		f.Flags(mail.Seen, "", false)
		f.Size(44827)
		f.UID(447)
		f.End()
	}},
	{`* 1 FETCH (FLAGS ())`, func(e *Encoder) { f := e.Fetch(1); f.Flags(0, "", false); f.End() }},
	{`* 1 FETCH (FLAGS (\Seen \Answered \Flagged \Deleted \Draft \Recent $Junk a))`, func(e *Encoder) {
		f := e.Fetch(1)
		f.Flags(1<<5-1, "$Junk a", true)
		f.End()
	}},
	{`* 1 FETCH (INTERNALDATE " 7-Jul-1996 02:44:25 -0730" ENVELOPE (NIL "x" NIL NIL NIL NIL NIL NIL NIL NIL) BODYSTRUCTURE ("text" "plain" NIL NIL NIL "7bit" 1 1 NIL NIL NIL NIL))`, func(e *Encoder) {
		f := e.Fetch(1)
		f.InternalDate(time.Date(1996, 7, 7, 2, 44, 25, 0, time.FixedZone("", -27000)))
		f.Envelope(small)
		f.BodyStructure(small)
		f.End()
	}},
	{"* 1 FETCH (BODY[1.HEADER.FIELDS (Date \"x y\")]<5> {3}\r\nabc UID 1)", func(e *Encoder) {
		f := e.Fetch(1)
		f.Literal(FetchItem{Kind: FetchBody, Peek: true, Partial: &Partial{5, 100},
			Section: Section{Path: []int{1}, Text: SectionHeaderFields, Fields: []string{"Date", "x y"}}}, 3, true)
		_, _ = io.WriteString(e, "abc")
		f.UID(1)
		f.End()
	}},
	{"* 1 FETCH (BINARY[1] ~{1}\r\n\x00 BINARY.SIZE[1] 1 BINARY[2]<0> {0}\r\n BINARY[3] NIL RFC822 {1}\r\nx RFC822.HEADER NIL)", func(e *Encoder) {
		f := e.Fetch(1)
		one := Section{Path: []int{1}}
		f.Literal(FetchItem{Kind: FetchBinary, Section: one}, 1, true)
		_, _ = e.Write([]byte{0})
		f.BinarySize(FetchItem{Kind: FetchBinarySize, Section: one}, 1)
		f.Literal(FetchItem{Kind: FetchBinary, Section: Section{Path: []int{2}}, Partial: &Partial{0, 9}}, 0, false)
		f.Nil(FetchItem{Kind: FetchBinary, Section: Section{Path: []int{3}}})
		f.Literal(FetchItem{Kind: FetchRFC822, Peek: true}, 1, false)
		_, _ = io.WriteString(e, "x")
		f.Nil(FetchItem{Kind: FetchRFC822Header, Peek: true})
		f.End()
	}},
	{`* 1 FETCH (BODY ("text" "plain" NIL NIL NIL "7bit" 1 1))`, func(e *Encoder) {
		f := e.Fetch(1)
		f.Body(small)
		f.End()
	}},
}

// small is a message that says little of itself.
var small = func() message.Form {
	f, _ := message.ParseForm(message.AppendForm(nil, &message.Message{Envelope: &message.Envelope{Subject: []byte("x")}, Root: textPart(1, 1)}))
	return f
}()

func TestResponses(t *testing.T) {
	for _, c := range responses {
		var b bytes.Buffer
		e := NewEncoder(&b)
		c.write(e)
		if b.String() != c.want+"\r\n" || e.Err() != nil {
			t.Errorf("got  %q\nwant %q", b.String(), c.want)
		}
	}
}

func TestAppendNumber(t *testing.T) {
	for _, n := range []uint32{0, 1, 9, 10, 11, 99, 100, 101, 999_999_999, 1_000_000_000, 4_294_967_295} {
		if got, want := string(appendNumber([]byte("x"), n)), fmt.Sprint("x", n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
}

func TestAppendString(t *testing.T) {
	long := strings.Repeat("x", maxQuoted+1)
	for in, want := range map[string]string{
		"":       `""`,
		`a"b\`:   `"a\"b\\"`,
		"é":      "{2}\r\né",
		"a\r\nb": "{4}\r\na\r\nb",
		"a\x00b": "{3}\r\na\x80b",
		"\x7f":   "{1}\r\n\x7f",
		long:     "{1001}\r\n" + long,
	} {
		if got := string(AppendString(nil, []byte(in))); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestRoleAttr(t *testing.T) {
	for role, want := range map[mail.Role]MailboxAttr{mail.RoleInbox: "", "": "", mail.RoleSent: AttrSent,
		mail.RoleDrafts: AttrDrafts, mail.RoleArchive: AttrArchive, mail.RoleJunk: AttrJunk,
		mail.RoleTrash: AttrTrash, mail.RoleAll: AttrAll, mail.RoleFlagged: AttrFlagged} {
		if got := RoleAttr(role); got != want {
			t.Errorf("%s: %s", role, got)
		}
	}
}

// TestLongSearch: a long response is written in pieces and nothing of it is kept.
func TestLongSearch(t *testing.T) {
	var b bytes.Buffer
	e := NewEncoder(&b)
	e.Search(func(yield func(Num) bool) {
		for n := Num(1); n <= 100_000 && yield(n); n++ {
		}
	})
	if fields := strings.Fields(b.String()); len(fields) != 100_002 || fields[100_001] != "100000" {
		t.Errorf("%d fields", len(fields))
	}
	if cap(e.b) > 2*keepScratch {
		t.Errorf("keeps %d octets", cap(e.b))
	}
}

func TestEncoderDropsLargeScratch(t *testing.T) {
	e := NewEncoder(&bytes.Buffer{})
	f := e.Fetch(1)
	f.Literal(FetchItem{Kind: FetchBody, Section: Section{Text: SectionHeaderFields, Fields: []string{strings.Repeat("x", 1<<20)}}}, 0, false)
	f.End()
	if cap(e.b) > 2*keepScratch {
		t.Errorf("keeps %d octets", cap(e.b))
	}
}

// TestLargeEnvelope: a long answer is not held whole, and comes out whole.
func TestLargeEnvelope(t *testing.T) {
	env := &message.Envelope{Subject: bytes.Repeat([]byte("x"), 300_000), To: slices.Repeat([]message.MailAddress{addr("A", "b", "c")}, 4000)}
	form := formOf(t, &message.Message{Envelope: env, Root: textPart(1, 1)})
	var b bytes.Buffer
	e := NewEncoder(&b)
	f := e.Fetch(1)
	f.UID(2)
	f.Envelope(form)
	f.BodyStructure(form)
	if cap(e.b) > 4*keepScratch {
		t.Errorf("%d octets are held", cap(e.b))
	}
	f.Size(3)
	f.End()
	_, structure, _ := texts(t, &message.Message{Envelope: env, Root: textPart(1, 1)})
	want := "* 1 FETCH (UID 2 ENVELOPE (NIL {300000}\r\n" + string(env.Subject) + " NIL NIL NIL (" + strings.Repeat(`("A" NIL "b" "c")`, 4000) +
		") NIL NIL NIL NIL) BODYSTRUCTURE " + string(structure) + " RFC822.SIZE 3)\r\n"
	if b.String() != want {
		t.Errorf("got %.60q", b.String())
	}
}

type broken struct{ calls int }

var errBroken = errors.New("broken")

func (b *broken) Write([]byte) (int, error) { b.calls++; return 0, errBroken }

func (b *broken) WriteString(string) (int, error) { b.calls++; return 0, errBroken }

func TestEncoderErrorSticks(t *testing.T) {
	w := &broken{}
	e := NewEncoder(w)
	e.Exists(1)
	e.Expunge(1)
	if _, err := e.Write([]byte("x")); err != errBroken || e.Err() != errBroken || w.calls != 1 {
		t.Errorf("err %v after %d calls", e.Err(), w.calls)
	}
}

// pieces notes what each Write brings.
type pieces []string

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, string(b))
	return len(b), nil
}

func (p *pieces) WriteString(s string) (int, error) { return p.Write([]byte(s)) }

// What is gathered is the same as what is not, in fewer pieces.
func TestGather(t *testing.T) {
	say := func(e *Encoder) {
		for i := range 200 {
			f := e.Fetch(uint32(i + 1))
			f.UID(mail.UID(i))
			f.Literal(FetchItem{Kind: FetchBody}, int64(50*i), false)
			_, _ = e.Write(bytes.Repeat([]byte{'x'}, 50*i))
			f.Envelope(formOf(t, &message.Message{Envelope: &message.Envelope{Subject: bytes.Repeat([]byte{'e'}, 40*i)}, Root: textPart(1, 1)}))
			f.End()
		}
	}
	var apart, together pieces
	say(NewEncoder(&apart))
	e := NewEncoder(&together)
	e.Exists(7)
	before := len(together)
	e.Gather(make([]byte, 0, 64<<10))
	say(e)
	e.Scatter()
	if got := strings.Join(together[before:], ""); got != strings.Join(apart, "") {
		t.Error("gathering changes what is written")
	}
	if few := len(strings.Join(apart, ""))/(32<<10) + 2; len(together) > few {
		t.Errorf("%d pieces, want at most %d", len(together), few)
	}
	e.Exists(8)
	if got := together[len(together)-1]; got != "* 8 EXISTS\r\n" {
		t.Errorf("after Scatter: %q", got)
	}
}
