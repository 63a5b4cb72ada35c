package junk

import (
	"bytes"
	"math/bits"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"yubin/internal/engine/extract"
	"yubin/internal/message"
)

// Limits on features.
const (
	MaxFeatures = 4096 // of one message, all different
	maxWords    = 600  // words of the text from its start
	maxTail     = 150  // and to its end, if it has more
	maxWord     = 20   // characters of a word that count
	maxHosts    = 32   // links of which the host counts
	maxMarkup   = 96   // entries of the markup
)

// Features is what a classifier sees of a message: hashes of what it has. Each is
// there once; how often something stands in a message does not count.
type Features struct {
	list []feature
	set  *[setSize]uint32 // while they are gathered: open addressing, by hash; 0 is free
}

// feature is a hash, and of what sort the thing is.
type feature struct {
	hash uint32
	sort sort
}

// sort groups features that weigh alike.
type sort uint8

const (
	text sort = iota
	subject
	header
	shape
	link
	author // addresses and hosts of who wrote, and the name of the list
	sorts
)

const setSize = 2 * MaxFeatures

// Len is how many there are.
func (f *Features) Len() int { return len(f.list) }

// FeaturesOf returns the features of a message. They depend on nothing else, and are alike
// in all versions of this package: what was learned stays true.
func FeaturesOf(c *extract.Content) *Features {
	most := min(MaxFeatures, 256+len(c.Text)/2) // A word is some six octets, and gives three.
	f := &Features{list: make([]feature, 0, most), set: sets.Get().(*[setSize]uint32)}
	clear(f.set[:])
	f.header(c)
	f.shape(c)
	f.links(c)
	f.words(c.Subject, 's', subject, maxWords)
	f.body(c.Text)
	sets.Put(f.set)
	f.set = nil
	return f
}

// sets are used again: one has 32 KiB.
var sets = sync.Pool{New: func() any { return new([setSize]uint32) }}

// seed starts the hash of a feature of one kind, which is a letter.
func seed(kind byte) uint64 { return (uint64(kind) + 1) * 0x9e3779b97f4a7c15 }

// mix adds an octet to a hash.
func mix(h uint64, c byte) uint64 { return (h ^ uint64(c)) * 0x100000001b3 }

func mixString[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		h = mix(h, s[i])
	}
	return h
}

// add adds the feature with hash h.
func (f *Features) add(h uint64, s sort) {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	n := uint32(h)
	if n == 0 || len(f.list) == MaxFeatures {
		return
	}
	at := n % setSize
	for ; f.set[at] != 0; at = (at + 1) % setSize {
		if f.set[at] == n {
			return
		}
	}
	f.set[at] = n
	f.list = append(f.list, feature{n, s})
}

func (f *Features) say(kind byte, s sort, what ...string) {
	h := seed(kind)
	for _, w := range what {
		h = mix(mixString(h, w), 0)
	}
	f.add(h, s)
}

// amount adds a number as a feature, by its magnitude.
func (f *Features) amount(name string, n int) {
	f.say('#', shape, name, string([]byte{'a' + byte(bits.Len(uint(max(n, 0))))}))
}

// body adds the words of the text: of its start, and of its end.
func (f *Features) body(s string) {
	rest := f.words(s, 'w', text, maxWords)
	if rest == "" {
		return
	}
	from := max(0, len(rest)-8*maxTail)
	for from > 0 && from < len(rest) && rest[from] > ' ' {
		from++
	}
	f.words(rest[from:], 'w', text, maxTail)
}

// words adds the words of a text, each with the one before and the one before that, up to a
// limit, and returns what follows.
func (f *Features) words(text string, kind byte, s sort, limit int) (rest string) {
	var before, last uint64
	var w word
	for n := 0; n < limit; n++ {
		w = nextWord(text, seed(kind))
		raw := text[:w.size]
		text = text[w.size:]
		if !w.some {
			return ""
		}
		f.add(w.hash, s)
		f.looks(&w, raw, text, s)
		if w.dense {
			before, last = 0, 0
			continue
		}
		if last != 0 {
			f.add(bits.RotateLeft64(last, 21)*31+w.hash, s)
			if before != 0 {
				f.add(bits.RotateLeft64(before, 42)*37+w.hash, s)
			}
		}
		before, last = last, w.hash
	}
	return text
}

// looks adds how a word is written: in capitals, before an exclamation mark, with digits.
func (f *Features) looks(w *word, raw, next string, s sort) {
	capitals, small, digits := w.seen&0xffff, w.seen>>16&0xffff, w.seen>>32
	if capitals > 2 && small == 0 {
		f.add(mix(w.hash, 'A'), s)
	}
	if next != "" && next[0] == '!' {
		f.add(mix(w.hash, '!'), s)
	}
	if digits > 0 {
		f.say('9', s, pattern(strings.TrimSpace(raw)))
	}
}

// word is what nextWord finds.
type word struct {
	some  bool   // there is one
	dense bool   // it is of a script without spaces between words
	hash  uint64 // of its characters, folded, of which maxWord count
	seen  uint64 // sum of what tallied has for its octets
	size  int    // octets of the text that are done
}

// What an octet of ASCII is in a word.
const (
	isSmall = 1 << iota
	isCapital
	isDigit
	isLow    // the underscore
	isJoiner // part of a word between its characters
	isMark   // a word by itself, by up to four of the same

	isWord = isSmall | isCapital | isDigit | isLow
)

var octets = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = isSmall, isCapital
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = isDigit
	}
	t['_'] = isLow
	for _, c := range "'-.,@" {
		t[c] = isJoiner
	}
	for _, c := range "!$%#*" {
		t[c] = isMark
	}
	return t
}()

// nextWord finds the first word of a text: folded and cut to maxWord characters, or, of
// scripts without spaces between words, two characters of which the second stays for the next
// one. Its hash begins with h.
func nextWord(text string, h uint64) word {
	n, i := 0, 0
	var seen uint64
	for i < len(text) {
		c := text[i]
		k := octets[c]
		switch {
		case k&isWord != 0:
			if n < maxWord {
				h = mix(h, c|(k&isCapital)<<4)
			}
			n++
			seen += tallied[c]
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(text[i:])
			switch {
			case extract.IsInvisible(r):
			case isDense(r) && n == 0:
				return denseWord(text, i, size)
			case !isDense(r) && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || unicode.IsSymbol(r) && n == 0):
				if n < maxWord {
					h = mixFolded(h, r)
				}
				n++
			case n > 0:
				return word{some: true, hash: h, seen: seen, size: i}
			}
			i += size
			continue
		case n == 0 && k == isMark:
			size := i
			for size < len(text) && text[size] == c && size < i+4 {
				h = mix(h, c)
				size++
			}
			return word{some: true, hash: h, size: size}
		case n == 0:
		case k == isJoiner && i+1 < len(text) && octets[text[i+1]]&isWord != 0:
			if n < maxWord {
				h = mix(h, c)
			}
			n++
		default:
			return word{some: true, hash: h, seen: seen, size: i}
		}
		i++
	}
	return word{some: n > 0, hash: h, seen: seen, size: i}
}

// denseWord is the word that begins at text[i:] with a character of k octets, of a script without
// spaces between words: two characters.
func denseWord(text string, i, k int) word {
	h := mixString(seed('c'), text[i:i+k])
	if next, m := utf8.DecodeRuneInString(text[i+k:]); m > 1 && isDense(next) {
		h = mixString(h, text[i+k:i+k+m])
	}
	return word{some: true, dense: true, hash: h, size: i + k}
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// isDense reports whether r is of a script that is written without spaces.
func isDense(r rune) bool {
	return r >= 0xe00 && r < 0xe80 || r >= 0x3041 && r < 0x3100 || r >= 0x3400 && r < 0xa000 || r >= 0xac00 && r < 0xd7b0 ||
		r >= 0xf900 && r < 0xfb00 || r >= 0x20000 && r < 0x32000
}

// mixFolded adds r to a hash, in lower case and in its plain form.
func mixFolded(h uint64, r rune) uint64 {
	var one [utf8.UTFMax]byte
	if r < 0x2000 {
		return mixString(h, utf8.AppendRune(one[:0], unicode.ToLower(r)))
	}
	return mixString(h, bytes.ToLower(norm.NFKC.Bytes(one[:utf8.EncodeRune(one[:], r)])))
}

// links adds where links lead.
func (f *Features) links(c *extract.Content) {
	hosts, differ, addresses, users := 0, 0, 0, 0
	for i := range c.Links {
		l := &c.Links[i]
		kind := string([]byte{'0' + byte(l.Kind)})
		f.say('k', shape, kind, l.Scheme)
		switch {
		case l.Address:
			addresses++
		case l.User:
			users++
		}
		if l.ShownHost != "" && l.Host != "" && !strings.HasSuffix(l.Host, lastLabels(l.ShownHost)) {
			differ++
		}
		if l.Host == "" || hosts == maxHosts {
			continue
		}
		hosts++
		f.host('l', link, l.Host)
		rest := l.URL[strings.Index(l.URL, ":")+1:]
		rest = strings.TrimLeft(rest, "/")
		if i := strings.IndexByte(rest, '/'); i >= 0 && l.Scheme != "mailto" {
			f.path(rest[i:])
		}
	}
	f.amount("links", len(c.Links))
	f.amount("addresses", addresses)
	f.amount("users", users)
	f.amount("differ", differ)
}

// path adds the words of the path of a URL.
func (f *Features) path(path string) {
	n := 0
	for w := range strings.FieldsFuncSeq(path[:min(len(path), 256)], func(r rune) bool { return r < utf8.RuneSelf && !isWordByte(byte(r)) }) {
		if len(w) > 1 && len(w) <= maxWord {
			f.say('u', link, strings.ToLower(w))
		}
		if n++; n == 12 {
			return
		}
	}
}

// host adds a host and the domains that it is in.
func (f *Features) host(kind byte, s sort, host string) {
	host = strings.TrimPrefix(host, "www.")
	for n := 0; n < 5 && host != ""; n++ {
		f.say(kind, s, host)
		_, host, _ = strings.Cut(host, ".")
	}
}

// lastLabels returns the last two labels of a host.
func lastLabels(host string) string {
	i := strings.LastIndexByte(host, '.')
	if i > 0 {
		if j := strings.LastIndexByte(host[:i], '.'); j >= 0 {
			return host[j+1:]
		}
	}
	return host
}

// shape adds how the message is made.
func (f *Features) shape(c *extract.Content) {
	for _, p := range c.Parts {
		ending := ""
		if i := strings.LastIndexByte(p.Name, '.'); i >= 0 {
			ending = strings.ToLower(p.Name[i:min(len(p.Name), i+8)])
		}
		f.say('p', shape, p.Type)
		f.say('p', shape, p.Type, p.Encoding)
		if ending != "" || p.Kind != "" {
			f.say('p', shape, ending, string(p.Kind))
		}
		for _, entry := range p.Entries[:min(len(p.Entries), 8)] {
			if i := strings.LastIndexByte(entry, '.'); i >= 0 {
				f.say('p', shape, "in", string(p.Kind), strings.ToLower(entry[i:min(len(entry), i+8)]))
			}
		}
		if p.Encrypted {
			f.say('p', shape, "encrypted", string(p.Kind))
		}
		if p.Macros {
			f.say('p', shape, "macros")
		}
	}
	f.amount("parts", len(c.Parts))
	f.amount("text", len(c.Text))
	f.amount("plain", c.PlainText)
	f.amount("broken", c.Broken)
	f.amount("invisible", c.Invisible)
	letters := 0
	for _, n := range c.Scripts {
		letters += n
	}
	for s, n := range c.Scripts {
		if n > 0 {
			f.say('i', shape, string([]byte{byte(s), byte(n * 8 / letters)}))
		}
	}
	for _, charset := range c.Charsets {
		f.say('i', shape, "charset", charset)
	}
	f.letters(c.Text)
	f.html(c)
}

// letters adds how the text looks: capitals, digits, marks, lines.
func (f *Features) letters(text string) {
	capitals, small, digits := tally(text)
	marks, money := strings.Count(text, "!"), strings.Count(text, "$")
	var quoted, lines, longest int
	for rest := text; rest != ""; {
		if rest[0] == '>' {
			quoted++
		}
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		lines++
		longest = max(longest, end)
		rest = rest[end+1:]
	}
	f.amount("capitals", 64*capitals/(capitals+small+1))
	f.amount("digits", 64*digits/(len(text)+1))
	f.amount("marks", marks)
	f.amount("money", money)
	f.amount("quoted", quoted)
	f.amount("lines", lines)
	f.amount("longest", longest)
}

// tallied has, for each octet, a one in the field of what it is: capitals, small letters,
// digits, of sixteen bits each.
var tallied = func() (t [256]uint64) {
	for i := range 26 {
		t['A'+i], t['a'+i] = 1, 1<<16
	}
	for i := range 10 {
		t['0'+i] = 1 << 32
	}
	return t
}()

// tally counts the letters and digits of a text.
func tally(text string) (capitals, small, digits int) {
	for text != "" {
		piece := text[:min(len(text), 1<<16-1)] // No field overflows.
		text = text[len(piece):]
		var sum uint64
		for len(piece) >= 4 {
			sum += tallied[piece[0]] + tallied[piece[1]] + (tallied[piece[2]] + tallied[piece[3]])
			piece = piece[4:]
		}
		for i := range len(piece) {
			sum += tallied[piece[i]]
		}
		capitals += int(sum & 0xffff)
		small += int(sum >> 16 & 0xffff)
		digits += int(sum >> 32)
	}
	return capitals, small, digits
}

// html adds how the HTML is made.
func (f *Features) html(c *extract.Content) {
	h := &c.HTML
	if h.Parts == 0 {
		return
	}
	f.say('t', shape, "html")
	for i, m := range h.Markup {
		if i == maxMarkup {
			break
		}
		f.say('t', shape, m)
	}
	f.amount("hidden", h.Hidden)
	f.amount("comments", h.Comments)
	f.amount("images", h.Images)
	f.amount("remote", h.Remote)
	f.amount("pixels", h.Pixels)
	f.amount("forms", h.Forms)
	f.amount("scripts", h.Scripts)
	f.amount("frames", h.Frames)
	f.amount("density", 16*h.Text/(h.Octets+1))
	if c.PlainText == 0 {
		f.say('t', shape, "alone")
	}
}

// header adds the header: which fields in which order, as far as the sender wrote them, and
// what those say that tell who wrote with what.
func (f *Features) header(c *extract.Content) {
	h := &c.Header
	before := ""
	for i := range h.Fields {
		field := &h.Fields[i]
		if isTrace(field.Name) {
			continue
		}
		name := field.Name
		f.say('h', header, name)
		f.say('h', header, field.Given)
		f.say('h', header, before, name)
		before = name
		value := field.Value[:min(len(field.Value), 512)]
		switch name {
		case "from", "reply-to", "sender":
			f.author(name, value)
		case "to", "cc":
			f.readers(name, field.Value)
		case "x-mailer", "user-agent", "organization", "x-mimeole":
			f.words(message.DecodeText(value), 'm', header, 12)
			f.say('m', header, name, string(value))
		case "message-id":
			f.messageID(string(value), c)
		case "date":
			f.date(string(value))
		case "content-type":
			f.contentType(string(value))
		case "mime-version", "precedence", "importance", "x-priority", "x-msmail-priority", "content-transfer-encoding",
			"content-disposition", "auto-submitted", "list-unsubscribe-post", "content-language":
			f.say('v', header, name, strings.ToLower(string(value)))
		case "list-id", "list-unsubscribe", "list-post":
			f.words(strings.ToLower(string(value)), 'L', author, 12)
		}
	}
	f.say('v', header, "stray", string([]byte{b2(h.EightBit)}))
	for _, name := range [...]string{"from", "to", "date", "message-id", "subject", "mime-version"} {
		if n := h.Count(name); n != 1 {
			f.say('v', header, name, string([]byte{'0' + byte(min(n, 2))}))
		}
	}
	f.subject(c.Subject)
	reply, from := hostOfAddress(h.Get("reply-to")), hostOfAddress(h.Get("from"))
	if reply != "" && reply != from {
		f.say('v', header, "reply elsewhere")
	}
}

func b2(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// isTrace reports whether a field is added on the way or by who keeps the message: it says more of
// these than of the sender.
func isTrace(name string) bool {
	switch name {
	case "received", "return-path", "delivered-to", "delivery-date", "x-original-to", "envelope-to", "authentication-results", "status",
		"x-status", "x-keywords", "x-uid", "content-length", "lines", "x-mozilla-status", "x-mozilla-status2", "x-loop", "x-apparently-to",
		"x-egroups-return", "x-mime-autoconverted", "x-original-date", "x-originalarrivaltime", "x-spam-status", "x-spam-level", "x-spam-flag",
		"x-spam-checker-version", "x-virus-scanned", "x-mailscanner", "dkim-signature", "received-spf", "replied", "forwarded", "x-pyzor":
		return true
	}
	return strings.HasPrefix(name, "x-spam-") || strings.HasPrefix(name, "x-yubin-") || strings.HasPrefix(name, "arc-") ||
		strings.HasPrefix(name, "x-mailscanner") || strings.HasPrefix(name, "resent-")
}

// hostOfAddress returns the domain of the first address of a field.
func hostOfAddress(value []byte) string {
	for _, a := range message.ParseAddressList(value[:min(len(value), 512)]) {
		if a.Host != nil {
			return strings.ToLower(string(a.Host))
		}
	}
	return ""
}

// author adds who a field says writes.
func (f *Features) author(name string, value []byte) {
	for i, a := range message.ParseAddressList(value) {
		if i == 2 {
			return
		}
		f.words(message.DecodeText(a.Name), 'n', header, 8)
		if len(a.Name) == 0 {
			f.say('n', header, name, "no name")
		}
		local, host := strings.ToLower(string(a.Mailbox)), strings.ToLower(string(a.Host))
		f.host('d', author, host)
		f.say('d', author, local+"@"+host)
		f.say('d', header, pattern(local))
	}
}

// readers adds how many readers a field names.
func (f *Features) readers(name string, value []byte) {
	list := message.ParseAddressList(value[:min(len(value), 4096)])
	f.amount(name, len(list))
	if len(list) > 0 {
		f.say('r', header, name, string([]byte{b2(len(list[0].Name) > 0), b2(list[0].Host == nil)}))
		for _, a := range list[:min(len(list), 3)] {
			f.say('r', header, strings.ToLower(string(a.Mailbox)+"@"+string(a.Host)))
			f.host('r', header, strings.ToLower(string(a.Host)))
		}
	}
}

// messageID adds how the Message-ID looks, and whether it is of the sender's domain.
func (f *Features) messageID(id string, c *extract.Content) {
	local, host, _ := strings.Cut(strings.Trim(id, "<>"), "@")
	f.say('g', header, pattern(local))
	host = strings.ToLower(host)
	f.host('g', header, host)
	from := hostOfAddress(c.Header.Get("from"))
	f.say('g', header, "own", string([]byte{b2(from != "" && strings.HasSuffix(host, lastLabels(from)))}))
}

// date adds how the Date is written: not when, but the zone and the form.
func (f *Features) date(value string) {
	if i := strings.LastIndexByte(value, ':'); i >= 0 && len(value) > i+3 {
		f.say('z', header, "zone", value[i+3:min(len(value), i+24)])
	}
	f.say('z', header, pattern(value))
}

// contentType adds a content type with its parameters, and how its boundary looks.
func (f *Features) contentType(value string) {
	for i, p := range strings.Split(value, ";") {
		key, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		key = strings.ToLower(key)
		if key == "boundary" {
			v = pattern(v)
		}
		f.say('y', header, key, strings.ToLower(strings.Trim(v, `"`)))
		if i == 6 {
			return
		}
	}
}

// subject adds how the subject looks.
func (f *Features) subject(s string) {
	capitals, small, marks, spaces := 0, 0, 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z':
			capitals++
		case 'a' <= c && c <= 'z':
			small++
		case c == '!' || c == '$' || c == '?':
			marks++
		case c == ' ' && i >= 4 && s[i-4:i] == "    ":
			spaces = true
		}
	}
	f.say('q', subject, string([]byte{byte(8 * capitals / (capitals + small + 1)), b2(spaces)}))
	f.amount("subject", len(s))
	f.amount("subject marks", marks)
	base := message.BaseSubject(s)
	f.say('q', subject, "reply", string([]byte{b2(len(base) < len(s))}))
}

// pattern returns how a text looks: runs of letters, digits and others.
func pattern(s string) string {
	out := make([]byte, 0, 24)
	run := 0
	for i := 0; i < len(s) && len(out) < 24; i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z':
			c = 'a'
		case 'A' <= c && c <= 'Z':
			c = 'A'
		case '0' <= c && c <= '9':
			c = '0'
		}
		n := len(out)
		if n > 0 && out[n-1] == c {
			run++
			continue
		}
		if n > 0 && run > 0 {
			out = append(out, '0'+byte(bits.Len(uint(run))))
		}
		run = 0
		out = append(out, c)
	}
	return string(out)
}
