package imap

import (
	"strings"
	"time"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// search = "SEARCH" [SP "RETURN" SP "(" ... ")"] SP ["CHARSET" SP charset SP]
// search-key *(SP search-key).
func (p *parser) search() any {
	s := &Search{}
	p.quoted8 = true
	p.sp()
	if p.TryFold("RETURN (") {
		p.searchReturn(&s.Return)
		p.sp()
	}
	if p.TryFold("CHARSET ") {
		s.Charset = string(p.astring())
		p.setCharset(s.Charset)
		p.sp()
	}
	s.Key = p.searchKeys()
	if p.fault != nil {
		p.fault.Save = s.Return.Save
	}
	return s
}

// searchReturn reads *(search-return-opt) ")" (RFC 4731 §3.1, RFC 5182 §2.1).
func (p *parser) searchReturn(r *SearchReturn) {
	r.Extended = true
	if p.Try(')') {
		r.All = true
		return
	}
	p.items(MaxOptions, func() {
		switch p.word() {
		case "MIN":
			r.Min = true
		case "MAX":
			r.Max = true
		case "ALL":
			r.All = true
		case "COUNT":
			r.Count = true
		case "SAVE":
			r.Save = true
		default:
			p.Fail("known result option")
		}
	})
	p.Expect(')')
}

// setCharset checks that text in the charset can be read. Deviation: RFC 9755 §3
// would have any CHARSET refused after UTF8=ACCEPT; it is obeyed, as RFC 9051
// asks after ENABLE IMAP4rev2.
func (p *parser) setCharset(name string) {
	p.charset = name
	if isBuiltIn(name) || p.Failed() {
		return
	}
	if p.mode.Decode == nil {
		p.refuse(BadCharset)
	} else if _, ok := p.mode.Decode(name, nil); !ok {
		p.refuse(BadCharset)
	}
}

func isBuiltIn(charset string) bool {
	switch strings.ToUpper(charset) {
	case "", "UTF-8", "UTF8", "US-ASCII":
		return true
	}
	return false
}

// searchText is an astring in the charset of the search, as UTF-8. Text beyond
// US-ASCII without a CHARSET is taken as UTF-8, the default of RFC 9051 §6.4.4.
// Quirk: it may stand in quoted strings before UTF-8 is enabled (imap_tools).
func (p *parser) searchText() string {
	b := p.astring()
	if !isBuiltIn(p.charset) {
		text, ok := p.mode.Decode(p.charset, b)
		if !ok {
			p.refuse(BadCharset)
		}
		return text
	}
	if !utf8.Valid(b) {
		p.refuse(BadCharset)
	}
	return string(b)
}

// searchKeys = search-key *(SP search-key): all of them must match.
func (p *parser) searchKeys() SearchKey {
	first := p.searchKey()
	if !p.nextKey() {
		return first
	}
	and := SearchKey{Op: SearchAnd, Keys: []SearchKey{first}}
	for more := true; more; more = p.nextKey() {
		and.Keys = append(and.Keys, p.searchKey())
	}
	return and
}

// nextKey reads a space if a key follows it; one at the very end is left for end.
func (p *parser) nextKey() bool {
	if rest := p.Rest(); len(rest) < 2 || rest[1] == ' ' {
		return false
	}
	return p.Try(' ')
}

// searchKey reads one key, within the limits of depth and number.
func (p *parser) searchKey() SearchKey {
	p.keys++
	if p.keys > MaxSearchKeys || p.depth == MaxSearchDepth {
		p.Fail("simpler search")
	}
	if p.Failed() {
		return SearchKey{}
	}
	p.depth++
	defer func() { p.depth-- }()
	switch c := p.Peek(); {
	case c == '(':
		p.Next()
		key := p.searchKeys()
		p.Expect(')')
		return key
	case c == '*' || c == '$' || scan.IsDigit(c):
		return SearchKey{Op: SearchSeq, Set: p.sequenceSet()}
	}
	return p.namedKey(p.word())
}

// namedKey reads what follows the name of a key.
func (p *parser) namedKey(name string) SearchKey {
	if key, ok := flagKey(name); ok {
		return key
	}
	if op, ok := dateOp(name); ok {
		p.sp()
		return SearchKey{Op: op, Date: p.date()}
	}
	switch name {
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		p.sp()
		return SearchKey{Op: SearchEnvelope, Field: name[:1] + strings.ToLower(name[1:]), Text: p.searchText()}
	case "HEADER":
		p.sp()
		field := p.astring()
		p.sp()
		return SearchKey{Op: SearchHeader, Field: string(field), Text: p.searchText()}
	case "BODY":
		p.sp()
		return SearchKey{Op: SearchBody, Text: p.searchText()}
	case "TEXT":
		p.sp()
		return SearchKey{Op: SearchText, Text: p.searchText()}
	}
	return p.otherKey(name)
}

func (p *parser) otherKey(name string) SearchKey {
	switch name {
	case "NOT":
		p.sp()
		return not(p.searchKey())
	case "OR":
		p.sp()
		first := p.searchKey()
		p.sp()
		return SearchKey{Op: SearchOr, Keys: []SearchKey{first, p.searchKey()}}
	case "UID":
		p.sp()
		return SearchKey{Op: SearchUID, Set: p.sequenceSet()}
	case "KEYWORD":
		p.sp()
		return SearchKey{Op: SearchHasKeyword, Keyword: p.atom("keyword")}
	case "UNKEYWORD":
		p.sp()
		return not(SearchKey{Op: SearchHasKeyword, Keyword: p.atom("keyword")})
	case "LARGER":
		p.sp()
		return SearchKey{Op: SearchLarger, Size: p.number64()}
	case "SMALLER":
		p.sp()
		return SearchKey{Op: SearchSmaller, Size: p.number64()}
	}
	p.Fail("search key")
	return SearchKey{}
}

// flagKey returns the key of a name without arguments.
func flagKey(name string) (SearchKey, bool) {
	switch name {
	case "ALL":
		return SearchKey{}, true
	case "RECENT":
		return SearchKey{Op: SearchRecent}, true
	case "OLD":
		return not(SearchKey{Op: SearchRecent}), true
	case "NEW":
		return SearchKey{Op: SearchNew}, true
	}
	positive, un := strings.CutPrefix(name, "UN")
	for _, f := range flagKeys {
		if f.name != positive {
			continue
		}
		key := SearchKey{Op: SearchHasFlag, Flag: f.flag}
		if un {
			key = not(key)
		}
		return key, true
	}
	return SearchKey{}, false
}

var flagKeys = [...]struct {
	name string
	flag mail.Flags
}{
	{"SEEN", mail.Seen}, {"ANSWERED", mail.Answered}, {"FLAGGED", mail.Flagged},
	{"DELETED", mail.Deleted}, {"DRAFT", mail.Draft},
}

func not(key SearchKey) SearchKey { return SearchKey{Op: SearchNot, Keys: []SearchKey{key}} }

func dateOp(name string) (SearchOp, bool) {
	for _, k := range dateKeys {
		if k.name == name {
			return k.op, true
		}
	}
	return 0, false
}

var dateKeys = [...]struct {
	name string
	op   SearchOp
}{
	{"BEFORE", SearchBefore}, {"ON", SearchOn}, {"SINCE", SearchSince},
	{"SENTBEFORE", SearchSentBefore}, {"SENTON", SearchSentOn}, {"SENTSINCE", SearchSentSince},
}

// date = date-text / DQUOTE date-text DQUOTE: a day at 00:00 UTC.
func (p *parser) date() time.Time {
	quoted := p.Try('"')
	day := p.digits(1, 2)
	year, month := p.monthYear()
	t := p.moment(year, month, day, 0, time.UTC)
	if quoted {
		p.Expect('"')
	}
	return t
}
