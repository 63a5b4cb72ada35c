package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"yubin/internal/server/admin"
)

// teller writes stories of messages for people.
type teller struct {
	w    io.Writer
	now  time.Time
	told string // who hears of what fails
}

func newTeller(w io.Writer, now time.Time) *teller { return &teller{w: w, now: now} }

// facts are lines with a name each.
type facts struct{ t table }

func (f *facts) add(name, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		f.t.add("  "+name, text)
	}
}

func (f *facts) write(w io.Writer) {
	if len(f.t) > 0 {
		f.t.write(w)
	}
}

// traced tells of one message or one refusal.
func (t *teller) traced(m admin.Traced) {
	switch {
	case m.Came == nil:
		t.message(*m.Queue)
	case m.Queue != nil:
		m.Queue.Came = m.Came
		t.message(*m.Queue)
	case m.Came.Kind == "refused":
		t.refused(m.Came)
	default:
		t.kept(m.Came)
	}
}

// refused tells of what we did not take.
func (t *teller) refused(a *admin.Arrival) {
	verb := "refused"
	if a.Code/100 == 4 {
		verb = "refused for now"
	}
	fmt.Fprintf(t.w, "%s  %s\n", moment(a.At), verb)
	var f facts
	f.add("from", "%s", angle(a.Sender))
	f.add("to", "%s", someOf(a.Recipients))
	f.add("message", "%s", messageWords(a.MessageID, a.Size))
	f.add("came", "%s", arrivalWords(a))
	f.add("answer", "%s", reply(a.Code, a.Enhanced, a.Text))
	verdictLines(&f, a.Verdict)
	f.write(t.w)
}

// kept tells of what stayed here.
func (t *teller) kept(a *admin.Arrival) {
	fmt.Fprintf(t.w, "%s  accepted\n", moment(a.At))
	var f facts
	t.envelope(&f, a)
	switch {
	case a.Item != 0:
		f.add("queue", "message %d, which it has forgotten since", a.Item)
	case len(a.Filed) == 0:
		f.add("filed", "nowhere: a route discards it")
	}
	f.write(t.w)
}

func (t *teller) envelope(f *facts, a *admin.Arrival) {
	f.add("from", "%s", angle(a.Sender))
	f.add("to", "%s", someOf(a.Recipients))
	f.add("message", "%s", messageWords(a.MessageID, a.Size))
	f.add("came", "%s", arrivalWords(a))
	f.add("answer", "%s (%s)", reply(a.Code, a.Enhanced, a.Text), seconds(a.Seconds))
	for _, p := range a.Filed {
		f.add("filed", "%s", placeWords(p))
	}
	verdictLines(f, a.Verdict)
}

// verdictLines tell what was thought of a message, a line for each reason.
func verdictLines(f *facts, verdict []string) {
	for i, v := range verdict {
		name := ""
		if i == 0 {
			name = "verdict"
		}
		f.add(name, "%s", oneLine(v))
	}
}

func messageWords(id string, size int64) string {
	switch {
	case id != "" && size > 0:
		return id + ", " + octets(size)
	case size > 0:
		return octets(size)
	}
	return id
}

func arrivalWords(a *admin.Arrival) string {
	if a.Service == admin.OwnService {
		return "written by this server"
	}
	s := strings.TrimSpace("by " + a.Service)
	if a.Client != "" {
		s += " from " + a.Client
	}
	if a.Hello != "" {
		s += " (" + oneLine(a.Hello) + ")"
	}
	if a.Service == "sendmail" { // The system says who it was.
		s += ", as " + a.User
	} else {
		s += ", " + inTLS(a.TLS)
		if a.User != "" {
			s += ", logged in as " + a.User
		}
	}
	if id := cmp.Or(a.Transaction, a.Session); id != "" {
		s += "; " + id + " in the log"
	}
	return s
}

func inTLS(tls string) string {
	if tls == "" {
		return "in clear"
	}
	return tls
}

func placeWords(p admin.Place) string {
	account := cmp.Or(p.Account, "an account that is gone")
	mailbox := cmp.Or(p.Mailbox, "a mailbox that is gone")
	s := fmt.Sprintf("%s, %s, UID %d", account, mailbox, p.UID)
	if p.Copy != "" {
		s += ", a copy by the rule " + oneLine(p.Copy)
	}
	switch {
	case p.There == nil || p.Mailbox == "":
		return s
	case *p.There:
		return s + "; still there"
	}
	return s + "; moved or deleted since"
}

// message tells of one that went through the queue.
func (t *teller) message(m admin.QueueMessage) {
	fmt.Fprintf(t.w, "%s  message %d: %s\n", moment(m.Arrived), m.Item, t.standing(m))
	var f facts
	if m.Unreadable != "" {
		f.add("cannot be read", "%s", m.Unreadable)
	}
	t.told = "the sender"
	switch {
	case m.Copy != "":
		t.told = "the postmaster"
		f.add("is", "a copy by the rule %s, which travels in the name of %s", oneLine(m.Copy), angle(m.Sender))
	case m.Forward:
		t.told = "the owner of that account"
		f.add("is", "what an account sends on and keeps, in the name of %s", angle(m.Sender))
	}
	if a := m.Came; a != nil {
		t.envelope(&f, a)
	} else {
		f.add("from", "%s", angle(m.Sender))
		f.add("message", "%s", messageWords(m.MessageID, m.Size))
		f.add("came", "%s", madeWords(m))
	}
	f.add("wishes", "%s", wishes(m))
	f.write(t.w)
	for _, r := range recipientsOf(m) {
		fmt.Fprintln(t.w)
		t.recipient(m, r)
	}
	if events := eventsOf(m, ""); len(events) > 0 {
		fmt.Fprintf(t.w, "\n  the whole message\n")
		t.events(events, m.Arrived)
	}
}

// standing sums up where a message stands.
func (t *teller) standing(m admin.QueueMessage) string {
	if !m.Settled.IsZero() {
		return "settled " + within(m.Arrived, m.Settled)
	}
	waiting := 0
	for _, d := range m.Deliveries {
		if d.State != "owed" {
			waiting++
		}
	}
	if waiting == 0 {
		return "settled; its sender is about to be told"
	}
	s := count(waiting, "recipient is", "recipients are") + " to go"
	if m.Expire.After(t.now) {
		s += "; given up in " + length(m.Expire.Sub(t.now))
	}
	return s
}

// madeWords is how a message came of which the journal knows nothing.
func madeWords(m admin.QueueMessage) string {
	switch {
	case m.Transaction != "":
		return m.Transaction + " in the log"
	case m.Sender == "":
		return "made here: a report"
	}
	return ""
}

func wishes(m admin.QueueMessage) string {
	var list []string
	if !m.HoldUntil.IsZero() {
		list = append(list, "not before "+moment(m.HoldUntil))
	}
	if !m.DeliverBy.IsZero() {
		list = append(list, "delivered by "+moment(m.DeliverBy))
	}
	if m.Priority != 0 {
		list = append(list, fmt.Sprintf("priority %d", m.Priority))
	}
	if m.RequireTLS {
		list = append(list, "only with verified TLS")
	}
	if m.TLSOptional {
		list = append(list, "with TLS or without, whatever a domain asks for")
	}
	if m.EnvID != "" {
		list = append(list, "envelope "+oneLine(m.EnvID))
	}
	return strings.Join(list, ", ")
}

// recipient is one of a message's, settled or not.
type recipient struct {
	id, address string
	delivery    *admin.QueueDelivery
}

// recipientsOf lists those that wait or of whom an event tells, in order.
func recipientsOf(m admin.QueueMessage) (list []recipient) {
	seen := map[string]bool{}
	for i, d := range m.Deliveries {
		seen[d.ID] = true
		list = append(list, recipient{d.ID, d.Recipient, &m.Deliveries[i]})
	}
	for _, e := range m.Events {
		if e.ID != "" && !seen[e.ID] {
			seen[e.ID] = true
			list = append(list, recipient{e.ID, e.Recipient, nil})
		}
	}
	slices.SortFunc(list, func(a, b recipient) int { return cmp.Or(cmp.Compare(len(a.id), len(b.id)), cmp.Compare(a.id, b.id)) })
	return list
}

func eventsOf(m admin.QueueMessage, id string) (list []admin.QueueEvent) {
	for _, e := range m.Events {
		if e.ID == id {
			list = append(list, e)
		}
	}
	return list
}

// recipient tells of one recipient.
func (t *teller) recipient(m admin.QueueMessage, r recipient) {
	events := eventsOf(m, r.id)
	fmt.Fprintf(t.w, "  %s  %s: %s\n", r.id, r.address, t.progress(r, events))
	t.events(events, m.Arrived)
}

// progress says where a recipient stands.
func (t *teller) progress(r recipient, events []admin.QueueEvent) string {
	d := r.delivery
	if d == nil {
		return ending(events)
	}
	site := d.SiteName
	if d.Route != "" {
		site += ", by the route " + d.Route
	}
	switch d.State {
	case "waiting":
		s := "waits; next attempt "
		switch {
		case d.Paused:
			return "waits until a pause ends (yubin queue pauses); " + site
		case d.Parked:
			s = "waits, because its site is down or paused; looked at again "
		}
		return s + t.when(d.Due) + "; " + site
	case "active":
		return "being sent; " + site
	case "held":
		return "held; " + site
	}
	return ending(events) + "; its sender is about to be told"
}

// ending is how a settled recipient ended.
func ending(events []admin.QueueEvent) string {
	for _, e := range slices.Backward(events) {
		switch {
		case e.Kind == "attempt" && e.Attempt != nil && e.Attempt.Outcome != "deferred":
			return e.Attempt.Outcome
		case e.Kind == "expired":
			return "given up: it took too long"
		case e.Kind == "drop":
			return "dropped"
		case e.Kind == "fail":
			return "failed by an operator"
		}
	}
	return "settled"
}

// when is a time to come, or "now".
func (t *teller) when(at time.Time) string {
	if !at.After(t.now) {
		return "now"
	}
	return "in " + length(at.Sub(t.now)) + ", at " + at.Local().Format(t.clock(at))
}

// clock is the layout of a time: with its day, if that is not today.
func (t *teller) clock(at time.Time) string {
	if at.Local().Format(time.DateOnly) == t.now.Local().Format(time.DateOnly) {
		return time.TimeOnly
	}
	return time.DateTime
}

// events tells what happened, in columns. An attempt stands where it ended, as
// all else does.
func (t *teller) events(events []admin.QueueEvent, from time.Time) {
	lines := table{}
	for _, e := range events {
		at := e.At
		if e.Attempt != nil {
			at = e.Attempt.At.Add(time.Duration(e.Attempt.Seconds * float64(time.Second)))
		}
		lines.add("    "+at.Local().Format(layoutFrom(from, at)), t.eventWords(e))
	}
	if len(lines) > 0 {
		lines.write(t.w)
	}
}

// layoutFrom leaves out the day if it is the one that the story begins with.
func layoutFrom(from, at time.Time) string {
	if from.Local().Format(time.DateOnly) == at.Local().Format(time.DateOnly) {
		return time.TimeOnly
	}
	return time.DateTime
}

var actWords = map[string]string{
	"expired": "given up: it took too long",
	"report":  "%s was told: report",
	"untold":  "%s cannot be told",
	"hold":    "held by an operator",
	"release": "released by an operator",
	"retry":   "to be tried at once, says an operator",
	"reroute": "rerouted by an operator",
	"fail":    "failed by an operator",
	"drop":    "dropped by an operator",
}

func (t *teller) eventWords(e admin.QueueEvent) string {
	if e.Attempt != nil {
		return attemptWords(*e.Attempt)
	}
	s := strings.Replace(cmp.Or(actWords[e.Kind], e.Kind), "%s", cmp.Or(t.told, "the sender"), 1)
	switch {
	case e.Note == "":
		return s
	case e.Kind == "report":
		return s + " " + e.Note
	}
	return s + ": " + oneLine(e.Note)
}

// attemptWords is an attempt in one line: how it ended, where, how long it took
// and what was said.
func attemptWords(a admin.QueueAttempt) string {
	s := a.Outcome
	if a.Untried {
		s = "put off, not tried; last"
	}
	switch {
	case a.Host != "" && a.Address != "":
		s += " at " + a.Host + " [" + a.Address + "]"
	case a.Host != "":
		s += " at " + a.Host
	}
	if connected(a) {
		s += ", " + attemptTLS(a) + ", " + seconds(a.Seconds)
	}
	words := wordsOf(a)
	if words != "" {
		s += ": " + words
	}
	if a.AnswerLost {
		s += " (the answer was lost: it may have arrived)"
	}
	return s
}

// connected reports whether there was a conversation.
func connected(a admin.QueueAttempt) bool {
	return a.Address != "" && a.Phase != "route" && a.Phase != "connect"
}

// wordsOf is what was said, by the remote with its codes or by us.
func wordsOf(a admin.QueueAttempt) string {
	if a.Ours && a.Code == 0 {
		return oneLine(a.Text)
	}
	return reply(a.Code, a.Enhanced, a.Text)
}

func attemptTLS(a admin.QueueAttempt) string {
	s := "in clear"
	switch {
	case a.Verified:
		s = a.TLS + " verified"
	case a.TLS != "":
		s = a.TLS + " not verified"
	}
	if a.TLSTerms != "" {
		s += ", " + oneLine(a.TLSTerms)
	}
	return s
}
