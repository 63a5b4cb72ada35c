package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// The command lines of programs that are there.
func TestSendmailFlags(t *testing.T) {
	for line, want := range map[string]string{
		"-t -i":                                "t i",
		"-ti":                                  "t i",
		"-oi -t":                               "t i",
		"-i -FCronDaemon -B8BITMIME -oem root": "i F=CronDaemon [root]", // cron
		"-t -i -fwww@example.org":              "t i f=www@example.org", // PHP
		"-oem -oi -f alice@x.test -- bob@y.test,carl": "i f=alice@x.test [bob@y.test carl]", // mutt
		"-i -f a@x.test b@y.test c@z.test":            "i f=a@x.test [b@y.test c@z.test]",   // git send-email
		"-i root":                                     "i [root]",                           // bsd-mailx
		"-r daemon -oi -odb -om -odi a@b.test":        "i f=daemon [a@b.test]",
		"-f  a@b.test":                                "f= [a@b.test]",
		"-f <> -N never -R hdrs -V id a@b.test":       "f=<> N=NEVER R=HDRS V=id [a@b.test]",
		"-N delay,failure -v a@b.test":                "N=DELAY,FAILURE v [a@b.test]",
		"-bs":                                         "mode=1",
		"-bp":                                         "mode=2",
		"-bi":                                         "mode=3",
		"-q":                                          "mode=4",
		"-q30m":                                       "mode=4",
		"-O Timeout=1m -ov -G -U -n -m -L tag a@b.test": "v [a@b.test]",
		"-C/etc/other.toml a@b.test":                    "C=/etc/other.toml [a@b.test]",
		"a@b.test -i -- -x":                             "i [a@b.test -x]",
		"--":                                            "error 64",
		"-f":                                            "error 64",
		"-bd":                                           "error 64",
		"-bv a":                                         "error 64",
		"-Z a":                                          "error 64",
		"-N sometimes a":                                "error 64",
		"-N never,delay a":                              "error 64",
		"-R some a":                                     "error 64",
		"@":                                             "error 64",
		"--help":                                        "mode=5",
	} {
		if got := flagWords(parseSendmail("sendmail", words(line))); got != want {
			t.Errorf("sendmail %s: %s, want %s", line, got, want)
		}
	}
	if got := flagWords(parseSendmail("mailq", nil)); got != "mode=2" {
		t.Errorf("mailq: %s", got)
	}
	if got := flagWords(parseSendmail("newaliases", nil)); got != "mode=3" {
		t.Errorf("newaliases: %s", got)
	}
}

// words are those of a line; two spaces stand around an empty one.
func words(line string) []string {
	if line == "" {
		return nil
	}
	return strings.Split(line, " ")
}

func flagWords(o sendmailOptions, err error) string {
	var code *exitCode
	if errors.As(err, &code) {
		return fmt.Sprintf("error %d", code.code)
	}
	var list []string
	add := func(when bool, word string) {
		if when {
			list = append(list, word)
		}
	}
	add(o.mode != modeMessage, fmt.Sprintf("mode=%d", o.mode))
	add(o.fromHeader, "t")
	add(o.dots, "i")
	add(o.hasSender, "f="+o.sender)
	add(o.fullName != "", "F="+o.fullName)
	add(o.notify != "", "N="+o.notify)
	add(o.ret != "", "R="+o.ret)
	add(o.envID != "", "V="+o.envID)
	add(o.verbose, "v")
	add(o.config != "", "C="+o.config)
	add(len(o.recipients) > 0, fmt.Sprint(o.recipients))
	return strings.Join(list, " ")
}

// A message becomes what stands after DATA, however its lines end and however it comes.
func TestLetter(t *testing.T) {
	for _, c := range []struct {
		in   string
		dots bool
		want string
	}{
		{"Subject: x\n\nhello\n", false, "Subject: x\r\n\r\nhello\r\n.\r\n"},
		{"Subject: x\r\n\r\nhello", false, "Subject: x\r\n\r\nhello\r\n.\r\n"},
		{"Subject: x\n\n.hello\n.\nmore\n", false, "Subject: x\r\n\r\n..hello\r\n.\r\n"},
		{"Subject: x\n\n.hello\n.\nmore\n", true, "Subject: x\r\n\r\n..hello\r\n..\r\nmore\r\n.\r\n"},
		{"Subject: x\n\na\n.", false, "Subject: x\r\n\r\na\r\n.\r\n"},
		{"Subject: x\n\na\n.", true, "Subject: x\r\n\r\na\r\n..\r\n.\r\n"},
		{"From alice Mon Jan  2\nSubject: x\n\nFrom here\n", false, "Subject: x\r\n\r\nFrom here\r\n.\r\n"},
		{"no header\n", false, "\r\nno header\r\n.\r\n"},
		{"To: a\nno line between\n", false, "To: a\r\n\r\nno line between\r\n.\r\n"},
		{"To: a,\n b\n\nx\n", false, "To: a,\r\n b\r\n\r\nx\r\n.\r\n"},
		{"To: a\n\n10%\r20%\rdone\r\r\n", false, "To: a\r\n\r\n10%\r\n20%\r\ndone\r\n\r\n.\r\n"},
		{"Subject: x\nstray\nBcc: a@b.test\n\nhello\n", false, "Subject: x\r\nstray\r\nBcc: a@b.test\r\n\r\nhello\r\n.\r\n"},
		{"Subject: x\nFrom a Mon Jan  2\nBcc: a@b.test\n\nhello\n", false, "Subject: x\r\nFrom a Mon Jan  2\r\nBcc: a@b.test\r\n\r\nhello\r\n.\r\n"},
		{"a stray line\nFrom: a@b.test\n\nhello\n", false, "a stray line\r\nFrom: a@b.test\r\n\r\nhello\r\n.\r\n"},
		{"Disk is full\nplease look\n\nbye\n", false, "\r\nDisk is full\r\nplease look\r\n\r\nbye\r\n.\r\n"},
		{"From " + strings.Repeat("x", 100_000) + "\nA: b\n\ny\n", false, "A: b\r\n\r\ny\r\n.\r\n"},
		{strings.Repeat("x", 300_000) + "\nA: b\n\ny\n", false, "\r\n" + strings.Repeat("x", 300_000) + "\r\nA: b\r\n\r\ny\r\n.\r\n"},
		{"", false, "\r\n.\r\n"},
		{"\n\n\n", false, "\r\n\r\n\r\n.\r\n"},
		{".\n", false, "\r\n.\r\n"},
		{"A: b", false, "A: b\r\n\r\n.\r\n"},
		{"A: b\n\n" + strings.Repeat("x", 200_000) + "\n.y", false, "A: b\r\n\r\n" + strings.Repeat("x", 200_000) + "\r\n..y\r\n.\r\n"},
	} {
		for _, slow := range []bool{false, true} {
			r := bytes.NewReader([]byte(c.in))
			l, err := readLetter(r, c.dots)
			if slow {
				r.Reset([]byte(c.in))
				l, err = readLetter(iotest.OneByteReader(r), c.dots)
			}
			if err != nil {
				t.Fatalf("%.40q: %v", c.in, err)
			}
			var out bytes.Buffer
			if err := l.writeTo(&out); err != nil || out.String() != c.want {
				t.Errorf("%.60q, dots %v: %.80q, %v, want %.80q", c.in, c.dots, out.String(), err, c.want)
			}
			l.close()
		}
	}
}

// A large message does not stay in memory, and leaves no file.
func TestLargeLetter(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	body := strings.Repeat("a line of thirty octets or so.\n", 100_000)
	l, err := readLetter(strings.NewReader("A: b\n\n"+body), false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if l.file == nil || l.memory.Len() > maxLetterMemory {
		t.Errorf("%d octets are in memory", l.memory.Len())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a file has a name: %v, %v", left, err)
	}
	var out bytes.Buffer
	if err := l.writeTo(&out); err != nil || out.String() != "A: b\r\n\r\n"+strings.ReplaceAll(body, "\n", "\r\n")+".\r\n" {
		t.Errorf("%d octets came back, %v", out.Len(), err)
	}
}

func TestLetterLimits(t *testing.T) {
	var code *exitCode
	if _, err := readLetter(strings.NewReader("A: "+strings.Repeat("x", maxLetterHeader)+"\n\n"), false); !errors.As(err, &code) || code.code != exDataErr {
		t.Errorf("an endless header: %v", err)
	}
	if _, err := readLetter(iotest.ErrReader(errors.New("gone")), false); !errors.As(err, &code) || code.code != exIOErr {
		t.Errorf("an input that breaks: %v", err)
	}
}

func TestLetterRecipients(t *testing.T) {
	for in, want := range map[string]string{
		"To: a@x.test, Bob <bob>\nCc: (none)\nBcc: friends: c@x.test, \"D, E\" <d@x.test>;\nX-To: no@x.test\n": "[a@x.test bob c@x.test d@x.test]",
		"Resent-To: r@x.test\nResent-To: old@x.test\nTo: a@x.test\n":                                           "[r@x.test]",
		"To: undisclosed-recipients:;\n":                                                                       "[]",
		"Subject: x\nstray\nTo: a@x.test\nX: y\nFrom x Mon\nBcc: b@x.test\n":                                   "[a@x.test b@x.test]",
		"To: Bob Builder\n":    "error 65",
		"To: \"a b\"@x.test\n": `["a b"@x.test]`,
		"To: a@x..test\n":      "error 65",
	} {
		l, err := readLetter(strings.NewReader(in+"\n"), false)
		if err != nil {
			t.Fatal(err)
		}
		list, err := l.recipients()
		got := fmt.Sprint(list)
		if code := (*exitCode)(nil); errors.As(err, &code) {
			got = fmt.Sprintf("error %d", code.code)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestLetterFrom(t *testing.T) {
	for name, want := range map[string]string{
		"Cron Daemon":    `From: "Cron Daemon" <a@x.test>`,
		`a "b" \`:        `From: "a \"b\" \\" <a@x.test>`,
		"Ünal":           `From: =?utf-8?q?=C3=9Cnal?= <a@x.test>`,
		"x\r\nBcc: evil": `From: "x  Bcc: evil" <a@x.test>`,
	} {
		l := &letter{header: []byte("To: b\r\n")}
		l.addFrom(name, "a@x.test")
		if got := string(l.header); got != want+"\r\nTo: b\r\n" {
			t.Errorf("%q: %q", name, got)
		}
	}
	l, err := readLetter(strings.NewReader(" a stray line\nTo: b\n\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	if l.addFrom("Y", "y@x.test"); string(l.header) != "From: \"Y\" <y@x.test>\r\nX-Stray-Line:  a stray line\r\nTo: b\r\n" {
		t.Errorf("before a stray line: %q", l.header)
	}
	l = &letter{header: []byte("From: x\r\n")}
	if l.addFrom("Y", "y@x.test"); string(l.header) != "From: x\r\n" {
		t.Errorf("a second From: %q", l.header)
	}
}

func TestLineEnds(t *testing.T) {
	var out bytes.Buffer
	l := &lineEnds{w: &out}
	for _, s := range []string{"a\n", "b\r", "\nc\r\n", "\n"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if out.String() != "a\r\nb\r\nc\r\n\r\n" {
		t.Errorf("%q", out.String())
	}
}
