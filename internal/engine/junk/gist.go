package junk

import "math"

// A gist is what a score needs of a slot, in four octets for its sixteen: the gists of a whole site stay in the
// processor's caches, where a message has a thousand features and each lies elsewhere. The lower gistBits say how the
// messages that had the feature are divided, the others are its weight, in 1/weightUnit. The zero gist is of the zero slot.
type gist uint32

const (
	gistBits  = 10
	gistKinds = 1 << gistBits
	even      = gistKinds / 2 // a feature that as many of each kind had
	division  = 32            // steps of a natural log-odds: up to 16 to either side
	maxWeight = 1<<(31-gistBits) - 1
)

// gistOf returns the gist of a slot.
func gistOf(k slot) gist {
	if k.junk == 0 && k.ham == 0 {
		return gist(k.weight) << gistBits
	}
	odds := logarithm((float64(k.junk) + smoothing) / (float64(k.ham) + smoothing))
	kind := max(1, min(gistKinds-1, int(math.Round(odds*division))+even))
	return gist(max(-maxWeight, min(maxWeight, k.weight)))<<gistBits | gist(kind)
}

// gist keeps the gist of the slot with a number.
func (s *Site) gist(n uint32, k slot) {
	if s.gists == nil {
		s.gists = make([]gist, 1<<siteBits)
	}
	s.gists[n] = gistOf(k)
}

// weight returns the weight, in 1/weightUnit.
func (g gist) weight() int32 { return int32(g) >> gistBits }

// worths works out how much a feature counts by how it is divided, from the messages that there were of each kind.
func (s *Site) worths() {
	imbalance := s.imbalance()
	s.worth[0] = float32(worth(imbalance, 0))
	for kind := 1; kind < gistKinds; kind++ {
		s.worth[kind] = float32(worth(imbalance, float64(kind-even)/division))
	}
}

// sum is what a score adds up of the features of one sort.
type sum struct {
	squares float32 // of what they count
	known   float32 // of that, of features that were learned of
	site    float32 // what the site's weights say
	account float32 // and the account's
}

// weigh adds up what is known of the features of a message, by gists; the account may be nil. A thousand random reads are
// under way at a time: nothing in the loop waits for them.
func (s *Site) weigh(a *Account, f *Features) (sums [sorts]sum) {
	if a == nil || a.bias.junk+a.bias.ham == 0 {
		a = noAccount
	}
	gists := s.gists
	if gists == nil {
		gists = noGists
	}
	for _, x := range f.list {
		g := gists[siteSlot(x.hash)&uint32(len(gists)-1)]
		value := s.worth[g%gistKinds]
		sum := &sums[x.sort]
		sum.squares += value * value
		if g%gistKinds != 0 {
			sum.known += value * value
		}
		sum.site += value * float32(g.weight())
		sum.account += value * float32(a.at(accountSlot(x.hash)))
	}
	return sums
}

// What is asked where nothing was learned.
var (
	noAccount = new(Account)
	noGists   = make([]gist, 1)
)

// score is what the sums of a message say, and what the account's lessons say beyond.
func (s *Site) score(sums *[sorts]sum) (out Score) {
	margin, own := float64(s.bias.weight), 0.0
	all, known := 0.0, 0.0
	for sort, sum := range sums {
		if sum.squares == 0 {
			continue
		}
		scale := scaleOf(sort, float64(sum.squares))
		all += scale * scale * float64(sum.squares)
		known += scale * scale * float64(sum.known)
		margin += scale * float64(sum.site)
		own += scale * float64(sum.account)
	}
	out.Sure = s.sure(all, known)
	out.Site = slope * margin / weightUnit * out.Sure
	out.Account = own / weightUnit
	out.LogOdds = max(-MaxScore, min(MaxScore, out.Site+out.Account))
	return out
}
