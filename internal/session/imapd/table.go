package imapd

import (
	"bytes"
	"context"
	"slices"

	"yubin/internal/proto/imap"
	"yubin/internal/proto/sasl"
)

// states is a set of states of a session (RFC 9051 §3). In the logout state nothing
// is read.
type states uint8

// The states.
const (
	notAuthenticated states = 1 << iota
	authenticated
	inMailbox // the selected state

	anyState   = notAuthenticated | authenticated | inMailbox
	afterLogin = authenticated | inMailbox
)

// flags are what else the loop must know of a command.
type flags uint8

const (
	// usesNumbers: message sequence numbers may stand in its arguments, and mean the
	// messages that the client knew of when it sent it (RFC 9051 §5.5).
	usesNumbers flags = 1 << iota
	// breaksNumbers: at its end the client may be told of messages that others
	// expunged, which changes the numbers of the rest (§7.5.1).
	breaksNumbers
	expunges     // it does that itself, so who sends it reckons with other numbers
	seesNow      // the mailbox's changes are told before it too: it works on what there is now
	leadsNowhere // nothing comes of it, however often it is sent
	needsTLS     // a handshake must be possible
	endsGroup    // nothing may be pipelined behind it (§6.2.1)
)

// command is a row of the table.
type command struct {
	states states
	flags  flags
	offer  func(*session) []string // the capabilities that say that it is there; nil is none
	run    func(*session, context.Context, *imap.Command) (status, error)
}

// commandTable says what a verb needs and does. A verb without a row is unknown.
func commandTable() [imap.Verbs]command {
	const byNumber, byUID = usesNumbers | seesNow, breaksNumbers | seesNow
	return [imap.Verbs]command{
		imap.FETCH:        {inMailbox, byNumber, loggedIn("BINARY"), (*session).fetch}, // RFC 3516
		imap.UIDFETCH:     {inMailbox, byUID, nil, (*session).fetch},
		imap.NOOP:         {anyState, breaksNumbers | leadsNowhere, nil, (*session).noop},
		imap.IDLE:         {afterLogin, breaksNumbers | leadsNowhere, always("IDLE"), (*session).idle},    // RFC 2177
		imap.STATUS:       {afterLogin, breaksNumbers, loggedIn("STATUS=SIZE"), (*session).statusCommand}, // RFC 8438
		imap.SELECT:       {afterLogin, 0, nil, (*session).selectCommand},
		imap.EXAMINE:      {afterLogin, 0, nil, (*session).selectCommand},
		imap.STORE:        {inMailbox, byNumber, nil, (*session).store},
		imap.UIDSTORE:     {inMailbox, byUID, nil, (*session).store},
		imap.SEARCH:       {inMailbox, byNumber, loggedIn("ESEARCH", "SEARCHRES"), (*session).search}, // RFC 4731, 5182
		imap.UIDSEARCH:    {inMailbox, usesNumbers | byUID, nil, (*session).search},
		imap.LIST:         {afterLogin, breaksNumbers, loggedIn("CHILDREN", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE"), (*session).list}, // RFC 3348, 5258, 5819, 6154
		imap.LSUB:         {afterLogin, breaksNumbers, nil, (*session).list},
		imap.APPEND:       {afterLogin, breaksNumbers, nil, (*session).appendCommand},
		imap.CAPABILITY:   {anyState, breaksNumbers | leadsNowhere, nil, (*session).capability},
		imap.LOGOUT:       {anyState, 0, nil, (*session).logout},
		imap.ID:           {anyState, breaksNumbers | leadsNowhere, always("ID"), (*session).id},                   // RFC 2971
		imap.ENABLE:       {afterLogin, breaksNumbers | leadsNowhere, always("ENABLE"), (*session).enable},         // RFC 5161
		imap.NAMESPACE:    {afterLogin, breaksNumbers | leadsNowhere, loggedIn("NAMESPACE"), (*session).namespace}, // RFC 2342
		imap.CREATE:       {afterLogin, breaksNumbers, loggedIn("CREATE-SPECIAL-USE"), (*session).create},          // RFC 6154
		imap.DELETE:       {afterLogin, breaksNumbers, nil, (*session).deleteCommand},
		imap.RENAME:       {afterLogin, breaksNumbers, nil, (*session).rename},
		imap.SUBSCRIBE:    {afterLogin, breaksNumbers, nil, (*session).subscribe},
		imap.UNSUBSCRIBE:  {afterLogin, breaksNumbers, nil, (*session).subscribe},
		imap.COPY:         {inMailbox, byNumber | breaksNumbers, nil, (*session).copyCommand},
		imap.UIDCOPY:      {inMailbox, byUID, nil, (*session).copyCommand},
		imap.MOVE:         {inMailbox, byNumber | breaksNumbers | expunges, loggedIn("MOVE"), (*session).copyCommand}, // RFC 6851
		imap.UIDMOVE:      {inMailbox, byUID | expunges, nil, (*session).copyCommand},
		imap.EXPUNGE:      {inMailbox, breaksNumbers | expunges, nil, (*session).expunge},
		imap.UIDEXPUNGE:   {inMailbox, breaksNumbers | expunges, loggedIn("UIDPLUS"), (*session).expunge}, // RFC 4315
		imap.CLOSE:        {inMailbox, 0, nil, (*session).closeCommand},
		imap.UNSELECT:     {inMailbox, 0, loggedIn("UNSELECT"), (*session).unselect}, // RFC 3691
		imap.CHECK:        {inMailbox, breaksNumbers | leadsNowhere, nil, (*session).noop},
		imap.STARTTLS:     {notAuthenticated, needsTLS | endsGroup, (*session).offerTLS, (*session).startTLS},
		imap.LOGIN:        {notAuthenticated, 0, (*session).offerLogin, (*session).login},
		imap.AUTHENTICATE: {notAuthenticated, 0, (*session).offerMechanisms, (*session).authenticate}, // RFC 4959
	}
}

// offers is what CAPABILITY tells: what the server speaks, then what the commands
// offer now.
func (s *session) offers() []string {
	names := []string{"IMAP4rev1", "IMAP4rev2"}
	if s.loggedIn() {
		names = append(names, "LITERAL+") // RFC 7888
	} else {
		names = append(names, "LITERAL-")
	}
	for i := range s.srv.commands {
		if offer := s.srv.commands[i].offer; offer != nil {
			names = append(names, offer(s)...)
		}
	}
	return names
}

func always(names ...string) func(*session) []string {
	return func(*session) []string { return names }
}

// loggedIn offers only to who has logged in.
func loggedIn(names ...string) func(*session) []string {
	return func(s *session) []string {
		if !s.loggedIn() {
			return nil
		}
		return names
	}
}

func (s *session) offerTLS() []string {
	if s.loggedIn() || !s.mayStartTLS() {
		return nil
	}
	return []string{"STARTTLS"}
}

func (s *session) offerLogin() []string {
	if s.loggedIn() || s.plainAllowed() {
		return nil
	}
	return []string{"LOGINDISABLED"}
}

func (s *session) offerMechanisms() []string {
	names := []string{"SASL-IR"} // RFC 4959
	if s.loggedIn() {
		return names
	}
	for _, m := range s.mechanisms() {
		names = append(names, "AUTH="+m)
	}
	return names
}

// mechanisms lists the SASL mechanisms that may be used on the connection now.
func (s *session) mechanisms() []string {
	_, secure := s.conn.TLS()
	return sasl.Offer{Scram: s.srv.cfg.Scram == nil || s.srv.cfg.Scram(), Binding: secure && s.srv.cfg.ChannelBinding,
		Tokens: secure && s.srv.cfg.Tokens != nil && s.srv.cfg.Tokens(), Clear: s.plainAllowed()}.Mechanisms()
}

func (s *session) offersMechanism(name string) bool {
	return slices.Contains(s.mechanisms(), name)
}

// mayStartTLS reports whether STARTTLS would be taken.
func (s *session) mayStartTLS() bool {
	_, secure := s.conn.TLS()
	return !secure && s.listener.TLS != nil
}

// plainAllowed reports whether passwords may cross the connection as they are.
func (s *session) plainAllowed() bool {
	if _, secure := s.conn.TLS(); secure {
		return true
	}
	return s.srv.cfg.AllowPlainLoopback && s.conn.Loopback()
}

func (s *session) state() states {
	switch {
	case s.box != nil:
		return inMailbox
	case s.loggedIn():
		return authenticated
	}
	return notAuthenticated
}

// perform runs one command, if the session is in a state for it, and tells the
// client what changed in its mailbox.
func (s *session) perform(ctx context.Context, row *command, cmd *imap.Command) (status, error) {
	if st, err := s.forbidden(row); st.cond != "" || err != nil {
		return st, err
	}
	if row.flags&seesNow != 0 {
		if err := s.sync(ctx, false); err != nil {
			return status{}, err
		}
	}
	st, err := row.run(s, ctx, cmd)
	if err != nil && fatal(err) {
		return st, err
	}
	expunge := row.flags&breaksNumbers != 0 && (row.flags&expunges != 0 || !s.numbersFollow())
	if syncErr := s.sync(ctx, expunge); syncErr != nil && err == nil {
		if fatal(syncErr) {
			return st, syncErr
		}
		s.logFailure(cmd.Verb.String(), syncErr) // What the command did is done; the news can come with the next one.
	}
	return st, err
}

// forbidden says why the command of a row is not allowed now; the zero status if
// it is. An error ends the session.
func (s *session) forbidden(row *command) (status, error) {
	switch {
	case row.run == nil:
		return bad("unknown command")
	case row.states&s.state() == 0 && row.states&notAuthenticated != 0:
		return bad("already logged in")
	case row.states&s.state() == 0 && !s.loggedIn():
		return bad("log in first")
	case row.states&s.state() == 0:
		return bad("select a mailbox first")
	case row.flags&needsTLS != 0 && !s.mayStartTLS():
		return bad("TLS is not available here, or on already")
	case row.flags&endsGroup != 0 && s.conn.Buffered() > 0:
		return status{}, &bye{"", "input came before the response to this command"}
	}
	return status{}, nil
}

// numbersFollow reports whether the next command is here already and has sequence
// numbers. Its client should have waited (RFC 9051 §5.5). As it did not, it gives the
// messages the numbers that it knows, and must not hear before of expunges by which
// others would have them: STORE would flag a message that was not meant. It is told
// after the next command that lets it.
func (s *session) numbersFollow() bool {
	if !s.conn.LineBuffered() {
		return false
	}
	in, err := s.conn.Peek()
	return err == nil && s.srv.commands[imap.VerbOf(in[:bytes.IndexByte(in, '\n')])].flags&usesNumbers != 0
}
