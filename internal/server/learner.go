package server

import (
	"yubin/internal/engine/extract"
	"yubin/internal/engine/lessons"
	"yubin/internal/mail"
)

// newLearner is the classifier in memory.
func newLearner() lessons.Learner { return unlearned{} }

// unlearned is a Learner that never knows.
type unlearned struct{}

func (unlearned) Features(*extract.Content) lessons.Features          { return nil }
func (unlearned) Score(mail.AccountID, lessons.Features) float64      { return 0 }
func (unlearned) Learn(mail.AccountID, lessons.Features, bool) []byte { return []byte{} }
func (unlearned) Unlearn(mail.AccountID, []byte) error                { return nil }
func (unlearned) Dirty() []lessons.Page                               { return nil }
func (unlearned) Load(mail.AccountID, []lessons.Page) error           { return nil }
func (unlearned) Forget(mail.AccountID)                               {}
