package smtpd

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"yubin/internal/engine/bans"
	"yubin/internal/proto/smtp"
)

// states is a set of states of a session.
type states uint8

// The states. Each but the first is entered by a command that was accepted.
const (
	fresh   states = 1 << iota // no EHLO yet, or none since STARTTLS
	ready                      // greeted, no transaction
	mailed                     // MAIL
	rcpted                     // at least one RCPT
	chunked                    // BDAT without LAST

	anyState = fresh | ready | mailed | rcpted | chunked
)

// profiles is a set of profiles.
type profiles uint8

const (
	smtpOnly    profiles = 1<<MX | 1<<Submission | 1<<Local
	lmtpOnly    profiles = 1 << LMTP
	submitOnly  profiles = 1 << Submission
	localOnly   profiles = 1 << Local
	remote               = allProfiles &^ localOnly
	allProfiles          = smtpOnly | lmtpOnly
)

func (p profiles) has(one Profile) bool { return p&(1<<one) != 0 }

// flags are what else the loop must know of a command.
type flags uint8

const (
	needsLogin flags = 1 << iota // on submission
	needsTLS                     // the Server must have a TLS configuration
	endsGroup                    // nothing may be pipelined behind it (RFC 3207 §4, RFC 4954 §4)
	leadsOn                      // brings a message nearer: not counted against Limits.Idle
	swallows                     // octets follow that must be dropped if it is refused: it checks its state itself
	awaits                       // the client must wait for the reply before it sends what is no command
)

// command is a row of the table.
type command struct {
	profiles profiles
	states   states
	flags    flags
	syntax   string                // for HELP
	offer    func(*session) string // the line of EHLO that says that it is there, "" if it cannot be used now; nil is none
	run      func(*session, context.Context, smtp.Command) smtp.Reply
}

// commandTable says what a verb needs and does. A verb without a row is unknown.
func commandTable() [smtp.Verbs]command {
	return [smtp.Verbs]command{
		smtp.EHLO:     {smtpOnly, anyState, 0, "EHLO domain", nil, (*session).hello},
		smtp.HELO:     {smtpOnly, anyState, 0, "HELO domain", nil, (*session).hello},
		smtp.LHLO:     {lmtpOnly, anyState, 0, "LHLO domain", nil, (*session).hello},
		smtp.MAIL:     {allProfiles, ready, needsLogin, "MAIL FROM:<address> [parameters]", nil, (*session).mail},
		smtp.RCPT:     {allProfiles, mailed | rcpted, needsLogin | leadsOn, "RCPT TO:<address> [parameters]", nil, (*session).rcpt},
		smtp.DATA:     {allProfiles, rcpted, needsLogin | leadsOn | awaits, "DATA", nil, (*session).data},
		smtp.BDAT:     {remote, anyState, leadsOn | swallows, "BDAT size [LAST]", always("CHUNKING"), (*session).bdat},
		smtp.RSET:     {allProfiles, anyState, 0, "RSET", nil, (*session).rset},
		smtp.VRFY:     {allProfiles, anyState, needsLogin, "VRFY text", nil, (*session).vrfy},
		smtp.EXPN:     {allProfiles, anyState, needsLogin, "EXPN text", nil, (*session).expn},
		smtp.NOOP:     {allProfiles, anyState, 0, "NOOP", nil, (*session).noop},
		smtp.QUIT:     {allProfiles, anyState, leadsOn, "QUIT", nil, (*session).quit},
		smtp.STARTTLS: {remote, ready, needsTLS | endsGroup, "STARTTLS", (*session).offerTLS, (*session).startTLS},
		smtp.AUTH:     {submitOnly, ready, endsGroup, "AUTH mechanism [initial-response]", (*session).offerMechanisms, (*session).auth},
		smtp.HELP:     {allProfiles, anyState, 0, "HELP [command]", always("HELP"), (*session).help},
	}
}

// extension is what EHLO offers besides the commands.
type extension struct {
	keyword  string
	profiles profiles
	when     func(*session) bool // nil is always
	params   smtp.Params         // that it lets MAIL and RCPT have
	value    func(*session) string
}

// extensionTable says what EHLO offers, and which parameters that allows. No octets
// are counted on Local: what programs give to "sendmail -bs" has its lines repaired on
// the way.
//
// There is no DSN in LMTP: who gives us mail by it has our word at once that it
// is delivered, and reports that itself. Strangers have none either, and no
// DELIVERBY, whose reports are DSNs: whom they name as sender did not ask for
// a report, which is larger than what it is of. The host that they are then
// reports that it relayed (RFC 3461 §5.2.2).
func extensionTable() []extension {
	const hold = smtp.ParamHoldFor | smtp.ParamHoldUntil
	const reports = smtp.ParamRet | smtp.ParamEnvID | smtp.ParamNotify | smtp.ParamORCPT
	return []extension{
		{"PIPELINING", allProfiles, nil, 0, nil},
		{"SIZE", allProfiles, nil, smtp.ParamSize, (*session).sizeOffer},
		{"8BITMIME", allProfiles, nil, smtp.ParamBody, nil},
		{"BINARYMIME", remote, nil, smtp.ParamBody, nil},
		{"SMTPUTF8", allProfiles, nil, smtp.ParamUTF8, nil},
		{"ENHANCEDSTATUSCODES", allProfiles, nil, 0, nil},
		{"LIMITS", allProfiles, nil, 0, (*session).limitsOffer},
		{"DSN", smtpOnly, (*session).hasReports, reports, nil},
		{"DELIVERBY", smtpOnly, (*session).hasReports, smtp.ParamBy, (*session).deliverByOffer},
		{"MT-PRIORITY", allProfiles, nil, smtp.ParamPriority, nil},
		{"REQUIRETLS", allProfiles, (*session).inTLS, smtp.ParamRequireTLS, nil},
		{"XSENDER", localOnly, nil, 0, (*session).whoami},
		{"FUTURERELEASE", submitOnly, nil, hold, (*session).futureReleaseOffer},
	}
}

// offers is the text of the reply to EHLO and LHLO.
func (s *session) offers() string {
	var b strings.Builder
	b.WriteString(string(s.srv.cfg.Hostname))
	for i := range s.srv.extensions {
		if e := &s.srv.extensions[i]; s.offersExtension(e) {
			b.WriteString("\n" + e.keyword)
			if e.value != nil {
				b.WriteString(" " + e.value(s))
			}
		}
	}
	for _, row := range s.srv.commands {
		if row.offer != nil && row.profiles.has(s.client.Profile) {
			if line := row.offer(s); line != "" {
				b.WriteString("\n" + line)
			}
		}
	}
	return b.String()
}

func (s *session) offersExtension(e *extension) bool {
	return e.profiles.has(s.client.Profile) && (e.when == nil || e.when(s))
}

func (s *session) inTLS() bool { return s.tls.on }

// hasReports reports whether the client may ask for reports.
func (s *session) hasReports() bool {
	return s.submits() || s.srv.cfg.Reports != nil && s.srv.cfg.Reports(s.client.Remote.Addr())
}

func (s *session) sizeOffer() string { return strconv.FormatInt(s.srv.limits.MessageSize, 10) }

func (s *session) limitsOffer() string {
	recipients := "RCPTMAX=" + strconv.Itoa(s.srv.limits.Recipients)
	if s.srv.limits.Transactions > maxAnnounced {
		return recipients
	}
	return "MAILMAX=" + strconv.Itoa(s.srv.limits.Transactions) + " " + recipients
}

// maxAnnounced is the most that LIMITS can say: six digits (RFC 9422 §5).
const maxAnnounced = 999_999

func always(line string) func(*session) string {
	return func(*session) string { return line }
}

func (s *session) offerTLS() string {
	if !s.mayStartTLS() {
		return ""
	}
	return "STARTTLS"
}

func (s *session) offerMechanisms() string {
	list := s.mechanisms()
	if len(list) == 0 {
		return ""
	}
	return "AUTH " + strings.Join(list, " ")
}

// mayStartTLS reports whether STARTTLS would be taken.
func (s *session) mayStartTLS() bool { return s.srv.cfg.TLS != nil && !s.tls.on }

// offered is the set of parameters that EHLO made possible.
func (s *session) offered() (all smtp.Params) {
	for i := range s.srv.extensions {
		if e := &s.srv.extensions[i]; s.offersExtension(e) {
			all |= e.params
		}
	}
	if s.srv.commands[smtp.AUTH].profiles.has(s.client.Profile) {
		all |= smtp.ParamAuth
	}
	return all
}

// command runs one command line. More says that input is pipelined behind it.
func (s *session) command(ctx context.Context, line []byte, more bool) smtp.Reply {
	if isHTTP(line) {
		r := status(554, 5, 5, 1, "this is SMTP and not HTTP; closing")
		s.reject(r, nil, nil)
		s.offended(bans.WebRequest)
		s.next = hangUp
		return r
	}
	cmd, verb, err := smtp.Parse(s.completed(line))
	row := &s.srv.commands[verb]
	if row.flags&leadsOn == 0 {
		s.idle++
	}
	r := s.dispatch(ctx, row, cmd, err, more)
	if row.flags&awaits != 0 && more && !r.Positive() {
		s.next = hangUp // What follows is a message, and must not be taken for commands.
	}
	s.note(verb, r)
	return r
}

// isHTTP reports whether a line begins a request of HTTP: a browser that a page
// sent here, or who looks for an open proxy.
func isHTTP(line []byte) bool {
	method, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(method) > len("OPTIONS") {
		return false
	}
	switch string(bytes.ToUpper(method)) {
	case "GET", "POST", "CONNECT", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE":
		return len(rest) > 0
	case "PRI":
		return true
	}
	return false
}

func (s *session) dispatch(ctx context.Context, row *command, cmd smtp.Command, err error, more bool) smtp.Reply {
	if row.run == nil || !row.profiles.has(s.client.Profile) {
		return status(500, 5, 5, 1, "this command is not known here")
	}
	if err != nil {
		if row.flags&swallows != 0 {
			s.next = hangUp // We do not know how many octets follow.
		}
		return syntaxReply(err)
	}
	if r, refused := s.forbidden(row, more); refused {
		return r
	}
	return row.run(s, ctx, cmd)
}

func syntaxReply(err error) smtp.Reply {
	if e, ok := err.(*smtp.Error); ok {
		return e.Reply
	}
	return status(501, 5, 5, 2, "the command is not valid")
}

// forbidden says why the command of a row is not allowed now.
func (s *session) forbidden(row *command, more bool) (smtp.Reply, bool) {
	switch {
	case row.flags&endsGroup != 0 && more:
		s.next = hangUp
		return status(554, 5, 5, 0, "input came before the reply to this command; closing"), true
	case row.flags&needsTLS != 0 && s.srv.cfg.TLS == nil:
		return status(502, 5, 5, 1, "there is no TLS here"), true
	case row.flags&needsLogin != 0 && s.client.Profile == Submission && !s.client.Authenticated:
		return s.loginNeeded(), true
	case row.states&s.state == 0:
		return s.outOfOrder(row), true
	}
	return smtp.Reply{}, false
}

func (s *session) loginNeeded() smtp.Reply {
	if len(s.mechanisms()) == 0 {
		return status(530, 5, 7, 0, "start TLS and log in first")
	}
	return status(530, 5, 7, 0, "log in first")
}

// outOfOrder is the 503 that says what to do first.
func (s *session) outOfOrder(row *command) smtp.Reply {
	text := "not now: a message is being sent; RSET ends that"
	switch {
	case s.state == fresh && s.client.Profile == LMTP:
		text = "say LHLO first"
	case s.state == fresh:
		text = "say EHLO first"
	case s.state == ready:
		text = "say MAIL first"
	case s.state == mailed && row.states&rcpted != 0:
		text = "there is no valid recipient"
	}
	return status(503, 5, 5, 1, text)
}
