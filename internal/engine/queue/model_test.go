package queue

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// model does random things to a queue whose next hops have moods, and knows
// what each recipient's fate may be.
type model struct {
	*house
	rng    *rand.Rand
	log    []string
	items  []modelItem
	mu     sync.Mutex
	moods  map[mail.Domain]string
	ending map[string]mail.Outcome // the definite answer for "subject recipient"
}

type modelItem struct {
	id      spool.ItemID
	subject string
	null    bool
	to      []Recipient
}

var modelDomains = []mail.Domain{"b.test", "c.test", "d.test", "e.test"}

const modelOps = 120

// TestModel: every other one is of a queue that may have others beside it.
func TestModel(t *testing.T) {
	seeds := 4
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { runModel(t, uint64(seed), modelOps, seed%2 == 1) })
	}
}

// runModel prints the operations if something is wrong.
func runModel(t *testing.T, seed uint64, ops int, shared bool) {
	m := &model{house: newHouse(t, shared), rng: rand.New(rand.NewPCG(20261121, seed)),
		moods: map[mail.Domain]string{}, ending: map[string]mail.Outcome{}}
	m.answer, m.tried, m.answered = m.mood, m.isTried, m.isAnswered
	m.made = func(r Report, w io.Writer) (letter, error) {
		m.reports = append(m.reports, r)
		made, _ := spooledReport(r, io.Discard)
		_, err := fmt.Fprintf(w, "Subject: report %d %d\r\n\r\n", r.Item.ID, len(m.reports))
		return made, err
	}
	defer func() {
		m.close()
		if t.Failed() {
			t.Fatalf("seed %d, operations:\n%s", seed, strings.Join(m.log, "\n"))
		}
	}()
	m.open()
	m.run()
	for range ops {
		m.step()
		if t.Failed() {
			return
		}
	}
	m.finishAll()
	m.judge()
}

func (m *model) mood(hop mail.NextHop, to mail.OutgoingRecipient) mail.Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.moods[to.Address.Domain] {
	case "later":
		return tempfail()
	case "no":
		return refused()
	case "down":
		return unreachable()
	case "none":
		return mail.Attempt{}
	}
	return delivered()
}

func (m *model) isTried(subject string, r mail.OutgoingRecipient) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.ending[subject+" "+r.Address.String()]; o != 0 {
		m.t.Errorf("%s for %s is carried again after it was %v", subject, r.Address, o)
	}
}

func (m *model) isAnswered(subject string, r mail.OutgoingRecipient, a mail.Attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.Outcome != mail.Deferred {
		m.ending[subject+" "+r.Address.String()] = a.Outcome
	}
}

// one picks one of list.
func one[T any](m *model, list ...T) T { return list[m.rng.IntN(len(list))] }

func (m *model) step() {
	f := Filter{Domain: one(m, modelDomains...)}
	if m.rng.IntN(3) == 0 {
		f.State = one(m, Waiting, Held)
	}
	switch m.rng.IntN(16) {
	case 0, 1, 2, 3:
		m.mail()
	case 4, 5:
		d, mood := one(m, modelDomains...), one(m, "", "", "later", "no", "down", "none")
		m.note("mood of %s is %q", d, mood)
		m.mu.Lock()
		m.moods[d] = mood
		m.mu.Unlock()
	case 6, 7, 8:
		d := one(m, time.Second, time.Minute, 20*time.Minute, 3*time.Hour)
		m.note("pass %v", d)
		m.pass(d)
	case 9:
		m.operate("hold", f, m.Hold)
	case 10:
		m.operate("release", f, m.Release)
	case 11:
		m.operate("retry", f, m.Retry)
	case 12:
		m.operate("reroute", f, func(c context.Context, f Filter, note string, p Progress) (int, error) {
			return m.Reroute(c, f, one(m, "", "other.test"), note, p)
		})
	case 13:
		if m.rng.IntN(3) == 0 {
			m.operate("fail", f, m.Fail)
		} else if m.rng.IntN(3) == 0 {
			m.operate("drop", f, m.Drop)
		}
	case 14:
		m.pauses()
	case 15:
		m.note("restart")
		m.stop()
		m.check()
		m.Queue = m.queue("node", !m.shared)
		m.run()
	}
}

func (m *model) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) operate(name string, f Filter, do func(context.Context, Filter, string, Progress) (int, error)) {
	n, err := do(ctx, f, "", nil)
	m.must(err)
	m.note("%s %+v: %d", name, f, n)
}

func (m *model) pauses() {
	site := "mx:" + string(one(m, modelDomains...))
	if err := m.Resume(ctx, PauseSite, site); err == nil {
		m.note("resume %s", site)
		return
	}
	m.note("pause %s", site)
	m.must(m.Pause(ctx, PauseSite, site, ""))
}

// mail sends a random message.
func (m *model) mail() {
	it := from(one(m, "s@a.test", "s@a.test", "r@a.test", ""))
	it.Priority = one[int8](m, 0, 0, 0, 3, -3)
	if m.rng.IntN(6) == 0 {
		it.HoldUntil = time.Now().Add(one(m, time.Minute, 5*time.Hour))
	}
	item := modelItem{subject: fmt.Sprint("m", len(m.items)), null: it.ReversePath.IsNull()}
	for i := range 1 + m.rng.IntN(4) {
		item.to = append(item.to, to(fmt.Sprintf("x%d@%s", i, one(m, modelDomains...)))...)
		item.to[i].Notify = one(m, 0, 0, mail.NotifyFailure, mail.NotifyNever, mail.NotifySuccess|mail.NotifyFailure, mail.NotifySuccess)
	}
	m.note("send %s %+v hold %v", item.subject, item.to, it.HoldUntil)
	item.id = m.send(item.subject, it, item.to)
	m.items = append(m.items, item)
}

// finishAll lets everything come to its end.
func (m *model) finishAll() {
	m.mu.Lock()
	clear(m.moods)
	m.mu.Unlock()
	for _, p := range m.Pauses() {
		m.must(m.Resume(ctx, p.Scope, p.Name))
	}
	_, err := m.Release(ctx, Filter{State: Held}, "", nil)
	m.must(err)
	m.pass(12 * time.Hour)
	m.want("left", m.count(Filter{}).Total(), 0)
}

// judge compares the end of every recipient with what its sender was told.
func (m *model) judge() {
	told := map[string]int{}
	for i, r := range m.reports {
		arrived := fmt.Sprintf("report %d %d %s", r.Item.ID, i+1, r.Item.ReversePath)
		if m.ending[arrived] != mail.Delivered {
			continue // Made, but the queue stopped or the facts changed before its commit; it was made anew.
		}
		for _, t := range r.Recipients {
			told[fmt.Sprint(actionNames[t.Action], " ", t.DeliveryID)]++
		}
	}
	for _, item := range m.items {
		s, err := m.Show(ctx, item.id)
		m.must(err)
		for i, r := range item.to {
			id := DeliveryID{item.id, i + 1}
			end := endOf(s, i+1)
			failed := end == "failed"
			want := btoi(failed && !item.null && wantsFailure(r.Notify))
			if got := told[fmt.Sprint("failed ", id)]; got != want {
				m.t.Errorf("%v %s ended %q, its sender heard of a failure %d times, want %d", id, item.subject, end, got, want)
			}
			want = btoi(end == "delivered" && !item.null && r.Notify&mail.NotifySuccess != 0)
			if got := told[fmt.Sprint("relayed ", id)] + told[fmt.Sprint("delivered ", id)]; got != want {
				m.t.Errorf("%v %s ended %q, its sender heard of success %d times, want %d", id, item.subject, end, got, want)
			}
			if end == "" {
				m.t.Errorf("%v %s has no end: %+v", id, item.subject, s.Events)
			}
		}
	}
}

// endOf reads from a story how it ended for recipient n.
func endOf(s Story, n int) (end string) {
	for _, e := range s.Events {
		switch {
		case e.N != n:
		case e.Kind == EventAttempt && e.Attempt.Outcome != mail.Deferred:
			end = e.Attempt.Outcome.String()
		case e.Kind == EventExpired || e.Kind == EventFail:
			end = "failed"
		case e.Kind == EventDrop && end == "":
			end = "dropped"
		case e.Kind == EventDrop && end == "failed":
			end = "dropped" // Before its sender was told.
		}
	}
	return end
}
