package judge

import "yubin/internal/mail"

// Policies say how verdicts are made.
type Policies struct {
	Thresholds Thresholds    // of the site
	TrustedARC []mail.Domain // whose seals are believed
	KnownLists []mail.Domain // that may send on what others wrote, if they are authenticated
	Greylist   bool          // who is not known at all is told to come again
	// RefuseOwn are those of our domains that are refused, not put into Junk, when they
	// come from outside without proof.
	RefuseOwn map[mail.Domain]bool
}
