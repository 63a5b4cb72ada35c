package smtpd

import (
	"context"
	"errors"
	"io"
	"strings"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
)

// wordy is a filter that does what the words of addresses and subjects say.
type wordy struct{}

// words are what it says to some.
var words = map[string]filter.Answer{
	"refuse":  {Do: filter.Reject},
	"own":     {Do: filter.Reject, Reply: filter.Reply{Code: 554, Enhanced: mail.Enhanced{Class: 5, Subject: 7, Detail: 0}, Text: "not this one"}},
	"wait":    {Do: filter.Defer},
	"hangup":  {Do: filter.Defer, Reply: filter.Reply{Code: 421, Text: "gone"}},
	"discard": {Do: filter.Discard},
}

func (wordy) Watches() bool { return false }

func (w wordy) Open(_ context.Context, c filter.Connection, from filter.Sender) (filter.Conversation, filter.Answer, error) {
	if from.ReversePath.Local == "broken" {
		return nil, filter.Answer{}, errors.New("it is broken")
	}
	return w, words[from.ReversePath.Local], nil
}

func (wordy) Rcpt(_ context.Context, to filter.Recipient) (filter.Answer, error) {
	_, detail, _ := strings.Cut(to.Address.Local, "+")
	return words[detail], nil
}

func (wordy) Close() {}

func (wordy) End(_ context.Context, m filter.Message) (o filter.Outcome, err error) {
	octets, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size))
	if err != nil {
		return o, err
	}
	subject, _, _ := strings.Cut(strings.TrimPrefix(string(octets), "Subject: "), "\r\n")
	if subject != "change" {
		return filter.Outcome{Answer: words[subject]}, nil
	}
	_, err = io.WriteString(m.NewBody(), "another body\r\n")
	null := mail.ReversePath{}
	return filter.Outcome{Fields: []filter.Change{{Kind: filter.SetField, Name: "Subject", Value: " changed"}}, Sender: &null,
		Add: []mail.Address{{Local: "bob", Domain: "example.org"}, {Local: "x", Domain: "stranger.example"}}, Remove: []mail.Address{{Local: "sales", Domain: "example.org"}}}, err
}
