package extract

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// link notes a link if there is room for it and it leads out of the message.
func (r *reader) link(url string, kind LinkKind) bool {
	l, ok := parseLink(url)
	if !ok {
		return false
	}
	if len(r.c.Links) == MaxLinks {
		r.c.Truncated = true
		return false
	}
	l.Kind = kind
	r.c.Links = append(r.c.Links, l)
	return true
}

// textLinks notes the links that stand in r.text from a place on.
func (r *reader) textLinks(from int) {
	f := finder{text: r.text[from:], dot: -1, colon: -1}
	for i := 0; i < len(f.text); {
		if i = f.next(i); i < 0 {
			return
		}
		end := i
		for end < len(f.text) && end-i < MaxURL && isURL(f.text[end]) {
			end++
		}
		url := bytes.TrimRight(f.text[i:end], ".,;:!?)]}'*_>\"")
		if len(url) > len("www.x") && !r.link(string(url), TextLink) && len(r.c.Links) == MaxLinks {
			return
		}
		i = max(end, i+4)
	}
}

// finder finds links in a text. Where the next dot and the next colon are is looked for
// again only when it has been passed, so the text is passed over twice.
type finder struct {
	text       []byte
	dot, colon int // the last that were found; len(text) if there is none
}

// next finds where the first "http://", "https://", "ftp://" or "www." from a place on
// is; -1 if nowhere.
func (f *finder) next(from int) int {
	text := f.text
	for at := from; ; {
		f.dot, f.colon = nextByte(text, at, f.dot, '.'), nextByte(text, at, f.colon, ':')
		i := min(f.dot, f.colon)
		if i == len(text) {
			return -1
		}
		at = i + 1
		if text[i] == '.' {
			if i >= from+3 && strings.EqualFold(string(text[i-3:i]), "www") && (i == from+3 || !isURL(text[i-4]) || isOpening(text[i-4])) {
				return i - 3
			}
			continue
		}
		if i+3 > len(text) || text[i+1] != '/' || text[i+2] != '/' {
			continue
		}
		for _, scheme := range [...]string{"https", "http", "ftp"} {
			if n := len(scheme); i >= from+n && strings.EqualFold(string(text[i-n:i]), scheme) {
				return i - n
			}
		}
	}
}

// nextByte is where c comes next in text from a place on, len(text) if nowhere; known is
// where it came before.
func nextByte(text []byte, from, known int, c byte) int {
	if known >= from {
		return known
	}
	if i := bytes.IndexByte(text[from:], c); i >= 0 {
		return from + i
	}
	return len(text)
}

// isOpening reports whether a URL can begin behind c.
func isOpening(c byte) bool { return c == '(' || c == '[' || c == '=' || c == ',' || c == ':' }

// isURL reports whether c can be part of a URL in a text.
func isURL(c byte) bool {
	return c > ' ' && c != '<' && c != '>' && c != '"' && c != 0x7f && c != '`'
}

// parseLink takes a URL apart as browsers do, which take nearly anything. It is false for
// what leads nowhere: a place in the message, an empty one.
func parseLink(url string) (Link, bool) {
	url = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, url), "\ufffd")
	l := Link{URL: cut(url, MaxURL)}
	rest := l.URL
	if i := strings.IndexAny(rest, ":/?#"); i > 0 && rest[i] == ':' && i <= 16 {
		l.Scheme, rest = strings.ToLower(rest[:i]), rest[i+1:]
	}
	rest = strings.ReplaceAll(rest, "\\", "/")
	switch {
	case l.Scheme == "mailto":
		_, domain, _ := strings.Cut(rest, "@")
		l.Host = hostOf(domain)
		return l, true
	case l.Scheme != "" && l.Scheme != "http" && l.Scheme != "https" && l.Scheme != "ftp":
		return l, l.Scheme != "about"
	case strings.HasPrefix(rest, "//"), l.Scheme != "":
		rest = strings.TrimLeft(rest, "/")
	case len(rest) > 4 && strings.EqualFold(rest[:4], "www."):
	default:
		return l, false // relative: within the message
	}
	l.Scheme = or(l.Scheme, "http")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		l.User, rest = true, rest[i+1:]
	}
	l.Host = hostOf(rest)
	if a, ok := address(l.Host); ok {
		l.Host, l.Address = a, true
	}
	return l, true
}

// hostOf returns the host that s starts with, without its port.
func hostOf(s string) string {
	if strings.HasPrefix(s, "[") {
		host, _, _ := strings.Cut(s[1:], "]")
		return cut(strings.ToLower(host), MaxName)
	}
	if i := strings.IndexAny(s, ":/?#"); i >= 0 {
		s = s[:i]
	}
	s = unescape(cut(s, MaxName))
	return strings.ToLower(strings.Trim(s, "."))
}

// unescape decodes what is written as %XX.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	if !utf8.Valid(out) {
		return s
	}
	return string(out)
}

// address reads an IP address as browsers do: four parts or fewer, of which the last takes the
// rest, decimal, octal or hexadecimal.
func address(host string) (string, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String(), true
	}
	if host == "" || host[0] < '0' || host[0] > '9' {
		return "", false
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return "", false
	}
	var all uint64
	for i, p := range parts {
		base := 10
		switch {
		case strings.HasPrefix(p, "0x"):
			p, base = p[2:], 16
		case len(p) > 1 && p[0] == '0':
			p, base = p[1:], 8
		}
		n, err := strconv.ParseUint(p, base, 32)
		room := uint(8)
		if i == len(parts)-1 {
			room = uint(8 * (5 - len(parts)))
		}
		if err != nil || n >= 1<<room {
			return "", false
		}
		all = all<<room | n
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}).String(), true
}

// shownHost returns the host that the text of a link reads like: "" unless it is one
// word that looks like a URL or a name with dots.
func shownHost(s string) string {
	s = strings.Trim(s, ".,;:!?()[]<>\"' ")
	if s == "" || strings.ContainsAny(s, " \t\n@") {
		return ""
	}
	if strings.Contains(s, "://") || len(s) > 4 && strings.EqualFold(s[:4], "www.") {
		l, _ := parseLink(s)
		return l.Host
	}
	host := hostOf(s)
	_, top, found := cutLast(host, '.')
	if !found || len(top) < 2 || strings.ContainsFunc(top, func(r rune) bool { return r < 'a' || r > 'z' }) || isFileEnding(top) {
		return ""
	}
	for i := range len(host) {
		if c := host[i]; c < 0x80 && c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return ""
		}
	}
	return host
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// isFileEnding reports whether names that end so are files rather than hosts.
func isFileEnding(s string) bool {
	switch s {
	case "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "txt", "html", "htm", "jpg", "jpeg", "png", "gif", "zip", "tar", "gz",
		"exe", "csv", "xml", "json", "js", "css", "go", "py", "rb", "java", "cpp", "php", "asp", "jsp", "mp", "wav", "avi":
		return true
	}
	return false
}
