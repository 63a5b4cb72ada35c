package arc

import (
	"fmt"
	"strconv"

	"yubin/internal/mailauth/dkim"
)

// maxShown is how much of what a stranger wrote a sentence quotes.
const maxShown = 40

// String is the reason as a sentence without its full stop, in printable ASCII.
func (r Reason) String() string {
	switch r.Cause {
	case NoChain:
		return "nobody has sealed the message"
	case Verified:
		return "all seals and the newest message signature verify"
	case TooManySets:
		return fmt.Sprintf("more than %d sets", MaxSets)
	case LongHeader:
		return fmt.Sprintf("the header of the message is over %d octets", dkim.MaxHeader)
	case SaysFail:
		return fmt.Sprintf("the sealer of set %d found that the chain had failed", r.Instance)
	case BadInstance:
		return fmt.Sprintf("a field %s has no instance from 1 to %d", r.Field, MaxSets)
	case BadField:
		if r.Instance == 0 {
			return fmt.Sprintf("a field %s cannot be read: %s", r.Field, r.Why)
		}
		return fmt.Sprintf("%s of set %d: %s", r.Field, r.Instance, r.Why)
	case MissingField:
		return fmt.Sprintf("set %d has no %s", r.Instance, r.Field)
	case TwiceField:
		return fmt.Sprintf("set %d has two fields %s", r.Instance, r.Field)
	case BadChainStatus:
		detail := r.Detail[:min(len(r.Detail), maxShown)]
		return fmt.Sprintf("the seal of set %d says cv=%s, not cv=%s", r.Instance, strconv.QuoteToASCII(detail), wantedStatus(r.Instance))
	case SealNamesFields:
		return fmt.Sprintf("the seal of set %d has a tag \"h\"", r.Instance)
	case SignsSeals:
		return fmt.Sprintf("the message signature of set %d signs %s", r.Instance, dkim.ARCSeal.FieldName())
	case BadMessage:
		return fmt.Sprintf("message signature of set %d: %s", r.Instance, r.Why)
	case BadSeal:
		return fmt.Sprintf("seal of set %d: %s", r.Instance, r.Why)
	}
	return ""
}

// wantedStatus is what "cv" has to be (RFC 8617 §5.2 step 3 C).
func wantedStatus(instance int) string {
	if instance == 1 {
		return None.String()
	}
	return Pass.String()
}
