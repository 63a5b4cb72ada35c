package imap

import (
	"math"
	"strconv"

	"yubin/internal/scan"
)

// fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att /
// "(" fetch-att *(SP fetch-att) ")").
func (p *parser) fetch() any {
	p.sp()
	f := &Fetch{Set: p.sequenceSet()}
	p.sp()
	if p.Peek() == '(' {
		f.Items = make([]FetchItem, 0, 8)
		p.list(MaxFetchItems, func() { f.Items = append(f.Items, p.fetchAtt(p.word())) })
		f.Items = distinct(f.Items)
		return f
	}
	word := p.word()
	if f.Items = macro(word); f.Items == nil {
		f.Items = []FetchItem{p.fetchAtt(word)}
	}
	return f
}

// distinct drops the items that are there already: a response has each once. One
// that sets \Seen goes before one that does not.
func distinct(items []FetchItem) []FetchItem {
	if len(items) < 2 {
		return items
	}
	at := make(map[string]int, len(items))
	kept := items[:0]
	var key []byte
	for _, it := range items {
		key = it.appendResponseName(key[:0])
		if it.Partial != nil {
			key = strconv.AppendUint(key, uint64(it.Partial.Count), 10)
		}
		if i, ok := at[string(key)]; ok {
			kept[i].Peek = kept[i].Peek && it.Peek
			continue
		}
		at[string(key)] = len(kept)
		kept = append(kept, it)
	}
	return kept
}

func (p *parser) word() string { return p.upper(isWordChar) }

// macro expands ALL, FAST and FULL (RFC 9051 §6.4.5); nil for anything else.
func macro(name string) []FetchItem {
	items := []FetchItem{
		{Kind: FetchFlags, Peek: true}, {Kind: FetchInternalDate, Peek: true}, {Kind: FetchSize, Peek: true},
		{Kind: FetchEnvelope, Peek: true}, {Kind: FetchBodyStructureBasic, Peek: true},
	}
	switch name {
	case "FAST":
		return items[:3]
	case "ALL":
		return items[:4]
	case "FULL":
		return items
	}
	return nil
}

// fetchAtt reads what follows the name of a data item.
func (p *parser) fetchAtt(name string) FetchItem {
	for _, n := range plainItems {
		if n.name == name && !(n.kind == FetchBodyStructureBasic && p.Peek() == '[') {
			return FetchItem{Kind: n.kind, Peek: n.peek}
		}
	}
	switch name {
	case "BODY", "BODY.PEEK":
		return p.partialOf(FetchItem{Kind: FetchBody, Peek: name == "BODY.PEEK", Section: p.section()})
	case "BINARY", "BINARY.PEEK":
		return p.partialOf(FetchItem{Kind: FetchBinary, Peek: name == "BINARY.PEEK", Section: p.sectionBinary()})
	case "BINARY.SIZE":
		return FetchItem{Kind: FetchBinarySize, Peek: true, Section: p.sectionBinary()}
	}
	p.Fail("data item")
	return FetchItem{}
}

// plainItems are the data items without a section.
var plainItems = [...]struct {
	name string
	kind FetchKind
	peek bool
}{
	{"UID", FetchUID, true},
	{"FLAGS", FetchFlags, true},
	{"INTERNALDATE", FetchInternalDate, true},
	{"RFC822.SIZE", FetchSize, true},
	{"ENVELOPE", FetchEnvelope, true},
	{"BODYSTRUCTURE", FetchBodyStructure, true},
	{"BODY", FetchBodyStructureBasic, true},
	{"RFC822", FetchRFC822, false},
	{"RFC822.HEADER", FetchRFC822Header, true}, // as BODY.PEEK[HEADER] (RFC 3501 §6.4.5)
	{"RFC822.TEXT", FetchRFC822Text, false},
	{"RFC822.PEEK", FetchRFC822, true}, // Quirk: Outlook still asks for these two of RFC 1730
	{"RFC822.TEXT.PEEK", FetchRFC822Text, true},
}

// section = "[" [section-spec] "]".
func (p *parser) section() Section {
	p.Expect('[')
	s := Section{Path: p.sectionPart()}
	if len(s.Path) == 0 || p.Try('.') {
		p.sectionText(&s)
	}
	p.Expect(']')
	return s
}

// sectionBinary = "[" [section-part] "]".
func (p *parser) sectionBinary() Section {
	p.Expect('[')
	s := Section{Path: p.sectionPart()}
	p.Expect(']')
	return s
}

// sectionPart = nz-number *("." nz-number), or nothing. A dot that no digit
// follows is left for section-text.
func (p *parser) sectionPart() []int {
	var path []int
	for scan.IsDigit(p.Peek()) {
		if len(path) == MaxSectionDepth {
			p.Fail("fewer part numbers")
			return nil
		}
		path = append(path, int(min(p.nzNumber(), math.MaxInt32)))
		if rest := p.Rest(); len(rest) < 2 || rest[0] != '.' || !scan.IsDigit(rest[1]) {
			break
		}
		p.Next()
	}
	return path
}

// sectionText = section-msgtext / "MIME"; nothing is right only for "[]".
func (p *parser) sectionText(s *Section) {
	nested := len(s.Path) > 0
	switch name := p.word(); {
	case name == "" && !nested:
	case name == "HEADER":
		s.Text = SectionHeader
	case name == "TEXT":
		s.Text = SectionBodyText
	case name == "MIME" && nested:
		s.Text = SectionMIME
	case name == "HEADER.FIELDS":
		s.Text = SectionHeaderFields
		p.headerList(s)
	case name == "HEADER.FIELDS.NOT":
		s.Text = SectionHeaderFieldsNot
		p.headerList(s)
	default:
		p.Fail("section")
	}
}

// headerList = SP "(" header-fld-name *(SP header-fld-name) ")".
func (p *parser) headerList(s *Section) {
	p.sp()
	p.list(MaxHeaderFields, func() { s.Fields = append(s.Fields, string(p.astring())) })
}

// partialOf reads partial = "<" number64 "." nz-number64 ">" if it is there. A
// count beyond 32 bits is as good as the largest.
func (p *parser) partialOf(item FetchItem) FetchItem {
	if !p.Try('<') {
		return item
	}
	item.Partial = &Partial{Offset: p.number()}
	p.Expect('.')
	if p.Peek() == '0' {
		p.Fail("number from 1")
	}
	item.Partial.Count = uint32(min(p.number64(), math.MaxUint32))
	p.Expect('>')
	return item
}
