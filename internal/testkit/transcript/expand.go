package transcript

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// expand puts the values of variables into text; each value goes through quote.
func expand(vars map[string]string, text string, quote func(string) string) (string, error) {
	var failure error
	out := variable.ReplaceAllStringFunc(text, func(ref string) string {
		value, err := lookup(vars, ref[2:len(ref)-1])
		if err != nil {
			failure = err
		}
		return quote(value)
	})
	return out, failure
}

func lookup(vars map[string]string, name string) (string, error) {
	if text, ok := strings.CutPrefix(name, "base64:"); ok {
		raw, err := unescape(text)
		return base64.StdEncoding.EncodeToString([]byte(raw)), err
	}
	bare, length := strings.CutPrefix(name, "#")
	value, ok := vars[bare]
	switch {
	case !ok:
		return "", fmt.Errorf("no variable %q", bare)
	case length:
		return strconv.Itoa(len(value)), nil
	}
	return value, nil
}

func verbatim(s string) string { return s }

// unescape reads \r \n \t \0 \\ and \xHH.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf("a backslash ends the text")
		}
		if s[i] != 'x' {
			octet, ok := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\'}[s[i]]
			if !ok {
				return "", fmt.Errorf("unknown escape \\%c", s[i])
			}
			b.WriteByte(octet)
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("\\x needs two digits")
		}
		octet, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("\\x needs two hexadecimal digits")
		}
		b.WriteByte(byte(octet))
		i += 2
	}
	return b.String(), nil
}
