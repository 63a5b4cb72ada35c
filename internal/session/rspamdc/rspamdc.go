// Package rspamdc asks rspamd what it thinks of a message, by its HTTP protocol
// (POST /checkv2, https://docs.rspamd.com/developers/protocol). Its score is a fact
// for who judges the message, in our scale; whether it would be refused is not rspamd's
// to say, and what it would change (its "milter" object) is not done. Whoever wants
// that runs rspamd as a milter (its proxy worker).
package rspamdc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
)

// What its score comes to: Unit of its points are one of ours, as it
// would mark as junk from 6 on and we from 5; and it decides nothing alone.
const (
	Unit      = 1.2
	MaxWeight = 8
	MinWeight = -4
	named     = 6 // symbols that are told, the heaviest
)

// Service is who is asked by HTTP: *web.Service.
type Service interface {
	Post(ctx context.Context, path string, fields map[string][]string, body io.Reader, size int64) ([]byte, error)
}

// Config of a Filter.
type Config struct {
	Service  Service
	Password string  // of the worker, "" for none
	Scale    float64 // times what it says; 0 means 1
}

// Filter is an rspamd. Safe for concurrent use.
type Filter struct{ cfg Config }

// New returns the filter. It connects to nobody.
func New(cfg Config) *Filter {
	if cfg.Scale == 0 {
		cfg.Scale = 1
	}
	return &Filter{cfg}
}

// Watches is true.
func (*Filter) Watches() bool { return true }

// Open notes who brings a message. rspamd is asked at the end only.
func (f *Filter) Open(_ context.Context, c filter.Connection, from filter.Sender) (filter.Conversation, filter.Answer, error) {
	t := &talk{filter: f, fields: map[string][]string{"From": {from.ReversePath.String()}}}
	if ip := c.Client.Addr().Unmap(); ip.IsValid() {
		t.fields["IP"] = []string{ip.WithZone("").String()}
	}
	for name, value := range map[string]string{"Helo": c.Hello, "Hostname": c.Name, "User": c.User, "Queue-Id": c.ID, "MTA-Name": string(c.Hostname),
		"TLS-Version": c.TLS, "TLS-Cipher": c.Cipher, "Password": f.cfg.Password} {
		if value != "" {
			t.fields[name] = []string{clean(value)}
		}
	}
	return t, filter.Answer{}, nil
}

// clean is a value that a field of HTTP may have.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

type talk struct {
	filter *Filter
	fields map[string][]string
}

// Rcpt notes a recipient.
func (t *talk) Rcpt(_ context.Context, to filter.Recipient) (filter.Answer, error) {
	t.fields["Rcpt"] = append(t.fields["Rcpt"], to.Address.String())
	return filter.Answer{}, nil
}

// Close does nothing.
func (*talk) Close() {}

// End asks.
func (t *talk) End(ctx context.Context, m filter.Message) (filter.Outcome, error) {
	octets, err := t.filter.cfg.Service.Post(ctx, "/checkv2", t.fields, io.NewSectionReader(m, 0, m.Size), m.Size)
	if err != nil {
		return filter.Outcome{}, err
	}
	fact, err := read(octets, t.filter.cfg.Scale)
	if err != nil {
		return filter.Outcome{}, err
	}
	return filter.Outcome{Facts: []filter.Fact{fact}}, nil
}

// answer is what of rspamd's is read.
type answer struct {
	Skipped  bool     `json:"is_skipped"`
	Score    *float64 `json:"score"`
	Required float64  `json:"required_score"`
	Action   string   `json:"action"`
	Error    string   `json:"error"`
	Symbols  map[string]struct {
		Score float64 `json:"score"`
	} `json:"symbols"`
}

// read makes a fact of an answer.
func read(octets []byte, scale float64) (filter.Fact, error) {
	var a answer
	if err := json.Unmarshal(octets, &a); err != nil {
		return filter.Fact{}, mail.Errorf(mail.Unavailable, "rspamd answers what is no answer: %w", err)
	}
	switch {
	case a.Error != "":
		return filter.Fact{}, mail.Errorf(mail.Unavailable, "rspamd answers that it cannot: %.200q", a.Error)
	case a.Skipped && (a.Score == nil || *a.Score == 0): // It may skip what it knows at once, and then has a score.
		return filter.Fact{Name: "rspamd", Text: "rspamd has not looked at it"}, nil
	case a.Score == nil || math.IsNaN(*a.Score):
		return filter.Fact{}, mail.Errorf(mail.Unavailable, "rspamd answers without a score")
	}
	f := filter.Fact{Name: "rspamd", Weight: math.Round(min(max(*a.Score/Unit*scale, MinWeight), MaxWeight)*10) / 10}
	f.Text = fmt.Sprintf("rspamd gives it %.1f points of %.1f%s", *a.Score, a.Required, a.heaviest())
	return f, nil
}

// heaviest names the symbols that weigh most.
func (a *answer) heaviest() string {
	var names []string
	for name, s := range a.Symbols {
		if s.Score != 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		if d := math.Abs(a.Symbols[y].Score) - math.Abs(a.Symbols[x].Score); d != 0 {
			return int(math.Copysign(1, d))
		}
		return strings.Compare(x, y)
	})
	text := ""
	for i, name := range names[:min(len(names), named)] {
		text += fmt.Sprintf("%s%s %+.1f", map[bool]string{true: ": ", false: ", "}[i == 0], printable(name), a.Symbols[name].Score)
	}
	return text
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 60)]
}
