package lessons

import (
	"time"

	"yubin/internal/engine/extract"
	"yubin/internal/mail"
)

// Learner is a classifier, in memory: engine/junk's. It is asked by several at a time,
// and changed by one alone.
type Learner interface {
	// Features are what it sees of a message.
	Features(*extract.Content) Features
	// Score is what it thinks of a message for an account, by the account's model and the
	// site's: log-odds that it is junk.
	Score(account mail.AccountID, f Features) float64
	// Learn changes the account's model and, if it teaches the site, the site's, and says what
	// it changed. The site may be the account.
	Learn(account mail.AccountID, f Features, junk, site bool) (lesson []byte)
	// Unlearn takes back exactly what a lesson changed, whatever was learned since.
	Unlearn(account mail.AccountID, lesson []byte) error
	// Dirty gives the pages of accounts that changed since it was asked last, not of the
	// site.
	Dirty() []Page
	// SitePages gives those of the site's model that changed since it was asked last, or
	// since the model was loaded, replayed lessons counted.
	SitePages() []Page
	// Replay does to the site's model what a lesson did, or the opposite.
	Replay(lesson []byte, learned bool) error
	// Load makes pages the model of an account, whatever that was.
	Load(account mail.AccountID, pages []Page) error
	// Forget drops the model of an account from memory.
	Forget(account mail.AccountID)
}

// Features are what a Learner sees of a message.
type Features any

// Page is a part of a model.
type Page struct {
	Account mail.AccountID
	Number  int64
	Octets  []byte
}

// models are those in memory.
type models struct {
	Learner
	in map[mail.AccountID]*inMemory
}

// inMemory is how far a model in memory is.
type inMemory struct {
	version int64
	read    time.Time // from the database, or written
}

func newModels(l Learner) models { return models{l, make(map[mail.AccountID]*inMemory)} }

// has says whether a version of a model is in memory.
func (m *models) has(id mail.AccountID, version int64) bool {
	in := m.in[id]
	return in != nil && in.version == version
}

// fresh says whether a model is in memory that can be believed.
func (m *models) fresh(id mail.AccountID, now time.Time) bool {
	in := m.in[id]
	if in == nil {
		return false
	}
	age := now.Sub(in.read)
	return age >= 0 && age < FreshFor
}

// is notes which version of a model is in memory. If there are too many, that which was
// read longest ago is forgotten: what is used is read anew once in a while.
func (m *models) is(id mail.AccountID, version int64, now time.Time) {
	m.in[id] = &inMemory{version: version, read: now}
	if len(m.in) <= MaxModels+1 {
		return
	}
	oldest := Site
	for other, in := range m.in {
		if other != Site && other != id && (oldest == Site || in.read.Before(m.in[oldest].read)) {
			oldest = other
		}
	}
	m.forget(oldest)
}

// forget has a model read anew before it is used.
func (m *models) forget(id mail.AccountID) {
	delete(m.in, id)
	m.Forget(id)
}
