package dsn

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"yubin/internal/mail"
	"yubin/internal/message"
)

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Report, *Options){
		"null reverse-path": func(r *Report, o *Options) { o.To = mail.ReversePath{} },
		"no From":           func(r *Report, o *Options) { o.From = mail.Address{} },
		"short ID":          func(r *Report, o *Options) { o.ID = "short" },
		"long ID":           func(r *Report, o *Options) { o.ID = strings.Repeat("a", MaxID+1) },
		"ID with a quote":   func(r *Report, o *Options) { o.ID = `0123456789"abcdef` },
		"no recipient":      func(r *Report, o *Options) { r.Recipients = nil },
		"no reporting MTA":  func(r *Report, o *Options) { r.ReportingMTA = MTA{} },
		"no action":         func(r *Report, o *Options) { r.Recipients[0].Action = 0 },
		"no status":         func(r *Report, o *Options) { r.Recipients[0].Status = Status{} },
		"no final":          func(r *Report, o *Options) { r.Recipients[0].Final = TypedAddress{} },
		"unknown language":  func(r *Report, o *Options) { o.Languages = []Language{languages} },
	} {
		r, o := report(refused(t)), options(t)
		change(&r, &o)
		if _, err := New(r, o); err == nil || mail.KindOf(err) != mail.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBrokenOriginal(t *testing.T) {
	broken := errors.New("broken")
	o := options(t)
	o.Original = iotest.ErrReader(broken)
	if _, err := New(report(refused(t)), o); !errors.Is(err, broken) {
		t.Errorf("header: %v", err)
	}
	o.Original = io.MultiReader(strings.NewReader(letter+strings.Repeat("x", 100<<10)), iotest.ErrReader(broken))
	m, err := New(report(refused(t)), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = m.WriteTo(io.Discard); !errors.Is(err, broken) {
		t.Errorf("body: %v", err)
	}
}

type full struct{ after int }

func (f *full) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	for after := range 3 {
		m, err := New(report(refused(t)), options(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.WriteTo(&full{after}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("after %d writes: %v", after, err)
		}
	}
}

// TestThirdPart is what of which original is returned, and how.
func TestThirdPart(t *testing.T) {
	unicode := strings.Replace(letter, "Lunch", "お昼", 1)
	body8 := strings.Replace(letter, "Shall we?", "いかが？", 1)
	long := strings.Replace(letter, "Friday", strings.Repeat("Friday", 300), 1)
	for _, test := range []struct {
		name           string
		original       string
		change         func(*Options)
		kind, encoding string
		body           mail.Body
		utf8           bool
		whole          bool
	}{
		{"plain", letter, func(o *Options) {}, "message/rfc822", "", mail.Body7Bit, false, true},
		{"headers asked", letter, func(o *Options) { o.Ret = mail.RetHeaders }, "text/rfc822-headers", "", mail.Body7Bit, false, false},
		{"8bit", body8, func(o *Options) { o.Body = mail.Body8BitMIME }, "message/rfc822", "8bit", mail.Body8BitMIME, false, true},
		{"8bit over 7bit", body8, func(o *Options) { o.Body, o.SevenBit = mail.Body8BitMIME, true }, "text/rfc822-headers", "", mail.Body7Bit, false, false},
		{"binary", letter, func(o *Options) { o.Body = mail.BodyBinaryMIME }, "text/rfc822-headers", "", mail.Body7Bit, false, false},
		{"raw header", unicode, func(o *Options) {}, "message/rfc822", "8bit", mail.Body8BitMIME, false, true},
		{"raw header alone", unicode, func(o *Options) { o.Ret = mail.RetHeaders }, "text/rfc822-headers", "quoted-printable", mail.Body7Bit, false, false},
		{"long header alone", long, func(o *Options) { o.Ret = mail.RetHeaders }, "text/rfc822-headers", "quoted-printable", mail.Body7Bit, false, false},
		{"SMTPUTF8", unicode, func(o *Options) { o.UTF8 = true }, "message/global", "8bit", mail.Body8BitMIME, true, true},
		{"SMTPUTF8 over 7bit", unicode, func(o *Options) { o.UTF8, o.SevenBit = true, true }, "message/global", "base64", mail.Body7Bit, false, true},
		{"SMTPUTF8 header", unicode, func(o *Options) { o.UTF8, o.Ret = true, mail.RetHeaders }, "message/global-headers", "8bit", mail.Body8BitMIME, true, false},
		{"SMTPUTF8 header over 7bit", unicode, func(o *Options) { o.UTF8, o.SevenBit, o.Ret = true, true, mail.RetHeaders }, "message/global-headers", "quoted-printable", mail.Body7Bit, false, false},
		{"SMTPUTF8 for the address only", letter, func(o *Options) { o.UTF8, o.Ret = true, mail.RetHeaders }, "text/rfc822-headers", "", mail.Body7Bit, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options(t)
			o.Original = strings.NewReader(test.original)
			test.change(&o)
			m, b := write(t, report(refused(t)), o)
			e := m.Envelope()
			if e.Body != test.body || e.UTF8 != test.utf8 || !e.ReversePath.IsNull() || e.Recipients[0].Address != address(t, "alice@yubin.example") {
				t.Errorf("envelope %+v", e)
			}
			checkLines(t, b, e.Body == mail.Body8BitMIME)
			p := message.Parse(b).Root.Children[2]
			if kind := p.Type + "/" + p.Subtype; kind != test.kind || p.Encoding != test.encoding {
				t.Errorf("third part is %s in %q", kind, p.Encoding)
			}
			want := test.original
			if !test.whole {
				want, _, _ = strings.Cut(want, "\r\n\r\n")
				want += "\r\n"
			}
			if got := partText(t, b, p); got != want {
				t.Errorf("third part is %q", got)
			}
		})
	}
}

// TestUnicodeOverSevenBit: RFC 6533 §3 has a form of addresses for 7bit, and
// what a server answered is written alike.
func TestUnicodeOverSevenBit(t *testing.T) {
	r := report(refused(t))
	r.Recipients[0].Final = typed(t, "郵便@例え.テスト")
	r.Recipients[0].Diagnostic = SMTP("550 5.1.1 宛先不明 <x>")
	o := options(t)
	o.SevenBit = true
	m, b := write(t, r, o)
	if e := m.Envelope(); e.Body != mail.Body7Bit || e.UTF8 {
		t.Errorf("envelope %+v", e)
	}
	checkLines(t, b, false)
	for _, want := range []string{"message/delivery-status\r\n", "Final-Recipient: utf-8;\r\n \\x{90F5}\\x{4FBF}@\\x{4F8B}", `550 5.1.1 \x{5B9B}\x{5148}`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in %s", want, b)
		}
	}
	if got, ok := Parse(b); !ok || got.Recipients[0].Final != r.Recipients[0].Final || got.Recipients[0].Diagnostic != r.Recipients[0].Diagnostic {
		t.Errorf("read back as %+v", got)
	}
}

// TestBackslashInUnicode: an address that looks like its own encoding comes
// back as it was (RFC 6533 §3).
func TestBackslashInUnicode(t *testing.T) {
	r := report(refused(t))
	r.Recipients[0].Final = TypedAddress{"utf-8", `é\x{2B}@example.com`}
	_, b := write(t, r, options(t))
	if got, _ := Parse(b); got.Recipients[0].Final != r.Recipients[0].Final {
		t.Errorf("read back as %q", got.Recipients[0].Final)
	}
}

// TestOddMessageIDs: only what can stand in any header is referred to.
func TestOddMessageIDs(t *testing.T) {
	for id, named := range map[string]bool{"a@b": true, "é@b": false, "": false} {
		o := options(t)
		o.Original = strings.NewReader("Message-ID: <" + id + ">\r\n\r\n")
		_, b := write(t, report(refused(t)), o)
		header, _, _ := bytes.Cut(b, []byte("\r\n\r\n"))
		if !isASCII(header) || bytes.Contains(header, []byte("\r\nReferences: <"+id+">\r\n")) != named {
			t.Errorf("message-id %q: %s", id, header)
		}
	}
}

// TestHostileWords: whatever others wrote, it starts no field, no part and no
// line of its own.
func TestHostileWords(t *testing.T) {
	evil := "x\r\nBcc: victim@example.org\r\n\r\n--=_" + testID + "\r\n\x00\x1b[2J\u202e\u2028\xff"
	r := report(refused(t))
	p := &r.Recipients[0]
	p.Original, p.Final = TypedAddress{"a b\r\nX", evil}, TypedAddress{"rfc822", evil}
	p.RemoteMTA, p.FinalLogID = MTA{"dns", evil}, evil
	p.Diagnostic = Diagnostic{"smtp", "550-" + evil + strings.Repeat("\n550-y", 5000) + strings.Repeat("z", 5000)}
	r.EnvelopeID = EnvelopeID(evil)
	o := options(t)
	o.Original = strings.NewReader("Subject: =?utf-8?q?a=0D=0ABcc:_b?=\r\nMessage-ID: <a b(c@d>\r\nDate: Mon, 4 Jan 2027 08:59:58 +0900\r\n\r\n")
	_, b := write(t, r, o)
	checkLines(t, b, false)
	root := message.Parse(b).Root
	if len(root.Children) != 3 {
		t.Fatalf("%d parts", len(root.Children))
	}
	text := partText(t, b, root.Children[0])
	if strings.Contains(string(b), "\r\nBcc:") || strings.Contains(text, "\nBcc:") || strings.ContainsAny(text, "\x00\x1b\u202e") {
		t.Errorf("words got out: %s", b)
	}
	if len(b) > 20<<10 {
		t.Errorf("%d octets", len(b))
	}
	if got, ok := Parse(b); !ok || len(got.Recipients) != 1 || len(got.Recipients[0].Diagnostic.Text) > MaxDiagnostic {
		t.Errorf("read back as %+v", got)
	}
}

// letters are octets without end and without a line end.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// TestStreams returns an original of 30 MiB without having it in memory, and
// looks at no more of an endless header than it may.
func TestStreams(t *testing.T) {
	const size = 30 << 20
	o := options(t)
	o.UTF8, o.SevenBit = true, true // base64 costs most
	o.Original = io.MultiReader(strings.NewReader(letter), io.LimitReader(letters{}, size))
	m, err := New(report(refused(t)), o)
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(1, func() {
		if _, err := m.WriteTo(io.Discard); err != nil {
			t.Error(err)
		}
	})
	if allocs > 1000 {
		t.Errorf("%v allocations", allocs)
	}

	o = options(t)
	o.Ret = mail.RetHeaders
	o.Original = io.MultiReader(strings.NewReader("Subject: a\r\nX: "), letters{})
	_, b := write(t, report(refused(t)), o)
	if p := message.Parse(b).Root.Children[2]; partText(t, b, p) != "Subject: a\r\n" {
		t.Errorf("the endless header is returned as %.100q", partText(t, b, p))
	}
	o.Ret = mail.RetFull
	o.Original = io.LimitReader(io.MultiReader(strings.NewReader("Subject: a\r\nX: "), letters{}), 2*MaxHeader)
	_, b = write(t, report(refused(t)), o)
	if n := len(thirdPart(b)); n != 2*MaxHeader {
		t.Errorf("of a long header %d octets are returned", n)
	}
}

// TestHeaderAlone: who wants the header back gets no text, though no empty line
// stands between.
func TestHeaderAlone(t *testing.T) {
	for original, want := range map[string]string{
		"Subject: a\r\n\r\ntext\r\n":                  "Subject: a\r\n",
		"Subject: a\r\nstray\r\nX: y\r\n\r\ntext\r\n": "Subject: a\r\nstray\r\nX: y\r\n",
		"Subject: a\r\ntext at once\r\nmore\r\n":      "Subject: a\r\n",
	} {
		o := options(t)
		o.Ret, o.Original = mail.RetHeaders, strings.NewReader(original)
		_, b := write(t, report(refused(t)), o)
		if got := partText(t, b, message.Parse(b).Root.Children[2]); got != want {
			t.Errorf("of %q is returned %q, want %q", original, got, want)
		}
	}
}

// thirdPart cuts the third part's body out of a message by its delimiters.
func thirdPart(b []byte) []byte {
	_, part, _ := bytes.Cut(b, []byte("Content-Type: message/rfc822\r\n\r\n"))
	body, _ := bytes.CutSuffix(part, []byte("\r\n--=_"+testID+"--\r\n"))
	return body
}

// TestOddOriginals: an original is returned to the octet, whatever its lines.
func TestOddOriginals(t *testing.T) {
	for _, original := range []string{"", "\r\n", "a", "Subject: x", "Subject: x\n\nbody\n", "\r\n\r\nbody", "Subject: x\r\n\r\n--a\r\n", "\r\nbody\r\n\r\n",
		"Subject: x\r\ntext without an empty line\r\n", "Disk is full\r\n\r\nbye\r\n"} {
		o := options(t)
		o.Original = strings.NewReader(original)
		_, b := write(t, report(refused(t)), o)
		if got := thirdPart(b); string(got) != original {
			t.Errorf("%q is returned as %q", original, got)
		}
	}
	o := options(t)
	o.Original = nil
	_, b := write(t, report(refused(t)), o)
	if root := message.Parse(b).Root; len(root.Children) != 2 || bytes.Contains(b, []byte("attached")) {
		t.Errorf("without an original: %s", b)
	}
}

// TestLongHeaderFields: our own header stays within 78 where it can.
func TestLongHeaderFields(t *testing.T) {
	for _, l := range []Language{English, Japanese} {
		o := options(t)
		o.Languages = []Language{l}
		o.Original = strings.NewReader("Subject: " + strings.Repeat("long words ", 100) + "\r\n\r\n")
		_, b := write(t, report(refused(t)), o)
		header, _, _ := bytes.Cut(b, []byte("\r\n\r\n"))
		for line := range bytes.Lines(header) {
			if len(line) > foldLine+2 {
				t.Errorf("header line %q", line)
			}
		}
		if subject := message.Parse(b).Subject; !strings.HasSuffix(subject, "…") || strings.Count(subject, "long words") < 9 {
			t.Errorf("subject %q", subject)
		}
	}
}

// TestLongWords: a word that fits on no line is broken.
func TestLongWords(t *testing.T) {
	word := strings.Repeat("é", 1200)
	got := string(appendField(nil, "X", "a "+word+" b"))
	checkLines(t, []byte(got), true)
	if back := strings.NewReplacer("\r\n a", " a", "\r\n b", " b", "\r\n ", "").Replace(got); !strings.Contains(back, word+" b") {
		t.Errorf("%q", got)
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"short", "  short\r\n"},
		{strings.Repeat("word ", 20) + "end", "  " + strings.TrimSpace(strings.Repeat("word ", 14)) + "\r\n  " + strings.Repeat("word ", 6) + "end\r\n"},
		{strings.Repeat("x", 100) + " y", "  " + strings.Repeat("x", 100) + "\r\n  y\r\n"},
		{strings.Repeat("あ", 34) + "、い", "  " + strings.Repeat("あ", 34) + "、\r\n  い\r\n"},
		{strings.Repeat("あ", 35) + "、い", "  " + strings.Repeat("あ", 34) + "\r\n  あ、い\r\n"},
	} {
		if got := string(appendWrapped(nil, "  ", test.text)); got != test.want {
			t.Errorf("%q is wrapped as %q, want %q", test.text, got, test.want)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	r := report(refused(b), late(b))
	for b.Loop() {
		m, err := New(r, options(b))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
