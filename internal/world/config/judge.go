package config

import (
	"cmp"
	"math"

	"yubin/internal/mail"
)

// Judge is the [judge] table: what is done with the mail of strangers.
type Judge struct {
	Off   bool // nothing is judged
	Local bool // clients on this machine are judged as well
	// Greylist has those who are not known at all come again.
	Greylist bool

	Junk, Refuse float64 // scores from which on mail goes into Junk, or is refused; 0 means the default

	TrustedARC []mail.Domain // whose ARC seals are believed
	KnownLists []mail.Domain // that may send on what others wrote, if they are authenticated
	RefuseOwn  []mail.Domain // of ours: what forges them is refused
}

// maxDomains is how many domains a list of the [judge] table has.
const maxDomains = 1000

// The scores where nothing is said; those of engine/judge, as a test of server holds.
const (
	DefaultJunk   = 5.0
	DefaultRefuse = 15.0
)

// Bounds of the scores.
const (
	minScore = 0.1
	maxScore = 1000
)

func (t *table) judge(j *Judge) {
	on := true
	t.boolean("enabled", &on)
	j.Off = !on
	t.boolean("local", &j.Local)
	t.boolean("greylist", &j.Greylist)
	t.score("junk", &j.Junk)
	t.score("refuse", &j.Refuse)
	if junk := cmp.Or(j.Junk, DefaultJunk); junk > cmp.Or(j.Refuse, DefaultRefuse) {
		key := "junk"
		if j.Junk == 0 {
			key = "refuse"
		}
		t.fault(key, "leaves nothing for Junk: mail goes there from %g on, and is refused from %g on; junk must not be over refuse",
			junk, cmp.Or(j.Refuse, DefaultRefuse))
	}
	t.domains("trusted_arc", &j.TrustedARC)
	t.domains("known_lists", &j.KnownLists)
	t.domains("refuse_own", &j.RefuseOwn)
}

// score reads a number, with a point or without.
func (t *table) score(key string, dst *float64) {
	v, there := t.values[key]
	if n, whole := v.(int64); there && whole {
		t.values[key] = float64(n)
	}
	n, ok := take[float64](t, key, "a number")
	switch {
	case !ok:
	case math.IsNaN(n) || n < minScore || n > maxScore:
		t.fault(key, "must be from %g to %d", minScore, maxScore)
	default:
		*dst = n
	}
}

// domains reads a list of domains.
func (t *table) domains(key string, dst *[]mail.Domain) {
	for _, s := range t.texts(key, maxDomains) {
		d, err := mail.ParseDomain(s)
		if err != nil || d.IsLiteral() {
			t.fault(key, "must be a list of domain names; %q is none", s)
			continue
		}
		*dst = append(*dst, d)
	}
}
