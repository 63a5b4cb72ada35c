package lessons

import (
	"yubin/internal/engine/extract"
	"yubin/internal/engine/junk"
	"yubin/internal/mail"
)

// Junk is the Learner that engine/junk is.
type Junk struct {
	site     *junk.Site
	accounts map[mail.AccountID]*junk.Account
	changed  map[mail.AccountID]bool // since Dirty
}

// NewJunk returns one that knows nothing.
func NewJunk() *Junk {
	return &Junk{junk.NewSite(), make(map[mail.AccountID]*junk.Account), make(map[mail.AccountID]bool)}
}

// Features implements Learner.
func (j *Junk) Features(c *extract.Content) Features { return junk.FeaturesOf(c) }

// Score implements Learner.
func (j *Junk) Score(account mail.AccountID, f Features) float64 {
	return junk.ScoreOf(j.site, j.accounts[account], f.(*junk.Features)).LogOdds
}

// own is the model of an account, to be changed; nil of the site.
func (j *Junk) own(account mail.AccountID) *junk.Account {
	if account == Site {
		return nil
	}
	if j.accounts[account] == nil {
		j.accounts[account] = junk.NewAccount()
	}
	j.changed[account] = true
	return j.accounts[account]
}

// Learn implements Learner.
func (j *Junk) Learn(account mail.AccountID, f Features, isJunk, site bool) []byte {
	learn := junk.LearnOwn
	if site {
		learn = junk.Learn
	}
	return learn(j.site, j.own(account), f.(*junk.Features), isJunk).Append(nil)
}

// Unlearn implements Learner.
func (j *Junk) Unlearn(account mail.AccountID, lesson []byte) error {
	l, err := junk.ParseLesson(lesson)
	if err == nil {
		junk.Unlearn(j.site, j.own(account), l)
	}
	return err
}

// Replay implements Learner.
func (j *Junk) Replay(lesson []byte, learned bool) error {
	l, err := junk.ParseLesson(lesson)
	switch {
	case err != nil:
	case learned:
		junk.Apply(j.site, nil, l)
	default:
		junk.Unlearn(j.site, nil, l)
	}
	return err
}

// Dirty implements Learner.
func (j *Junk) Dirty() (pages []Page) {
	for id := range j.changed {
		for _, n := range j.accounts[id].Dirty() {
			pages = append(pages, Page{id, int64(n), j.accounts[id].AppendPage([]byte{}, n)})
		}
	}
	clear(j.changed)
	return pages
}

// SitePages implements Learner.
func (j *Junk) SitePages() (pages []Page) {
	for _, n := range j.site.Dirty() {
		pages = append(pages, Page{Site, int64(n), j.site.AppendPage([]byte{}, n)})
	}
	return pages
}

// Load implements Learner.
func (j *Junk) Load(account mail.AccountID, pages []Page) error {
	j.Forget(account)
	set := j.site.SetPage
	if account != Site {
		j.accounts[account] = junk.NewAccount()
		set = j.accounts[account].SetPage
	}
	for _, p := range pages {
		if err := set(int(p.Number), p.Octets); err != nil {
			return err
		}
	}
	return nil
}

// Forget implements Learner.
func (j *Junk) Forget(account mail.AccountID) {
	delete(j.changed, account)
	if delete(j.accounts, account); account == Site {
		j.site = junk.NewSite()
	}
}
