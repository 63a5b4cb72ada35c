package depot

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a Name.
const (
	MaxName  = 1024 // octets
	maxLevel = 255  // octets of one level
	maxDepth = 32   // levels
)

// Name is the name of a file in a folder, its levels parted by slashes. It
// leads nowhere else: ParseName, and reading JSON, which calls it, are the only
// ways to one, and the zero value is none.
type Name struct{ text string }

// ParseName checks a name: no level is empty, ".", ".." or over 255 octets, and
// there is nothing in it that cannot be printed, and no backslash.
func ParseName(s string) (Name, error) {
	levels := strings.Split(s, "/")
	ok := len(s) <= MaxName && utf8.ValidString(s) && len(levels) <= maxDepth
	for _, l := range levels {
		ok = ok && l != "" && l != "." && l != ".." && len(l) <= maxLevel
	}
	ok = ok && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == '\\' }) < 0
	if !ok {
		return Name{}, fmt.Errorf("%.100q is no name of a file in a data folder", s)
	}
	return Name{s}, nil
}

func (n Name) String() string { return n.text }

// MarshalText writes the name.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.text), nil }

// UnmarshalText reads and checks a name; what is empty is none.
func (n *Name) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*n = Name{}
		return nil
	}
	*n, err = ParseName(string(text))
	return err
}

// IsZero reports whether n is none.
func (n Name) IsZero() bool { return n.text == "" }

// Single reports whether the name has one level.
func (n Name) Single() bool { return n.text != "" && !strings.Contains(n.text, "/") }

// Folder returns the levels but the last; "" if there is one.
func (n Name) Folder() string { return n.text[:max(0, strings.LastIndexByte(n.text, '/'))] }

// Base returns the last level.
func (n Name) Base() string { return n.text[strings.LastIndexByte(n.text, '/')+1:] }

// In reports whether the name is below folder.
func (n Name) In(folder string) bool { return strings.HasPrefix(n.text, folder+"/") }
