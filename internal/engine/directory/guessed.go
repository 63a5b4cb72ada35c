package directory

import "errors"

// IsWrongPassword reports whether a login failed because the password of an account, or the
// proof of it, was wrong; not if it was the same wrong one again, which a program with an
// old password tries.
func IsWrongPassword(err error) bool { return errors.Is(err, errWrongPassword) }

// IsUnknownUser reports whether a login failed because nobody is called so.
func IsUnknownUser(err error) bool { return errors.Is(err, errUnknownUser) }
