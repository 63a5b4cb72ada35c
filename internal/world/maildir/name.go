package maildir

import (
	"slices"
	"strings"

	"yubin/internal/mail"
)

// flagLetters are the flags in a file name; P, passed, is the keyword $Forwarded.
var flagLetters = [...]struct {
	letter byte
	flag   mail.Flags
}{{'D', mail.Draft}, {'F', mail.Flagged}, {'R', mail.Answered}, {'S', mail.Seen}, {'T', mail.Deleted}}

const forwarded = "$Forwarded"

// splitName cuts the name of a file into what never changes and its flags.
func splitName(name string) (base, letters string) {
	base, info, _ := strings.Cut(name, ":")
	letters, ok := strings.CutPrefix(info, "2,")
	if !ok {
		return base, ""
	}
	letters, _, _ = strings.Cut(letters, ",") // Dovecot's own additions follow.
	return base, letters
}

// readLetters makes flags of letters; names are those of dovecot-keywords.
func readLetters(letters string, names []string) (f mail.Flags, keywords []string) {
	for i := range len(letters) {
		c := letters[i]
		if n := int(c) - 'a'; c >= 'a' && n < len(names) && names[n] != "" && !slices.Contains(keywords, names[n]) {
			keywords = append(keywords, names[n])
		}
		if c == 'P' && !slices.Contains(keywords, forwarded) {
			keywords = append(keywords, forwarded)
		}
		for _, l := range flagLetters {
			if c == l.letter {
				f |= l.flag
			}
		}
	}
	return f, keywords
}

// letters makes the letters of flags and keywords, in order, as they must be;
// names grow by keywords that are new. Those without a letter are returned.
func letters(f mail.Flags, keywords []string, names *[]string) (text string, left []string) {
	var upper, lower []byte
	for _, l := range flagLetters {
		if f&l.flag != 0 {
			upper = append(upper, l.letter)
		}
	}
	for _, k := range keywords {
		if strings.EqualFold(k, forwarded) {
			upper = append(upper, 'P') // Dovecot does not know it: it gets a letter too.
		}
		n := slices.IndexFunc(*names, func(o string) bool { return strings.EqualFold(o, k) })
		if n < 0 && len(*names) < MaxKeywords {
			n = len(*names)
			*names = append(*names, k)
		}
		if n < 0 {
			left = append(left, k)
			continue
		}
		lower = append(lower, 'a'+byte(n))
	}
	slices.Sort(upper)
	slices.Sort(lower)
	return string(upper) + string(slices.Compact(lower)), left
}
