package server

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/smtpsink"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/netx"
)

// What may become of mail, as letters of hop.want.
const (
	delivered = 'd'
	bounced   = 'b'
	waiting   = 'w'
	untold    = 'u' // it failed, and came from <>
)

// hop is one domain and the host behind it.
type hop struct {
	name string // the domain is name.example
	// share of the recipients; where mail is tried for five days it is small.
	share int
	want  string // what may become of mail that is old
	late  string // and of young mail; "" is the same
	// sort says for each fate, instead of want and late.
	sort func(*fate) string
	cuts bool // it may have mail though its answer is missing
	dns  dns.Failure
	zone string // records instead of the usual ones; DOMAIN is its name

	behave  func(w *world) func(smtpsink.Event) smtpsink.Say
	host    *smtpsink.Host
	refuses bool // connections
	hole    bool // connections are never made
	died    time.Time
}

func (h *hop) domain() string { return h.name + ".example" }

// part is how many octets of content some hosts read: fewer than any has.
const part = 50

// outage is how long a host is gone that accepted and died.
const outage = time.Hour

type (
	event = smtpsink.Event
	say   = smtpsink.Say
)

// always does one thing at a moment, and all else well.
func always(m smtpsink.Moment, s say) func(*world) func(event) say {
	return sometimes(1, m, s)
}

// sometimes does it with a probability.
func sometimes(p float64, m smtpsink.Moment, s say) func(*world) func(event) say {
	return func(w *world) func(event) say {
		return func(e event) say {
			if e.Moment == m && w.chance() < p {
				return s
			}
			return say{}
		}
	}
}

// lots are the hosts whose recipients are told apart by their last digit.
func lots(m smtpsink.Moment, words map[byte]string) func(*world) func(event) say {
	return func(*world) func(event) say {
		return func(e event) say {
			if e.Moment != m {
				return say{}
			}
			local, _, _ := strings.Cut(e.To, "@")
			return say{Text: words[local[len(local)-1]]}
		}
	}
}

// greylisting takes who comes again after five minutes.
func greylisting(w *world) func(event) say {
	first := map[string]time.Time{}
	return func(e event) say {
		if e.Moment != smtpsink.Rcpt {
			return say{}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if first[e.To].IsZero() {
			first[e.To] = time.Now()
		}
		if time.Since(first[e.To]) < 5*time.Minute {
			return say{Text: "450 4.7.1 greylisted"}
		}
		return say{}
	}
}

// dies takes a message and is gone.
func dies(w *world) func(event) say {
	return func(e event) say {
		if e.Moment != smtpsink.End {
			return say{}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hop("dies").died = time.Now()
		return say{Text: "250 2.0.0 mine", Then: smtpsink.Close}
	}
}

// liar says that it takes anything, and then does not.
func liar(*world) func(event) say {
	return func(e event) say {
		if e.Moment == smtpsink.End && e.Letter.Size > liarSize {
			return say{Text: "552 5.3.4 too large after all"}
		}
		return say{}
	}
}

// liarSize is how many octets a liar takes.
const liarSize = 2000

func small(f *fate) string {
	if f.size > liarSize {
		return "b"
	}
	return "d"
}

func halves(f *fate) string {
	if f.lot() < '5' {
		return "b"
	}
	return "d"
}

// byLot is for the host with the answers of mixed.
func byLot(f *fate) string {
	switch answer := mixed[f.lot()]; {
	case answer == "":
		return "d"
	case answer[0] == '4' && f.young:
		return "w"
	}
	return "b"
}

// unheard ends the conversation where the reply to TLS should be.
func unheard(octets string, then smtpsink.Then) func(*world) func(event) say {
	return always(smtpsink.StartTLS, say{Text: "220 go\r\n" + octets, Raw: true, Then: then})
}

func offers(list ...string) *smtpsink.Host { return &smtpsink.Host{Offers: list} }

// secure offers TLS too.
func secure() *smtpsink.Host {
	return &smtpsink.Host{Offers: modern, TLS: certstest.New("mx").Server()}
}

// ancient knows no EHLO.
func ancient(*world) func(event) say {
	return func(e event) say {
		if e.Moment == smtpsink.Hello && strings.HasPrefix(e.Line, "EHLO") {
			return say{Text: "500 what is EHLO?"}
		}
		return say{}
	}
}

// modern is what a good host offers.
var modern = []string{"PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"}

// mixed are the answers to the message by the last digit of the recipient.
var mixed = map[byte]string{'0': "550 5.1.1 nobody", '1': "550 5.1.1 nobody", '2': "450 4.2.1 later"}

// fair are hosts that take everything.
func fair() []*hop {
	return []*hop{
		{name: "good", share: 200, want: "d", host: offers(modern...)},
		{name: "secure", share: 60, want: "d", host: secure()},
		{name: "chunks", share: 80, want: "d", host: offers("CHUNKING", "PIPELINING", "8BITMIME", "SMTPUTF8")},
		{name: "backup", share: 40, want: "d", host: offers(modern...), zone: "DOMAIN MX 10 dead.DOMAIN\nDOMAIN MX 20 mx.DOMAIN\ndead.DOMAIN A 192.0.2.250"},
	}
}

// lost are the ways not to have a conversation.
func lost() []*hop {
	later := func(name string, behave func(*world) func(event) say) *hop {
		return &hop{name: name, share: 5, want: "b", late: "w", behave: behave, host: offers(modern...)}
	}
	return []*hop{
		{name: "down", share: 15, want: "b", late: "w", refuses: true},
		{name: "hole", share: 8, want: "b", late: "w", hole: true},
		later("mute", always(smtpsink.Greeting, say{Then: smtpsink.Hold})),
		later("drip", always(smtpsink.Greeting, say{Text: "220 one octet a minute", Drip: time.Minute})),
		later("dripehlo", always(smtpsink.Hello, say{Text: "250-" + strings.Repeat("X", 4000), Drip: 20 * time.Second})),
		later("endless", always(smtpsink.Hello, say{Text: "250-and", Flood: true})),
		later("noend", always(smtpsink.Greeting, say{Text: "220 " + strings.Repeat("x", 200_000), Raw: true, Then: smtpsink.Hold})),
		later("garbage", always(smtpsink.Greeting, say{Text: "220-mx\nSSH-2.0\n\x00\xff\n220 mx"})),
		later("busy", always(smtpsink.Greeting, say{Text: "421 4.3.2 busy", Then: smtpsink.Close})),
		{name: "oftenbusy", share: 20, want: "d", late: "dw", host: offers(modern...),
			behave: sometimes(0.7, smtpsink.Greeting, say{Text: "421 4.3.2 busy", Then: smtpsink.Close})},
		{name: "noservice", share: 20, want: "b", behave: always(smtpsink.Greeting, say{Text: "554 5.3.2 no mail here", Then: smtpsink.Close})},
	}
}

// rude are hosts that talk, and then take nothing, or not at once.
func rude() []*hop {
	return []*hop{
		{name: "closesdata", share: 2, want: "b", late: "w", host: offers(modern...), behave: always(smtpsink.Data, say{Text: "354 go", Then: smtpsink.Close})},
		{name: "fullrcpt", share: 2, want: "b", late: "w", host: offers(modern...), behave: always(smtpsink.Rcpt, say{Text: "450 4.2.2 full"})},
		{name: "fullend", share: 2, want: "b", late: "w", host: offers(modern...), behave: always(smtpsink.End, say{Text: "451 4.3.0 not now"})},
		{name: "grey", share: 90, want: "d", late: "dw", host: offers(modern...), behave: greylisting},
		{name: "resets", share: 2, want: "b", late: "w", host: offers(modern...), behave: always(smtpsink.Content, say{Eat: part, Then: smtpsink.Reset})},
		{name: "oftenresets", share: 30, want: "d", late: "dw", host: offers(modern...), behave: sometimes(0.5, smtpsink.Content, say{Eat: part, Then: smtpsink.Reset})},
		{name: "half", share: 60, sort: halves, host: offers(modern...), behave: lots(smtpsink.Rcpt, map[byte]string{'0': "550 5.1.1 nobody", '1': "550 5.1.1 nobody",
			'2': "550 5.1.1 nobody", '3': "550 5.1.1 nobody", '4': "550 5.1.1 nobody"})},
		{name: "dies", share: 5, want: "db", late: "dw", host: offers(modern...), behave: dies},
		{name: "cuts", share: 2, want: "b", late: "w", cuts: true, host: offers(modern...), behave: always(smtpsink.End, say{Then: smtpsink.Close})},
		{name: "oftencuts", share: 40, want: "d", late: "dw", cuts: true, host: offers(modern...), behave: sometimes(0.4, smtpsink.End, say{Then: smtpsink.Close})},
		{name: "oftenbreaks", share: 20, want: "d", late: "dw", cuts: true, host: offers(modern...), behave: sometimes(0.4, smtpsink.End, say{Then: smtpsink.Reset})},
		{name: "forgets", share: 6, want: "d", late: "dw", cuts: true, host: offers(modern...), behave: sometimes(0.3, smtpsink.End, say{Then: smtpsink.Hold})},
		{name: "dripend", share: 6, want: "d", late: "dw", cuts: true, host: offers(modern...),
			behave: sometimes(0.3, smtpsink.End, say{Text: "250 2.0.0 at last", Drip: time.Minute})},
	}
}

// poor are hosts that lack something, or say that they have more.
func poor() []*hop {
	tls := func(name string, behave func(*world) func(event) say) *hop {
		return &hop{name: name, share: 10, want: "d", late: "dw", host: secure(), behave: behave}
	}
	return []*hop{
		{name: "old", share: 30, want: "d", behave: ancient, host: &smtpsink.Host{}},
		{name: "noutf8", share: 30, want: "d", host: offers("PIPELINING", "CHUNKING", "SIZE")},
		{name: "tiny", share: 15, want: "b", host: offers("SIZE 20")},
		{name: "liar", share: 40, sort: small, host: offers(modern...), behave: liar},
		{name: "liarmail", share: 15, want: "b", host: offers("SIZE 10000000"), behave: always(smtpsink.Mail, say{Text: "552 5.3.4 too large"})},
		{name: "liarwithin", share: 15, want: "b", host: offers("SIZE", "8BITMIME", "SMTPUTF8"),
			behave: always(smtpsink.Content, say{Eat: part, Text: "552 5.3.4 enough", Then: smtpsink.Close})},
		{name: "nobdat", share: 15, want: "b", host: offers("CHUNKING", "PIPELINING", "8BITMIME"), behave: always(smtpsink.Data, say{Text: "502 5.5.1 BDAT?"})},
		tls("tlsgarbage", unheard("\x00\x01 this is no TLS at all, whatever was said before\r\n", smtpsink.Hold)),
		tls("tlsalert", unheard("\x15\x03\x01\x00\x02\x02\x28", smtpsink.Close)),
		tls("tlshang", unheard("", smtpsink.Hold)),
		tls("tlsno", always(smtpsink.StartTLS, say{Text: "454 4.7.0 no TLS today"})),
		{name: "lmtp", share: 30, sort: byLot, host: &smtpsink.Host{LMTP: true, Offers: modern}, behave: lots(smtpsink.End, mixed)},
	}
}

// nameless are domains whose names are trouble.
func nameless() []*hop {
	return []*hop{
		{name: "timeout", share: 8, want: "b", late: "w", dns: dns.Timeout},
		{name: "servfail", share: 8, want: "b", late: "w", dns: dns.ServFail},
		{name: "malformed", share: 8, want: "b", late: "w", dns: dns.Malformed},
		{name: "loop", share: 8, want: "b", late: "w", zone: "DOMAIN CNAME a.DOMAIN\na.DOMAIN CNAME DOMAIN"},
		{name: "nxdomain", share: 15, want: "b", zone: "other.example. TXT x"},
		{name: "null", share: 15, want: "b", zone: "DOMAIN MX 0 ."},
		{name: "noaddress", share: 15, want: "b", zone: "DOMAIN MX 10 nowhere.DOMAIN\nnowhere.DOMAIN TXT x"},
		{name: "byliteral", share: 15, want: "b", zone: "DOMAIN MX 10 192.0.2.1."},
	}
}

// world is the network of one test.
type world struct {
	hops  []*hop
	dns   *dnstest.Fake
	heard func(l *smtpsink.Letter)
	said  func(h *hop, l *smtpsink.Letter, to string, code int, err error)

	mu    sync.Mutex
	rng   *rand.Rand
	total int // shares
}

// weather is all kinds of hosts.
func weather() []*hop { return slices.Concat(fair(), lost(), rude(), poor(), nameless()) }

func newWorld(seed uint64, hops []*hop) *world {
	w := &world{hops: hops, rng: rand.New(rand.NewPCG(seed, 1)), dns: dnstest.NewFake("")}
	for i, h := range w.hops {
		zone := h.zone
		if zone == "" {
			zone = "DOMAIN MX 10 mx.DOMAIN"
		}
		zone = strings.ReplaceAll(zone+"\nmx.DOMAIN A "+hostAddress(i).String()+"\n", "DOMAIN", h.domain()+".")
		if err := w.dns.Add(zone); err != nil {
			panic(err)
		}
		w.dns.Fail(dns.Name(h.domain()), 0, h.dns)
		w.total += h.share
		w.prepare(h)
	}
	return w
}

func hostAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}) }

func (w *world) prepare(h *hop) {
	if h.host == nil {
		h.host = &smtpsink.Host{}
	}
	if h.behave != nil {
		h.host.Behave = h.behave(w)
	}
	h.host.Heard = func(l *smtpsink.Letter) { w.heard(l) }
	h.host.Answered = func(l *smtpsink.Letter, to string, code int, err error) { w.said(h, l, to, code, err) }
}

func (w *world) chance() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Float64()
}

func (w *world) shuffle(n int, swap func(i, j int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rng.Shuffle(n, swap)
}

func (w *world) hop(name string) *hop {
	for _, h := range w.hops {
		if h.name == name {
			return h
		}
	}
	panic("there is no hop " + name)
}

// choose returns a hop, each as often as its share says.
func (w *world) choose(rng *rand.Rand) *hop {
	n := rng.IntN(w.total)
	for _, h := range w.hops {
		if n -= h.share; n < 0 {
			return h
		}
	}
	panic("the shares are more than their sum")
}

// Dial is courier.Dialer.
func (w *world) Dial(ctx context.Context, to netip.AddrPort, _ netip.Addr) (*netx.Conn, error) {
	i := int(to.Addr().As4()[3]) - 1
	if i >= len(w.hops) {
		return nil, &netx.DialError{Reason: "connection refused"}
	}
	h := w.hops[i]
	w.mu.Lock()
	down := h.refuses || !h.died.IsZero() && time.Since(h.died) < outage
	w.mu.Unlock()
	switch {
	case down:
		return nil, &netx.DialError{Reason: "connection refused"}
	case h.hole:
		return nil, nobody(ctx)
	}
	ours, theirs := memnet.Pipe(memnet.DefaultClient, to)
	go h.host.Serve(theirs)
	return netx.NewOutgoing(ours), nil
}

// nobody waits as one does for the answer to a SYN.
func nobody(ctx context.Context) error {
	timer := time.NewTimer(netx.ConnectTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		return &netx.DialError{Reason: "no answer in time", Timeout: true}
	case <-ctx.Done():
		return &netx.DialError{Reason: "given up", Err: ctx.Err()}
	}
}

// IsOurName and IsOurAddress make this courier.Ourselves: nobody is us.
func (w *world) IsOurName(dns.Name) bool          { return false }
func (w *world) IsOurAddress(netip.AddrPort) bool { return false }
