package directory

import (
	"github.com/xdg-go/stringprep"

	"yubin/internal/mail"
)

// Limits on what somebody who logs in can send, in octets.
const (
	MaxUserName = 512
	MaxPassword = 1024
)

// prepare brings a user name or password into the form in which both are
// stored and compared: SASLprep (RFC 4013).
//
// Deviation: code points that Unicode 3.2 had not assigned are allowed in
// stored strings too (RFC 4013 §2.5 has them only in queries), so that people
// can use the letters and signs that came after 2002.
func prepare(s string, limit int) (string, error) {
	if s == "" || len(s) > limit {
		return "", mail.Errorf(mail.Invalid, "must have 1 to %d octets", limit)
	}
	if isPrintableASCII(s) {
		return s, nil
	}
	profile := stringprep.Profile{
		Mappings:  stringprep.SASLprep.Mappings,
		Normalize: true,
		Prohibits: []stringprep.Set{
			stringprep.TableC1_2, stringprep.TableC2_1, stringprep.TableC2_2, stringprep.TableC3, stringprep.TableC4,
			stringprep.TableC5, stringprep.TableC6, stringprep.TableC7, stringprep.TableC8, stringprep.TableC9,
		},
		CheckBiDi: true,
	}
	out, err := profile.Prepare(s)
	if err != nil || out == "" {
		return "", mail.Errorf(mail.Invalid, "has characters that SASLprep (RFC 4013) refuses")
	}
	return out, nil
}

// isPrintableASCII accepts what SASLprep leaves as it is.
func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// preparePassword is prepare for a password that is to be set.
func preparePassword(password string) (string, error) {
	p, err := prepare(password, MaxPassword)
	if err != nil {
		return "", mail.Errorf(mail.Invalid, "the password %w", err)
	}
	return p, nil
}
