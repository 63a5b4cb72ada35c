package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/mailgen"
)

// sample is a message of the archive and how it came.
type sample struct {
	mailgen.Message
	sender string // of the envelope: no other sample has it
}

// reading is what a server answers about a message: from "envelope subject",
// "1.2 encoding" or "BODY[1.MIME]" to a value.
type reading map[string]string

// strange are the kinds of which there are several shapes.
var strange = regexp.MustCompile("^(broken-.*|parameters)$")

// alikeSample is one message of each kind and some at random, smaller than most.
func alikeSample() (all []sample) {
	for g := mailgen.New(11, false); len(all) < mailgen.Kinds()+140; {
		if m := g.Next(); len(all) < mailgen.Kinds()+30 || strange.MatchString(m.Kind) {
			all = append(all, sample{m, fmt.Sprintf("s%d@senders.test", len(all))})
		}
	}
	return all
}

// TestPeerAlike: what yubin keeps, relays by LMTP to Dovecot and forwards through
// Postfix to Dovecot reads there as it does here, and so does what both were
// given by APPEND, by IMAP and by POP3. Only the differences of the table differ.
func TestPeerAlike(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	d := n.startDovecot()
	n.startPostfix(func(c *postfix) { c.Transport = "lmtp:inet:[" + d.address() + "]:24" })
	o := n.open("mx.first.test")
	o.must("", "route", "set", "lmtp", "--to", d.domain(), "--lmtp", d.host, "--relay")
	o.must("", "alias", "add", "forwarded@first.test", "passed@postfix.test")
	archive := alikeSample()
	send(t, o, archive, "alice@first.test", "friend@dovecot.test", "forwarded@first.test")
	y := &tally{t, make([]int, len(differences)), map[string]int{}}

	ours, theirs := newMover(t, o.at, o.imap, o.person("bob"), password), newMover(t, d.address(), 143, "other@dovecot.test", secret)
	appended := slices.Clone(archive)
	for g := mailgen.New(12, false); len(appended) < len(archive)+3*mailgen.ExactKinds(); {
		appended = append(appended, sample{Message: g.NextExact()})
	}
	compareAppended(y, reader{ours}, reader{theirs}, appended)
	comparePOP3(y, popReader(t, o.at, o.port(portPOP3), o.person("bob"), password), popReader(t, d.address(), 110, "other@dovecot.test", secret), appended)

	ours = newMover(t, o.at, o.imap, o.person("alice"), password)
	kept := reader{ours}.arrived(archive)
	for how, user := range map[string]string{"relayed": "friend@dovecot.test", "forwarded": "passed@postfix.test"} {
		theirs := reader{newMover(t, d.address(), 143, user, secret)}
		got := theirs.arrived(archive)
		for _, s := range archive {
			a, b := reader{ours}.read(kept[s.sender]), theirs.read(got[s.sender])
			untrace(s, a, b)
			y.compare(s, how, a, b)
		}
	}
	y.finish()
}

// compareAppended gives both the same octets.
func compareAppended(y *tally, ours, theirs reader, all []sample) {
	y.t.Helper()
	for _, r := range []reader{ours, theirs} {
		for _, s := range all {
			if _, err := r.Append("INBOX", "", s.Octets); err != nil {
				y.t.Fatalf("APPEND of %s: %v", s.Kind, err)
			}
		}
		r.do(nil, "EXAMINE INBOX")
	}
	for i, s := range all {
		a, b := ours.read(strconv.Itoa(i+1)), theirs.read(strconv.Itoa(i+1))
		for _, r := range []reading{a, b} {
			if r["BODY[]"] != r["BODY[HEADER]"]+r["BODY[TEXT]"] {
				y.t.Errorf("%s: BODY[] is not HEADER and TEXT", s.Kind)
			}
		}
		y.compare(s, "appended", a, b)
	}
	for _, key := range searchKeys(all) {
		a, b := ours.search(key), theirs.search(key)
		for i, s := range all {
			name := "SEARCH " + key
			y.compare(s, "appended", reading{name: strconv.FormatBool(a[i+1])}, reading{name: strconv.FormatBool(b[i+1])})
		}
	}
}

// searchKeys are the words of the archive in all charsets, and what stands in
// headers and encodings.
func searchKeys(all []sample) (keys []string) {
	quote := func(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }
	for _, s := range all {
		if key := "BODY " + quote(s.Phrase); s.Phrase != "" && !slices.Contains(keys, key) {
			keys = append(keys, key, "SUBJECT "+quote(s.Phrase))
		}
	}
	return append(keys, `BODY "quarterly numbers"`, `TEXT "quarterly"`, `SUBJECT "q3 NUMBERS"`, `FROM "mller"`, "FROM "+quote("Jörg Müller"), `TO "frank@example"`,
		`HEADER Received "postfix"`, `HEADER X-Spam-Report ""`, `HEADER Message-ID "WIN-7"`, `TEXT "hidden@example.org"`, `BODY "multi-part message"`, "TEXT "+quote("Grüße"),
		`SUBJECT "second"`, `SUBJECT "stray line"`, `BODY "disk is full"`, "SENTSINCE 1-Jun-1998", "LARGER 3000", "SMALLER 300")
}

// search returns the numbers of the messages that key finds.
func (r reader) search(key string) map[int]bool {
	r.t.Helper()
	found := map[int]bool{}
	r.do(func(a mailclient.Response) {
		if list, ok := strings.CutPrefix(a.Text, "* SEARCH"); ok {
			for _, n := range strings.Fields(list) {
				i, err := strconv.Atoi(n)
				if err != nil {
					r.t.Fatal(a.Text)
				}
				found[i] = true
			}
		}
	}, "SEARCH CHARSET UTF-8 %s", key)
	return found
}

// popReader logs in by POP3.
func popReader(t testing.TB, host string, port int, user, password string) *mailclient.Conn {
	t.Helper()
	c, err := mailclient.Dial(host, port, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Line()
	for _, command := range []string{"USER " + user, "PASS " + password} {
		if err == nil {
			_, err = c.POP3("%s", command)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// comparePOP3 compares what both tell and send by POP3.
func comparePOP3(y *tally, ours, theirs *mailclient.Conn, all []sample) {
	var sums [2]int
	for i, s := range all {
		var readings [2]reading
		for k, c := range []*mailclient.Conn{ours, theirs} {
			list, err := c.POP3("LIST %d", i+1)
			if err != nil {
				y.t.Fatal(err)
			}
			r := reading{"LIST": list[strings.LastIndexByte(list, ' ')+1:]}
			for _, command := range []string{"RETR %d", "TOP %d 0", "TOP %d 2"} {
				if _, err := c.POP3(command, i+1); err != nil {
					y.t.Fatal(err)
				}
				r["POP3 "+strings.Replace(command, " %d", "", 1)] = multiline(y.t, c)
			}
			sums[k] += number(r["LIST"])
			if got := len(r["POP3 RETR"]); c == ours && got != number(r["LIST"]) {
				y.t.Errorf("%s: LIST says %s, RETR gives %d octets", s.Kind, r["LIST"], got)
			}
			readings[k] = r
		}
		y.compare(s, "appended", readings[0], readings[1])
	}
	for k, c := range []*mailclient.Conn{ours, theirs} {
		stat, err := c.POP3("STAT")
		if want := fmt.Sprintf("+OK %d %d", len(all), sums[k]); err != nil || stat != want {
			y.t.Errorf("STAT is %q, %v; LIST says %q", stat, err, want)
		}
	}
}

// multiline reads a multi-line response (RFC 1939 §3).
func multiline(t testing.TB, c *mailclient.Conn) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := c.R.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// send hands the archive over by SMTP, each message to all of these.
func send(t *testing.T, o *office, archive []sample, to ...string) {
	t.Helper()
	c, err := mailclient.Dial(o.at, o.mail, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := ask(c, "220", ""); err != nil {
		t.Fatal(err)
	}
	if err := ask(c, "250", "EHLO archive.test"); err != nil {
		t.Fatal(err)
	}
	for _, s := range archive {
		l := letter{from: s.sender, to: to, options: " BODY=8BITMIME", octets: s.Octets}
		if err := l.give(c); err != nil {
			t.Fatalf("%s: %v", s.Kind, err)
		}
	}
}

// reader reads a mailbox by IMAP.
type reader struct{ *mover }

// arrived waits until INBOX has the archive, and returns their UIDs by the sender of
// their envelopes.
func (r reader) arrived(archive []sample) map[string]string {
	r.t.Helper()
	all := map[string]string{}
	eventually(r.t, func() error {
		clear(all)
		r.do(nil, "EXAMINE INBOX")
		r.do(func(a mailclient.Response) {
			if len(a.Literals) == 0 || !strings.Contains(a.Text, " FETCH ") {
				return
			}
			path, _, _ := strings.Cut(strings.TrimPrefix(string(a.Literals[0]), "Return-Path: <"), ">")
			if parts := strings.Split(path, "="); len(parts) == 5 && parts[0] == "SRS0" { // Forwarded: of whom it was.
				local, _, _ := strings.Cut(parts[4], "@")
				path = local + "@" + parts[3]
			}
			_, uid, _ := strings.Cut(a.Text, "UID ")
			uid, _, _ = strings.Cut(uid, " ")
			all[path] = strings.TrimRight(uid, ")")
		}, "UID FETCH 1:* BODY.PEEK[HEADER]<0.200>")
		for _, s := range archive {
			if all[s.sender] == "" {
				return fmt.Errorf("%d messages of %d arrived, not %s, which is %s: %.200q", len(all), len(archive), s.sender, s.Kind, s.Octets)
			}
		}
		return nil
	})
	return all
}

// read asks for all that can be asked about a message.
func (r reader) read(uid string) reading {
	r.t.Helper()
	got := reading{}
	var paths []string
	r.do(func(a mailclient.Response) { paths = got.take(r.t, a) }, "UID FETCH %s (RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])", uid)
	for some := range slices.Chunk(paths, 60) {
		r.do(func(a mailclient.Response) { got.take(r.t, a) }, "UID FETCH %s (BODY.PEEK[%s])", uid, strings.Join(some, "] BODY.PEEK["))
	}
	return got
}

// take adds what a FETCH response says, and returns the sections of the parts that
// a BODYSTRUCTURE has.
func (g reading) take(t testing.TB, a mailclient.Response) (sections []string) {
	t.Helper()
	_, text, ok := strings.Cut(a.Text, " FETCH ")
	if !ok {
		return nil
	}
	list, err := readList(text, a.Literals)
	if err != nil || len(list.list)%2 != 0 {
		t.Fatalf("%v in %.300s", err, a.Text)
	}
	for i := 0; i < len(list.list); i += 2 {
		switch name, value := strings.ToUpper(list.list[i].text), list.list[i+1]; name {
		case "UID", "FLAGS", "MODSEQ":
		case "ENVELOPE":
			g.envelope("envelope ", value)
		case "BODYSTRUCTURE":
			sections = g.part("", value, true)
		default:
			g[name] = value.text
		}
	}
	return sections
}

var envelopeFields = []string{"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"}

func (g reading) envelope(prefix string, n node) {
	for i, name := range envelopeFields {
		if i < len(n.list) {
			g[prefix+name] = n.list[i].String()
		}
	}
}

// part takes a body of a BODYSTRUCTURE, and returns the sections that FETCH takes
// of it (RFC 9051 §6.4.5.1). Root is that of a message.
func (g reading) part(path string, n node, root bool) (sections []string) {
	name := func(item string) string { return "part " + cmpOr(path, "0") + " " + item }
	at := func(i int) node {
		if i < len(n.list) {
			return n.list[i]
		}
		return node{text: "nothing", leaf: true}
	}
	if len(n.list) == 0 {
		g[name("type")] = "nothing"
		return nil
	}
	if path != "" && !root {
		sections = append(sections, path, path+".MIME")
	}
	extension := 0
	if multi := !at(0).leaf; multi {
		children := 0
		for ; !at(children).leaf; children++ {
			sections = append(sections, g.part(join(path, children+1), at(children), false)...)
		}
		g[name("type")] = "multipart/" + strings.ToLower(at(children).text)
		g[name("params")] = params(at(children + 1))
		extension = children + 2
	} else {
		if root && path == "" {
			path = "1"
			sections = append(sections, path, path+".MIME")
		} else if root {
			sections = append(sections, path+".1", path+".1.MIME")
		}
		g[name("type")] = strings.ToLower(at(0).text + "/" + at(1).text)
		g[name("params")] = params(at(2))
		g[name("id")], g[name("description")] = at(3).text, at(4).text
		g[name("encoding")], g[name("octets")] = strings.ToLower(at(5).text), at(6).text
		extension = 7
		switch g[name("type")] {
		case "message/rfc822", "message/global":
			g.envelope(name(""), at(7))
			sections = append(sections, path+".HEADER", path+".TEXT")
			sections = append(sections, g.part(path, at(8), true)...)
			g[name("lines")] = at(9).text
			extension = 10
		default:
			if at(0).text != "" && strings.EqualFold(at(0).text, "text") {
				g[name("lines")] = at(7).text
				extension = 8
			}
		}
		g[name("md5")] = at(extension).text
		extension++
	}
	g[name("disposition")] = "NIL"
	if d := at(extension); !d.leaf && len(d.list) == 2 {
		g[name("disposition")] = strings.ToLower(d.list[0].text) + " " + params(d.list[1])
	}
	g[name("language")], g[name("location")] = at(extension+1).String(), at(extension+2).text
	return sections
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

// params renders parameters with their names in lower case, in their order (RFC
// 2045 §5.1: it is not significant).
func params(n node) string {
	var list []string
	for i := 0; i+1 < len(n.list); i += 2 {
		list = append(list, fmt.Sprintf("%s=%q", strings.ToLower(n.list[i].text), n.list[i+1].text))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// untrace takes what each server put before the message out of its answers. If a
// server on the way changed the message, trace fields are taken out of both.
func untrace(s sample, both ...reading) {
	changed := false
	for _, r := range both {
		changed = changed || !strings.HasSuffix(r["BODY[]"], string(s.Octets))
	}
	for _, r := range both {
		head := strings.TrimSuffix(r["BODY[]"], string(s.Octets))
		for _, item := range []string{"BODY[HEADER]", "BODY[1.MIME]"} {
			if value, ok := r[item]; ok && changed {
				r[item] = without(value, traceFields...)
			} else if ok {
				r[item] = strings.TrimPrefix(value, head)
			}
		}
		delete(r, "BODY[]")
		delete(r, "RFC822.SIZE")
	}
}

// without takes fields out of a header.
func without(header string, names ...string) string {
	var b strings.Builder
	drop := false
	for line := range strings.Lines(header) {
		if name, _, ok := strings.Cut(line, ":"); line[0] != ' ' && line[0] != '\t' {
			drop = ok && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
		}
		if !drop {
			b.WriteString(line)
		}
	}
	return b.String()
}

// tally compares, and counts which differences there were.
type tally struct {
	t      testing.TB
	used   []int          // of differences
	failed map[string]int // by kind and item: not all of a kind are told
}

func (y *tally) compare(s sample, how string, ours, theirs reading) {
	items := map[string]bool{}
	for _, r := range []reading{ours, theirs} {
		for item := range r {
			items[item] = true
		}
	}
	for item := range items {
		a, here := ours[item]
		b, there := theirs[item]
		if a == b && here == there {
			continue
		}
		class := classOf(item)
		row := slices.IndexFunc(differences, func(d difference) bool {
			return matches(d.how, how) && matches(d.kinds, s.Kind) && matches(d.items, class) && (d.but == nil || d.but(a, b))
		})
		if row >= 0 {
			y.used[row]++
			continue
		}
		key := how + " | " + s.Kind + " | " + class
		if y.failed[key]++; y.failed[key] <= 2 {
			y.t.Errorf("%s %s:\nyubin:   %.300q\nDovecot: %.300q", key, item, a, b)
		}
	}
}

var (
	partOf    = regexp.MustCompile(`^part [0-9.]+ `)
	sectionOf = regexp.MustCompile(`^BODY\[[0-9][0-9.]*?(\.[A-Z]+)?\]`)
)

// classOf is an item without the number of its part.
func classOf(item string) string {
	return sectionOf.ReplaceAllString(partOf.ReplaceAllString(item, "part "), "BODY[n$1]")
}

func matches(form, s string) bool {
	return form == "" || regexp.MustCompile("^("+form+")$").MatchString(s)
}

// finish tells of rows that nothing needs.
func (y *tally) finish() {
	for i, n := range y.used {
		if n == 0 {
			y.t.Errorf("nothing differs like %q %q %q any more", differences[i].how, differences[i].kinds, differences[i].items)
		}
	}
}
