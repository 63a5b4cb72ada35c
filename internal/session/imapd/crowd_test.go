package imapd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
)

// The rules of a crowd are those that Dovecot's imaptest has every answer
// checked against: what a client was told stays true until it is told
// otherwise, nothing of a message but its flags ever changes, and a command that
// was right is not refused because others were quicker.

// crowd is what its clients agree on.
type crowd struct {
	mu    sync.Mutex
	fixed map[string]string // what FETCH said of a message that never changes, by UID and item
	stop  time.Time
	said  map[string]int // commands by verb
}

// member of a crowd. It is a client that also holds answers against the rules.
type member struct {
	*client
	readOnly bool // it looks only, by EXAMINE
	crowd    *crowd
	r        *rand.Rand
	keywords map[string]bool // of the last untagged FLAGS
	named    int             // keywords it used
	heard    map[string]bool // flags and keywords that messages have
}

// outside is a testing.TB for goroutines that are not the test's own.
type outside struct{ testing.TB }

func (o outside) Fatal(args ...any) {
	o.Helper()
	o.Error(args...)
	runtime.Goexit()
}

func (o outside) Fatalf(format string, args ...any) {
	o.Helper()
	o.Errorf(format, args...)
	runtime.Goexit()
}

var (
	fixedItems = regexp.MustCompile(`INTERNALDATE "[^"]*"|RFC822\.SIZE \d+|ENVELOPE \(.*>"\)|BODY\[TEXT\] {.*`)
	flagsLine  = regexp.MustCompile(`^\* FLAGS \((.*)\)$`)
	fetchFlags = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// check holds an untagged response against the rules beyond what a client
// believes.
func (m *member) check(l string) {
	if f := flagsLine.FindStringSubmatch(l); f != nil {
		m.keywords = map[string]bool{}
		for _, name := range strings.Fields(f[1]) {
			m.keywords[name] = true
		}
	}
	if !strings.Contains(l, " FETCH (") {
		return
	}
	if f := fetchFlags.FindStringSubmatch(l); f != nil {
		for _, name := range strings.Fields(f[1]) {
			if name != `\Recent` && !m.keywords[name] {
				m.fatal("a keyword that no FLAGS response named: " + name)
			}
			if m.heard == nil {
				m.heard = map[string]bool{}
			}
			m.heard[name] = true
		}
	}
	var seq int
	fmt.Sscanf(l, "* %d FETCH", &seq)
	uid := m.uids[seq-1]
	if seq > 1 && uid != 0 && m.uids[seq-2] >= uid {
		m.fatal(fmt.Sprintf("UIDs do not ascend: %v", m.uids))
	}
	m.crowd.mu.Lock()
	defer m.crowd.mu.Unlock()
	for _, said := range fixedItems.FindAllString(l, -1) {
		item, _, _ := strings.Cut(said, " ")
		key := fmt.Sprint(uid, " ", item)
		if before, ok := m.crowd.fixed[key]; uid != 0 && ok && before != said {
			m.fatal(fmt.Sprintf("message %d changed: %s, before: %s", uid, said, before))
		}
		if uid != 0 {
			m.crowd.fixed[key] = said
		}
	}
}

// must runs a command that is right, and so is answered OK.
func (m *member) must(format string, args ...any) {
	got := m.run(format, args...)
	verb := strings.Fields(fmt.Sprintf(format, args...))[0]
	m.crowd.mu.Lock()
	m.crowd.said[verb]++
	m.crowd.mu.Unlock()
	if !strings.HasPrefix(got, "OK") {
		m.fatal(fmt.Sprintf("%s: %s", fmt.Sprintf(format, args...), got))
	}
}

// act does something that clients do.
func (m *member) act() {
	if len(m.uids) == 0 {
		m.must("NOOP")
		if !m.readOnly {
			m.append()
		}
		return
	}
	flag := someFlags[m.r.IntN(len(someFlags))]
	set := fmt.Sprintf("%d:%d", m.any(m.r), m.any(m.r))
	looks := []func(){
		func() { m.must("FETCH %s (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", set) },
		func() { m.must("UID FETCH 1:* (FLAGS BODY.PEEK[TEXT])") },
		func() { m.must("FETCH %s (UID BODY.PEEK[HEADER.FIELDS (Subject)])", set) },
		func() { m.must("FETCH %d (UID BODY.PEEK[] BODYSTRUCTURE BINARY.SIZE[1])", m.any(m.r)) },
		func() { m.must("SEARCH SUBJECT m") },
		func() { m.must("UID SEARCH OR BODY text UNSEEN") },
		func() { m.must("UID SEARCH RETURN (SAVE) UNDELETED") },
		func() { m.must("UID FETCH $ (FLAGS)") },
		func() { m.must("UID COPY 1:* Shared") },
		func() { m.must("STATUS Shared (MESSAGES UIDNEXT UNSEEN)") },
		func() { m.must("NOOP") },
		func() { m.must("IDLE\r\nDONE") },
		m.open,
	}
	changes := []func(){
		m.append, m.append,
		func() { m.must("STORE %s +FLAGS (%s)", set, flag) },
		func() { m.must("STORE %s -FLAGS (%s)", set, flag) },
		func() { m.storeSilent(m.any(m.r), flag) },
		func() {
			m.named++
			m.must("STORE %d +FLAGS (%s%d)", m.any(m.r), m.name, m.named%20)
		},
		func() { m.must("STORE %d FLAGS (%s \\Deleted)", m.any(m.r), flag) },
		func() { m.must("EXPUNGE") },
		func() { m.must("FETCH %s (UID BODY[TEXT])", set) }, // It sets \Seen.
		func() { m.must("COPY %d Shared", m.any(m.r)) },
		func() { m.must("MOVE %d Trash", m.any(m.r)) },
	}
	if !m.readOnly {
		looks = append(looks, changes...)
	}
	looks[m.r.IntN(len(looks))]()
}

// open begins anew. EXAMINE tells \Recent messages to nobody.
func (m *member) open() {
	m.uids, m.flags = nil, map[mail.UID]string{}
	verb := "SELECT"
	if m.readOnly {
		verb = "EXAMINE"
	}
	m.must("%s INBOX", verb)
}

// append adds a message with the next of its keywords.
func (m *member) append() {
	octets := strings.ReplaceAll(simple("m of "+m.name), "\n", "\r\n")
	m.must("APPEND INBOX (\\Seen %sNew) {%d+}\r\n%s", m.name, len(octets), octets)
}

// learn asks for the UIDs of messages that it was told the number of.
func (m *member) learn() {
	for i, u := range m.uids {
		if u == 0 {
			m.must("FETCH %d:* (UID FLAGS)", i+1)
			return
		}
	}
}

// TestCrowd has clients do at random what clients do, in one mailbox at once,
// for as long as YUBIN_CROWD says in seconds: no tagged NO, no broken rule, and
// in the end all believe the same as the store.
func TestCrowd(t *testing.T) {
	seconds, err := strconv.Atoi(os.Getenv("YUBIN_CROWD"))
	if err != nil {
		seconds = 2
	}
	h := newHouse(t)
	h.client(t, "setup").run("CREATE Shared")
	if _, err := h.do("fill", "20"); err != nil {
		t.Fatal(err)
	}
	cr := &crowd{fixed: map[string]string{}, said: map[string]int{}, stop: time.Now().Add(time.Duration(seconds) * time.Second)}
	var all []*client
	var at sync.WaitGroup
	for i := range 8 {
		c := h.client(t, string(rune('A'+i)))
		c.t = outside{t}
		m := &member{client: c, crowd: cr, r: rand.New(rand.NewPCG(uint64(i), 11)), readOnly: i == 7}
		c.watch = m.check
		all = append(all, c)
		at.Go(func() {
			if i%2 == 1 {
				m.must("ENABLE IMAP4rev2")
			}
			m.open()
			for time.Now().Before(cr.stop) && !t.Failed() {
				m.learn()
				m.act()
			}
		})
	}
	at.Wait()
	if t.Failed() {
		return
	}
	for _, c := range all {
		c.t = t
	}
	h.agree(all)
	total := 0
	verbs := []string{}
	for verb, n := range cr.said {
		total += n
		verbs = append(verbs, fmt.Sprintf("%s %d", verb, n))
	}
	slices.Sort(verbs)
	t.Logf("%d commands by 8 clients: %s", total, strings.Join(verbs, ", "))
	if total < 100 || len(cr.fixed) < 100 {
		t.Errorf("only %d commands were run, and %d things known that never change", total, len(cr.fixed))
	}
}
