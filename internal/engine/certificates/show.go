package certificates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/certs"
	"yubin/internal/world/sqldb"
)

// State is how a certificate is.
type State string

// The states.
const (
	Waiting State = "waiting" // none of its names leads here; nothing is ordered
	Ordered State = "ordered" // there is none yet
	Failing State = "failing" // there is none yet, or a renewal is due, and the last try failed
	Valid   State = "valid"
	Ended   State = "expired"
)

// Status is a certificate as people see it.
type Status struct {
	Name      string    `json:"name"`
	State     State     `json:"state"`
	Names     []string  `json:"names"` // of the one that is there, else those that it is to be for
	Missing   []string  `json:"missing,omitempty"`
	LeftOut   []LeftOut `json:"left_out,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	Serial    string    `json:"serial,omitempty"`
	Issued    time.Time `json:"issued,omitzero"`
	Ends      time.Time `json:"ends,omitzero"`
	Next      time.Time `json:"next,omitzero"` // when it is ordered or renewed; zero for never
	Why       string    `json:"why,omitempty"` // what for
	Reason    string    `json:"window_url,omitempty"`
	Key       string    `json:"key,omitempty"` // SHA-256 of the public key, as in TLSA 3 1 1
	NextKey   string    `json:"next_key,omitempty"`
	NextKeyAt time.Time `json:"next_key_at,omitzero"` // when it is taken
	Asked     bool      `json:"asked,omitempty"`      // somebody wants it ordered now, and it has not been tried yet
	Failures  int       `json:"failures,omitempty"`
	Failed    time.Time `json:"failed,omitzero"`
	Fault     string    `json:"fault,omitempty"` // partly a stranger's words
	Advice    string    `json:"advice,omitempty"`
	Directory string    `json:"directory,omitempty"` // of the authority that made it
}

// List says how all certificates are, the host's first.
func (c *Certificates) List(ctx context.Context) ([]Status, error) {
	rows, keys, err := c.state(ctx)
	if err != nil {
		return nil, err
	}
	s := c.settingsNow()
	list := []Status{}
	host, _ := ascii(s.Hostname)
	slices.SortStableFunc(rows, func(a, b row) int {
		switch {
		case a.name == host && b.name != host:
			return -1
		case b.name == host && a.name != host:
			return 1
		}
		return 0
	})
	for _, r := range rows {
		list = append(list, c.status(r, keys[r.name], s))
	}
	return list, nil
}

// Show says how a certificate is, by what it is called or by a name that it is for.
// NotFound.
func (c *Certificates) Show(ctx context.Context, name string) (Status, error) {
	list, err := c.List(ctx)
	if err != nil {
		return Status{}, err
	}
	for _, has := range []func(Status) bool{
		func(st Status) bool { return st.Name == name },
		func(st Status) bool { return slices.Contains(st.Names, name) || slices.Contains(st.Missing, name) },
		func(st Status) bool {
			return slices.ContainsFunc(st.LeftOut, func(l LeftOut) bool { return l.Name == name })
		},
	} {
		if i := slices.IndexFunc(list, has); i >= 0 {
			return list[i], nil
		}
	}
	return Status{}, mail.Errorf(mail.NotFound, "there is no certificate for %.100q; yubin cert list shows all", name)
}

func (c *Certificates) status(r row, keys []Key, s Settings) Status {
	now := c.now()
	out := Status{Name: r.name, State: Valid, Names: r.wanted, LeftOut: r.leftOut, Failures: r.failures, Failed: r.failed, Fault: r.fault, Asked: r.asked,
		Reason: r.window.reason, Directory: r.authority}
	out.Next, out.Why = r.next(keys, s)
	if out.Why != "" && out.Next.Before(now) {
		out.Next = now
	}
	if r.is() {
		out.Names, out.Missing = r.names, r.missing()
		out.Issuer, out.Serial, out.Issued, out.Ends = r.issuer, r.serial, r.issued, r.ends
	}
	for _, k := range keys {
		sum := sha256.Sum256(k.Public)
		if k.Next {
			out.NextKey, out.NextKeyAt = hex.EncodeToString(sum[:]), k.From
		} else {
			out.Key = hex.EncodeToString(sum[:])
		}
	}
	switch {
	case r.is() && !now.Before(r.ends):
		out.State = Ended
	case r.failures > 0:
		out.State = Failing
	case !r.is() && len(r.wanted) == 0:
		out.State = Waiting
	case !r.is():
		out.State = Ordered
	}
	if r.failures > 0 {
		out.Advice = advice(r.fault, s)
	}
	return out
}

// Concern is what somebody should see to.
type Concern struct {
	Name   string // of the certificate
	Ended  bool   // it has ended: clients refuse it
	Absent bool   // there is none
	Text   string
}

// Concerns are certificates that there are not though an order failed, and those that come
// to their end, when a third of their time is left, at most certs.Ending. Those that nothing
// is ordered for are not told of: their names lead elsewhere.
func (c *Certificates) Concerns(ctx context.Context) (all []Concern, err error) {
	s := c.settingsNow()
	if s.Off {
		return nil, nil
	}
	var rows []row
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err = c.rows(tx)
		return err
	})
	for _, r := range rows {
		if len(r.wanted) == 0 {
			continue
		}
		one := Concern{Name: r.name, Absent: !r.is()}
		if one.Absent {
			if r.failures == 0 {
				continue
			}
			one.Text = fmt.Sprintf("there is no certificate for %s yet, and clients see one that nobody believes", r.name)
		} else {
			left := r.ends.Sub(c.now())
			one.Ended = left <= 0
			switch {
			case one.Ended:
				one.Text = fmt.Sprintf("the certificate for %s has expired on %s, and clients refuse it", r.name, r.ends.Format(time.DateOnly))
			case left < min(certs.Ending, r.lifetime()/3) && r.failures > 0, left < min(certs.Ending, r.lifetime()/6): // Without a failure it may just be at it.
				one.Text = fmt.Sprintf("the certificate for %s ends on %s, and is not renewed yet", r.name, r.ends.Format(time.DateTime+" MST"))
			default:
				continue
			}
		}
		if r.failures > 0 {
			one.Text += ". " + failed(r.failures) + r.fault + ". " + advice(r.fault, s)
		}
		all = append(all, one)
	}
	return all, err
}

// failed says how often something did.
func failed(n int) string {
	if n == 1 {
		return "It failed: "
	}
	return fmt.Sprintf("It failed %d times, the last time: ", n)
}
