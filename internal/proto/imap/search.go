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
	p.eight, p.ofOther = true, true
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
	if p.texts += len(b); p.texts > MaxSearchText {
		p.Fail("shorter search texts")
	}
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

// openKey is a key that is being read: brackets, NOT or OR.
type openKey struct {
	op   SearchOp // And for brackets
	want int      // keys of a NOT or OR that are still to come
	keys []SearchKey
}

// searchKeys = search-key *(SP search-key): all of them must match. Keys within
// keys are kept in a list instead of on the stack, however deep they are nested.
func (p *parser) searchKeys() SearchKey {
	open := []openKey{{op: SearchAnd}}
	for keys := 1; ; keys++ {
		if keys > MaxSearchKeys || len(open) > MaxSearchDepth {
			p.Fail("simpler search")
		}
		key, begun := p.searchKey()
		if p.Failed() {
			return SearchKey{}
		}
		if begun != nil {
			open = append(open, *begun)
			continue
		}
		var done bool
		if open, done = p.close(open, key); done {
			return dissolved(open[0].whole())
		}
	}
}

// searchKey reads one key, or the beginning of one that others are in.
func (p *parser) searchKey() (SearchKey, *openKey) {
	switch c := p.Peek(); {
	case c == '(':
		p.Next()
		return SearchKey{}, &openKey{op: SearchAnd}
	case c == '*' || c == '$' || scan.IsDigit(c):
		return SearchKey{Op: SearchSeq, Set: p.sequenceSet()}, nil
	}
	switch name := p.word(); name {
	case "NOT":
		p.sp()
		return SearchKey{}, &openKey{op: SearchNot, want: 1}
	case "OR":
		p.sp()
		return SearchKey{}, &openKey{op: SearchOr, want: 2}
	default:
		return p.namedKey(name), nil
	}
}

// close puts key into the innermost of open, and those that are complete by that
// into the ones around them. It reads what stands before the next key; done says
// that there is none.
func (p *parser) close(open []openKey, key SearchKey) (left []openKey, done bool) {
	for {
		k := &open[len(open)-1]
		k.keys = append(k.keys, key)
		k.want--
		switch {
		case k.op != SearchAnd && k.want > 0:
			p.sp()
			return open, false
		case k.op == SearchAnd && p.nextKey():
			return open, false
		case len(open) == 1:
			return open, true
		case k.op == SearchAnd:
			p.Expect(')')
		}
		key, open = k.whole(), open[:len(open)-1]
	}
}

// whole returns the key that k has become.
func (k *openKey) whole() SearchKey {
	switch {
	case k.op == SearchNot:
		return not(k.keys[0])
	case len(k.keys) == 1:
		return k.keys[0]
	}
	return SearchKey{Op: k.op, Keys: k.keys}
}

// dissolved returns key without ANDs right within ANDs and ORs right within ORs:
// a thousand nested ORs are one.
func dissolved(key SearchKey) SearchKey {
	switch key.Op {
	case SearchNot:
		return not(dissolved(key.Keys[0]))
	case SearchAnd, SearchOr:
		key.Keys = appendDissolved(nil, key.Op, key.Keys)
	}
	return key
}

func appendDissolved(dst []SearchKey, op SearchOp, keys []SearchKey) []SearchKey {
	for _, key := range keys {
		if key.Op == op {
			dst = appendDissolved(dst, op, key.Keys)
		} else {
			dst = append(dst, dissolved(key))
		}
	}
	return dst
}

// nextKey reads a space if a key follows it; one at the very end is left for end.
func (p *parser) nextKey() bool {
	if rest := p.Rest(); len(rest) < 2 || rest[1] == ' ' {
		return false
	}
	return p.Try(' ')
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
		p.texts += len(field)
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

// not returns the opposite of key.
func not(key SearchKey) SearchKey {
	if key.Op == SearchNot {
		return key.Keys[0]
	}
	return SearchKey{Op: SearchNot, Keys: []SearchKey{key}}
}

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
