package acme

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"yubin/internal/mail"
)

// Kind is how control over a name is shown.
type Kind string

// The kinds.
const (
	HTTP01    Kind = acme.ChallengeTypeHTTP01
	TLSALPN01 Kind = acme.ChallengeTypeTLSALPN01
	DNS01     Kind = acme.ChallengeTypeDNS01
)

// Challenge is what is to be shown for one name.
type Challenge struct {
	Kind  Kind
	Name  string // without "*."
	Token string // letters, digits, - and _: MaxToken at most
	// KeyAuthorization is what http-01 answers with; the other kinds show its hash.
	KeyAuthorization string
}

// DNSName is where the record of dns-01 is (RFC 8555 §8.4).
func (c Challenge) DNSName() string { return "_acme-challenge." + c.Name }

// DNSText is the record of dns-01.
func (c Challenge) DNSText() string {
	sum := sha256.Sum256([]byte(c.KeyAuthorization))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Solver shows what is to be shown.
type Solver interface {
	// Present returns when it can be seen.
	Present(context.Context, Challenge) error
	// Withdraw takes it back. It is called once for each Present, whatever became of it.
	Withdraw(context.Context, Challenge)
}

// Order is what a certificate is asked for with.
type Order struct {
	Names    []string // ASCII; "*.example.org" with DNS01 only
	Key      crypto.Signer
	Kind     Kind
	Replaces *x509.Certificate // the one that this is to follow (RFC 9773 §5); nil for none
}

// Issue orders a certificate, shows control over its names one after the other, and returns
// the chain in DER, the leaf first.
func (c *Client) Issue(ctx context.Context, a Account, o Order, s Solver) (chain [][]byte, err error) {
	if len(o.Names) == 0 || len(o.Names) > MaxNames {
		return nil, mail.Errorf(mail.TooLarge, "a certificate is for 1 to %d names", MaxNames)
	}
	ctx, op, cancel := c.operation(ctx, IssueTime)
	defer cancel()
	account := acme.Account{PrivateKey: a.Key, Location: a.URL, Status: acme.StatusValid}
	order, err := c.order(ctx, account, o)
	if err != nil {
		return nil, op.fault("a certificate cannot be ordered", err)
	}
	if len(order.Authorizations) > len(o.Names) {
		return nil, mail.Errorf(mail.Unavailable, "the authority wants %d proofs for %d names", len(order.Authorizations), len(o.Names))
	}
	for _, url := range order.Authorizations {
		if name, err := c.authorize(ctx, account, url, o, s); err != nil {
			return nil, op.fault("it could not be shown that "+name+" is ours", err)
		}
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: o.Names}, o.Key)
	if err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "a request for a certificate cannot be made", Err: err}
	}
	if order, err = c.acme.FinalizeOrder(ctx, account, order, request); err != nil {
		return nil, op.fault("the certificate was not made", err)
	}
	chains, err := c.acme.GetCertificateChain(ctx, account, order.Certificate)
	if err != nil || len(chains) == 0 {
		return nil, op.fault("the certificate cannot be fetched", err)
	}
	return c.check(chains[0].ChainPEM, o)
}

// order makes an order. A server that does not know the certificate that it replaces, or
// has another that does, makes one without that (RFC 9773 §5).
func (c *Client) order(ctx context.Context, a acme.Account, o Order) (acme.Order, error) {
	var wanted acme.Order
	for _, name := range o.Names {
		wanted.Identifiers = append(wanted.Identifiers, acme.Identifier{Type: "dns", Value: name})
	}
	d, err := c.acme.GetDirectory(ctx)
	if err != nil {
		return wanted, err
	}
	if o.Replaces != nil && d.RenewalInfo != "" && len(o.Replaces.AuthorityKeyId) > 0 {
		again := wanted
		if again.Replaces, err = acme.ARIUniqueIdentifier(o.Replaces); err == nil {
			if order, err := c.acme.NewOrder(ctx, a, again); err == nil || !isProblem(err, acme.ProblemTypeAlreadyReplaced, acme.ProblemTypeMalformed) {
				return order, err
			}
		}
	}
	return c.acme.NewOrder(ctx, a, wanted)
}

// authorize shows control over one of the names of an order, and returns which.
func (c *Client) authorize(ctx context.Context, a acme.Account, url string, o Order, s Solver) (name string, err error) {
	auth, err := c.acme.GetAuthorization(ctx, a, url)
	if err != nil {
		return "a name", err
	}
	name = auth.Identifier.Value
	plain := strings.TrimPrefix(name, "*.")
	if auth.Identifier.Type != "dns" || !slices.ContainsFunc(o.Names, func(n string) bool { return strings.TrimPrefix(n, "*.") == plain }) {
		return fmt.Sprintf("%.100q", name), mail.Errorf(mail.Unavailable, "the authority asks for a name that was not ordered")
	}
	if auth.Status == acme.StatusValid { // It remembers.
		return name, nil
	}
	i := slices.IndexFunc(auth.Challenges, func(ch acme.Challenge) bool { return ch.Type == string(o.Kind) })
	if i < 0 {
		return name, mail.Errorf(mail.Forbidden, "the authority does not offer %s for it: choose another challenge in [acme]", o.Kind)
	}
	ch := auth.Challenges[i]
	if !sound(ch.Token) {
		return name, mail.Errorf(mail.Unavailable, "the authority's token is none (RFC 8555 §8.3)")
	}
	shown := Challenge{Kind: o.Kind, Name: plain, Token: ch.Token, KeyAuthorization: ch.KeyAuthorization}
	defer s.Withdraw(context.WithoutCancel(ctx), shown)
	if err := s.Present(ctx, shown); err != nil {
		return name, err
	}
	if _, err := c.acme.InitiateChallenge(ctx, a, ch); err != nil {
		return name, err
	}
	_, err = c.acme.PollAuthorization(ctx, a, auth)
	return name, err
}

// sound reports whether a token is one (RFC 8555 §8.3).
func sound(token string) bool {
	return token != "" && len(token) <= MaxToken && !strings.ContainsFunc(token, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// check takes a chain apart, and verifies that it is what was asked for: our key, our
// names, in time, each certificate signed by the next.
func (c *Client) check(text []byte, o Order) (chain [][]byte, err error) {
	bad := func(format string, values ...any) error {
		return mail.Errorf(mail.Unavailable, "the authority's certificate is no good: %s", fmt.Sprintf(format, values...))
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		one, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			return nil, bad("part %d of the chain cannot be read", len(list)+1)
		}
		if len(list) == MaxChain {
			return nil, bad("its chain is longer than %d", MaxChain)
		}
		list, chain = append(list, one), append(chain, block.Bytes)
	}
	if len(list) == 0 {
		return nil, bad("there is none in the answer")
	}
	leaf := list[0]
	if key, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(o.Key.Public()) {
		return nil, bad("it is for another key")
	}
	for _, name := range o.Names {
		if !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return nil, bad("it is not for %s", name)
		}
	}
	if now := c.o.Now(); !leaf.NotAfter.After(now) || leaf.NotBefore.After(now.Add(24*time.Hour)) {
		return nil, bad("it is good from %s to %s; is the clock of this machine right?", leaf.NotBefore.UTC().Format(time.DateTime), leaf.NotAfter.UTC().Format(time.DateTime))
	}
	for i, one := range list[:len(list)-1] {
		if err := one.CheckSignatureFrom(list[i+1]); err != nil {
			return nil, bad("part %d of the chain is not signed by the next", i+1)
		}
	}
	return chain, nil
}
