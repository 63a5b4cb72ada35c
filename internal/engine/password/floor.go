package password

import (
	_ "embed"
	"strings"
	"sync"
	"unicode/utf8"

	"yubin/internal/mail"
)

// MinLength is how many characters a new password has at least.
const MinLength = 8

// attached is how many digits and signs before and behind a common word change nothing.
const attached = 5

// commonText is some thousands of the passwords that most people had when they became
// known, sorted, in small letters. Words of fewer than MinLength letters are in it for
// what is made of them: summer2024!.
//
//go:embed common.txt
var commonText string

var common = sync.OnceValue(func() map[string]bool {
	words := make(map[string]bool)
	for word := range strings.Lines(commonText) {
		words[strings.TrimSuffix(word, "\n")] = true
	}
	return words
})

// overrule says what else to do than to take a better password.
const overrule = ", or say --allow-weak-password"

// CheckFloor says why password is too easily guessed to be that of the account a: nil
// or Invalid.
func CheckFloor(password string, a mail.Address) error {
	if n := utf8.RuneCountInString(password); n < MinLength {
		return mail.Errorf(mail.Invalid, "the password has %d characters, and needs at least %d"+overrule, n, MinLength)
	}
	small := strings.ToLower(password)
	switch {
	case isOwnName(small, a):
		return mail.Errorf(mail.Invalid, "the password is made of the account's own address, and would be the first guess; take another"+overrule)
	case isCommon(small):
		return mail.Errorf(mail.Invalid, "the password is one that many people have, and would be among the first guesses; take another"+overrule)
	case isPattern(small):
		return mail.Errorf(mail.Invalid, "the password is one pattern all along, and would be among the first guesses; take another"+overrule)
	}
	return nil
}

// isCommon reports whether the password is a common one, as it is or with a few digits
// and signs around it.
func isCommon(small string) bool {
	word := strings.TrimFunc(small, isAttached)
	return common()[small] || word != "" && len(small)-len(word) <= attached && common()[word]
}

func isAttached(r rune) bool { return r < utf8.RuneSelf && (r < 'a' || r > 'z') }

// isOwnName reports whether little is left of the password without the names in the
// address.
func isOwnName(small string, a mail.Address) bool {
	rest := small
	names := append([]string{a.Key().Local, strings.ToLower(string(a.Domain))}, strings.Split(strings.ToLower(string(a.Domain)), ".")...)
	for _, name := range names {
		if utf8.RuneCountInString(name) > 2 {
			rest = strings.ReplaceAll(rest, name, "")
		}
	}
	return rest != small && len(rest) <= attached
}

// isPattern reports whether each character of the password follows from those before:
// aaaaaaaa, abababab, 23456789.
func isPattern(small string) bool {
	r := []rune(small)
	for period := 1; period <= len(r)/3; period++ {
		if follows(r, func(i int) bool { return i < period || r[i] == r[i-period] }) {
			return true
		}
	}
	step := r[1] - r[0]
	return (step == 1 || step == -1) && follows(r, func(i int) bool { return i == 0 || r[i]-r[i-1] == step })
}

func follows(r []rune, does func(i int) bool) bool {
	for i := range r {
		if !does(i) {
			return false
		}
	}
	return true
}
