package judge

import (
	"context"
	"fmt"

	"yubin/internal/engine/history"
	"yubin/internal/mail"
)

// History knows who wrote to whom: *history.History.
type History interface {
	Ask(ctx context.Context, account mail.AccountID, c history.Correspondent) (history.Known, error)
	Received(account mail.AccountID, c history.Correspondent)
}

// The weights of who is known (design: the order of trust).
const (
	weightWelcome   = -8.0 // the account's owner wrote to the address
	weightLiked     = -3.0 // what came was answered or kept
	weightKnown     = -1.0 // mail came before, and nobody minded
	weightSiteLiked = -1.5
	weightSiteKnown = -0.5
	weightFirst     = 0.2
	weightDisliked  = 4.0 // what came was called junk
	weightSiteJunk  = 2.0
	weightNetwork   = 1.0
	// unreadOf is how many messages of somebody have to be deleted unread for one more
	// to be unwelcome.
	unreadOf     = 3
	weightUnread = 0.8
)

// correspondent is who wrote.
func (f *Facts) correspondent() history.Correspondent {
	return history.Correspondent{Address: f.Author, Authenticated: f.Authenticated, Network: f.Client.Remote}
}

// known weighs what an account, and the site, know of who wrote.
func (c *Case) known(ctx context.Context, f *Facts, account mail.AccountID) (reasons []Reason) {
	if c.j.o.History == nil {
		return nil
	}
	k, err := c.j.o.History.Ask(ctx, account, f.correspondent())
	if err != nil {
		c.j.o.Log.Warn("what is known of a sender could not be read; the message is judged without it", "err", err)
		return nil
	}
	add := func(name string, weight float64, format string, args ...any) {
		reasons = append(reasons, Reason{Name: name, Text: fmt.Sprintf(format, args...), Weight: weight})
	}
	who := printable(f.Author.String())
	if f.Author.IsZero() {
		who = "the sender"
	}
	mine, site := k.Of.Address, k.Site.Address // What others of a domain did is not this one's.
	whose := who
	if f.Authenticated != "" && mine.Received+site.Received == 0 {
		whose = "somebody at " + printable(string(f.Authenticated))
	}
	switch trust := k.Trust(); {
	case trust == history.Welcome:
		add("written-to", weightWelcome, "the reader wrote to %s before", who)
	case account != history.Site && mine.Disliked():
		add("called-junk", weightDisliked, "the reader called mail of %s junk before", who)
	case trust == history.KnownToAccount && mine.Liked():
		add("kept-before", weightLiked, "the reader answered or kept mail of %s before", who)
	case trust == history.KnownToAccount:
		add("known-sender", weightKnown, "%s wrote to the reader before", whose)
	case trust == history.KnownToSite && site.Liked():
		add("kept-here", weightSiteLiked, "others here answered or kept mail of %s", who)
	case trust == history.KnownToSite:
		add("known-here", weightSiteKnown, "%s wrote to others here before", whose)
	case site.Disliked():
		add("junk-here", weightSiteJunk, "others here called mail of %s junk", who)
	case mine.Received == 0:
		add("first-contact", weightFirst, "%s never wrote to the reader before", who)
	}
	if mine.DeletedUnread >= unreadOf && mine.DeletedUnread > mine.Answered+mine.Filed+mine.NotJunk {
		add("deleted-unread", weightUnread, "the reader deleted mail of %s unread, %d times", who, mine.DeletedUnread)
	}
	if n := k.Of.Network.Plus(k.Site.Network); n.Disliked() && f.Client.Remote.IsValid() {
		add("network-junk", weightNetwork, "mail from the network of %s was called junk here", f.Client.Remote)
	}
	return reasons
}
