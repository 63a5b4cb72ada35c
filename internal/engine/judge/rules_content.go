package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/extract"
	"yubin/internal/engine/lookalike"
	"yubin/internal/mail"
)

// The limits of rules about dates.
const (
	farAhead  = 48 * time.Hour
	farBehind = 30 * 24 * time.Hour
)

func dateMissing(f *Facts) string {
	switch {
	case f.Message == nil || !f.Message.Date.IsZero():
		return ""
	case f.Content.Header.Count("date") == 0:
		return "it has no Date field"
	}
	return "its Date field cannot be read"
}

func dateAhead(f *Facts) string {
	if f.Message != nil && f.Message.Date.Sub(f.Now) > farAhead {
		return "its date is in the future: " + f.Message.Date.UTC().Format(time.DateOnly)
	}
	return ""
}

func dateBehind(f *Facts) string {
	if f.Message != nil && !f.Message.Date.IsZero() && f.Now.Sub(f.Message.Date) > farBehind {
		return "its date is long past: " + f.Message.Date.UTC().Format(time.DateOnly)
	}
	return ""
}

func messageIDMissing(f *Facts) string {
	if f.Message != nil && f.Message.MessageID == "" {
		return "it has no Message-ID that can be read"
	}
	return ""
}

// headerUndecoded: octets over 127 in a header that are not UTF-8 (RFC 6532).
func headerUndecoded(f *Facts) string {
	for _, name := range [...]string{"subject", "from", "to"} {
		if v := f.Content.Header.Get(name); !utf8.Valid(v) {
			return fmt.Sprintf("the field %s has octets of an alphabet that it does not name", strings.ToUpper(name[:1])+name[1:])
		}
	}
	return ""
}

func subjectGarbled(f *Facts) string {
	raw := string(f.Content.Header.Get("subject"))
	if utf8.ValidString(raw) && (strings.Contains(f.Content.Subject, "\ufffd") || strings.Contains(f.Content.Subject, "=?") && strings.Contains(f.Content.Subject, "?=")) {
		return "its subject cannot be decoded"
	}
	return ""
}

func subjectShouting(f *Facts) string {
	upper, lower := 0, 0
	for _, r := range f.Content.Subject {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		}
	}
	if upper >= 10 && lower == 0 {
		return "its subject is all in capitals"
	}
	return ""
}

func wordsMixed(f *Facts) string {
	for _, text := range [...]string{f.Content.Subject, f.Content.Text} {
		if word, which := lookalike.Mixed(text); word != "" {
			return fmt.Sprintf("a word is written in %s letters that look alike", which)
		}
	}
	return ""
}

// manyCuts is from how many cut words on they are more than an accident.
const manyCuts = 4

// wordsCut counts Latin letters with an invisible character between them; soft
// hyphens are for that, and scripts that need joiners are not Latin.
func wordsCut(f *Facts) string {
	const soft = '\u00ad'
	if f.Content.Invisible < manyCuts {
		return ""
	}
	cuts := 0
	for _, text := range [...]string{f.Content.Subject, f.Content.Text} {
		var before, last rune // the last two characters
		for _, r := range text {
			if isLatin(r) && last != soft && extract.IsInvisible(last) && isLatin(before) {
				cuts++
			}
			before, last = last, r
		}
	}
	if cuts >= manyCuts {
		return fmt.Sprintf("%d words are cut by characters that nobody sees", cuts)
	}
	return ""
}

func isLatin(r rune) bool {
	return r|0x20 >= 'a' && r|0x20 <= 'z' || r > 0x7f && unicode.Is(unicode.Latin, r)
}

// textHidden: a line or two that show only in a list of messages are usual.
func textHidden(f *Facts) string {
	if h := f.Content.HTML; h.Hidden > 500 && 2*h.Hidden > h.Text {
		return "much of its text is hidden"
	}
	return ""
}

// imageForText: pictures, and less text than a short line.
func imageForText(f *Facts) string {
	if f.Content.HTML.Parts == 0 || f.Content.HTML.Images <= f.Content.HTML.Pixels {
		return ""
	}
	if text := len(strings.Join(strings.Fields(f.Content.Text), " ")); text < 60 {
		return fmt.Sprintf("it shows pictures and has %d characters of text", text)
	}
	return ""
}

func htmlAlone(f *Facts) string {
	if f.Content.HTML.Parts > 0 && f.Content.PlainText == 0 {
		return "all of its text is HTML"
	}
	return ""
}

func htmlForm(f *Facts) string {
	if f.Content.HTML.Forms > 0 {
		return "it has a form to be filled in"
	}
	return ""
}

func htmlScript(f *Facts) string {
	if f.Content.HTML.Scripts > 0 {
		return "it has scripts"
	}
	return ""
}

// linkElsewhere: hosts of one domain are one, and who is authenticated may count clicks
// by a host of its own.
func linkElsewhere(f *Facts) string {
	for _, l := range f.Content.Links {
		if l.ShownHost == "" || l.Host == "" || l.Kind != extract.Anchor || l.Scheme == "mailto" {
			continue
		}
		shown, leads := registrable(l.ShownHost), registrable(l.Host)
		if shown == "" || shown == leads || f.Authenticated != "" && leads == dnslist.Registrable(f.Authenticated) {
			continue
		}
		return fmt.Sprintf("a link shows %s and leads to %s", printable(l.ShownHost), printable(l.Host))
	}
	return ""
}

func registrable(host string) mail.Domain {
	d, err := mail.ParseDomain(strings.TrimSuffix(host, "."))
	if err != nil || !strings.Contains(string(d), ".") {
		return ""
	}
	return dnslist.Registrable(d)
}

func linkAddress(f *Facts) string {
	for _, l := range f.Content.Links {
		if !l.Address || l.Kind == extract.Image {
			continue
		}
		if a, err := netip.ParseAddr(strings.Trim(l.Host, "[]")); err == nil && (a.IsPrivate() || a.IsLoopback()) {
			continue
		}
		return "a link leads to the address " + printable(l.Host)
	}
	return ""
}

func linkUser(f *Facts) string {
	for _, l := range f.Content.Links {
		if l.User && (l.Scheme == "http" || l.Scheme == "https") {
			return fmt.Sprintf("a link that begins like another leads to %s", printable(l.Host))
		}
	}
	return ""
}

func linkDeceptive(f *Facts) string {
	for _, l := range f.Content.Links {
		if d, err := mail.ParseDomain(l.Host); err == nil {
			if why := lookalike.Domain(d); why != "" {
				return "a link leads to a deceptive name: " + why
			}
		}
	}
	return ""
}

// programs are the endings of names of what runs when it is opened.
var programs = strings.Fields(`ade adp apk app appref-ms appx bat chm cmd com cpl dll dmg exe gadget hta inf ins isp jar js jse lib lnk mde msc msi
	msix msp mst pif ps1 reg scf scr sct search-ms settingcontent-ms shb sys url vb vbe vbs vxd wsc wsf wsh xll`)

// documents are endings behind which programs hide.
var documents = strings.Fields("avi doc docx gif htm html jpeg jpg mov mp3 mp4 odt pdf png ppt pptx rtf txt xls xlsx zip")

// ending is what follows the last dot of a name, lower-case; the spaces that hide it
// are taken off.
func ending(name string) string {
	name = strings.TrimRight(strings.ToLower(name), " .\t")
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return strings.TrimSpace(name[i+1:])
	}
	return ""
}

// called is a name for a sentence.
func called(name string) string {
	if name = strings.TrimRight(printable(name), " ."); name == "" {
		return "something without a name"
	}
	return name
}

func isProgram(name string) bool { return slices.Contains(programs, ending(name)) }

func attachedProgram(f *Facts) string {
	for _, p := range f.Content.Parts {
		if isProgram(p.Name) || p.Kind == extract.Executable || p.Kind == extract.Shortcut {
			return fmt.Sprintf("a program is attached: %s", called(p.Name))
		}
	}
	return ""
}

func attachedPacked(f *Facts) string {
	for _, p := range f.Content.Parts {
		for _, e := range p.Entries {
			if isProgram(e) && !isProgram(p.Name) { // A .jar has programs in it, and is one.
				return fmt.Sprintf("%s has a program in it: %s", called(p.Name), called(e))
			}
		}
	}
	return ""
}

func attachedTwoNames(f *Facts) string {
	for _, p := range f.Content.Parts {
		for _, name := range append([]string{p.Name}, p.Entries...) {
			if e := ending(name); isProgram(name) && slices.Contains(documents, ending(strings.TrimSuffix(strings.TrimRight(strings.ToLower(name), " .\t"), "."+e))) {
				return fmt.Sprintf("a program is called like a document: %s", called(name))
			}
		}
	}
	return ""
}

func attachedDisguised(f *Facts) string {
	for _, p := range f.Content.Parts {
		if (p.Kind == extract.Executable || p.Kind == extract.Shortcut) && !isProgram(p.Name) && slices.Contains(documents, ending(p.Name)) {
			return fmt.Sprintf("%s is a program", called(p.Name))
		}
	}
	return ""
}

func attachedMacros(f *Facts) string {
	for _, p := range f.Content.Parts {
		if p.Macros {
			return fmt.Sprintf("%s has macros", called(p.Name))
		}
	}
	return ""
}

func attachedLocked(f *Facts) string {
	for _, p := range f.Content.Parts {
		if p.Encrypted {
			return fmt.Sprintf("%s asks for a password", called(p.Name))
		}
	}
	return ""
}

func attachedPage(f *Facts) string {
	for _, p := range f.Content.Parts {
		if p.Attachment && slices.Contains([]string{"htm", "html", "shtml", "xhtml", "svg", "mht", "mhtml"}, ending(p.Name)) {
			return fmt.Sprintf("a web page is attached: %s", called(p.Name))
		}
	}
	return ""
}
