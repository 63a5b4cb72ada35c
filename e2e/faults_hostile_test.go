package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hostile is a way to take as much of a server as one connection can.
type hostile struct {
	name  string
	port  int
	greet []string // lines and what comes after each, as says has them
	flood string   // what is sent then, again and again, up to most
	most  int
	mute  bool // nothing that the server says is read
}

var hostileWays = []hostile{
	{name: "header without end", port: portMX, greet: hostileData, flood: "X-Filler: " + strings.Repeat("x", 50) + "\r\n", most: 248 << 10},
	{name: "long header line", port: portMX, greet: hostileData, flood: strings.Repeat("x", 60), most: 248 << 10},
	{name: "addresses", port: portMX, greet: hostileData, flood: "To: a@b, a@b, a@b, a@b, a@b, a@b, a@b, a@b\r\n", most: 200 << 10},
	{name: "silent message", port: portMX, greet: hostileData},
	{name: "body", port: portLMTP, greet: append([]string{"", "220", "LHLO hostile.test", "250 "}, hostileData[4:]...), flood: "Subject: x\r\n\r\n" + strings.Repeat("y", 60) + "\r\n", most: 200 << 10},
	{name: "recipients", port: portMX, greet: hostileData[:6], flood: "RCPT TO:<alice+" + strings.Repeat("z", 40) + "@yubin.test>\r\n", most: 50 << 10},
	{name: "half a line", port: portMX, greet: hostileData[:4], flood: "x", most: 1000},
	{name: "answers that nobody reads", port: portMX, greet: hostileData[:4], flood: "HELP\r\nNOOP\r\n", most: 4 << 20, mute: true},
	{name: "submission header", port: portSubmission, greet: append(hostileData[:4:4], "AUTH PLAIN AGFsaWNlQHl1YmluLnRlc3QAeXViaW4tbG9jYWw=", "235", "MAIL FROM:<alice@yubin.test>", "250", "RCPT TO:<alice@yubin.test>", "250", "DATA", "354"),
		flood: "X-Filler: " + strings.Repeat("x", 50) + "\r\n", most: 248 << 10},
	{name: "handshake without end", port: portIMAPS, flood: string([]byte{22, 3, 1, 64, 0, 1, 0, 255, 255}) + strings.Repeat("\x00", 16<<10-4), most: 60 << 10},
	{name: "IMAP literal", port: portIMAP, greet: imapLogin, flood: "d SEARCH SUBJECT {60000+}\r\n" + strings.Repeat("x", 59_000), most: 59_000},
	{name: "slow FETCH", port: portIMAP, greet: imapLogin, flood: "d UID FETCH 1:* (UID ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n", most: 60, mute: true},
	{name: "APPEND header", port: portIMAP, greet: imapLogin, flood: "e APPEND INBOX {250000+}\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 50)+"\r\n", 3900), most: 240_000},
	{name: "silent POP3", port: portPOP3, greet: []string{"", "+OK"}},
	{name: "slow RETR", port: portPOP3, greet: []string{"", "+OK", "USER alice@yubin.test", "+OK", "PASS " + password, "", "RETR 1", ""}, mute: true},
	{name: "nothing at all", port: portMX},
}

var hostileData = []string{"", "220", "EHLO hostile.test", "250 ", "MAIL FROM:<>", "250", "RCPT TO:<bob@yubin.test>", "250", "DATA", "354"}

// attack does its worst on one connection from an address and stays until it is shown out.
func (h *hostile) attack(s *server, from net.IP, held *atomic.Int64) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 30 * time.Second}
	c, err := d.Dial("tcp", s.address(h.port))
	if err != nil {
		return
	}
	defer c.Close()
	held.Add(1)
	defer held.Add(-1)
	if h.mute {
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
	}
	if says(c, bufio.NewReaderSize(c, 512), h.greet...) != nil {
		return
	}
	if !h.mute {
		go func() { // Nor is it told that nobody listens.
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}()
	}
	for sent := 0; sent < h.most; sent += len(h.flood) {
		if _, err := io.WriteString(c, h.flood); err != nil {
			return
		}
	}
	for {
		<-time.After(time.Second) // Alive, and no more.
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}

// TestHostileCrowd: in a control group of 128 MiB, connections are attempted
// from many addresses, of each kind that takes memory. As many are held as
// there are slots; the server lives, serves a normal client in time, and loses
// nothing.
func TestHostileCrowd(t *testing.T) {
	const limit = 128
	addresses, attempts := choose(200, 20), choose(20_000, 1000)
	group, err := newCage(t, limit)
	if err != nil {
		t.Logf("no control group can be made here (%v); the server has GOMEMLIMIT instead", err)
	}
	args, env := []string{"-c", `exec "$@"`, "sh"}, []string{"GOMEMLIMIT=75MiB"}
	if group != nil {
		args, env = []string{"-c", `echo $$ > "` + filepath.Join(group.folder, group.procs) + `" && exec "$@"`, "sh"}, nil
	}
	s := startUnder(t, env, "sh", args...)
	pid := s.cmd.Process.Pid
	fillForHostile(t, s)
	for _, who := range []string{"alice", "bob"} { // Passwords that were right lately cost little: the hashing has tests of its own.
		c, err := login(s, who)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	p := startNormal(s, "crowd")
	var held, most, done atomic.Int64
	var wg sync.WaitGroup
	for i := range addresses {
		from := net.IPv4(127, 0, byte(1+i/8), byte(1+i%8)) // A few of each network.
		wg.Go(func() {
			var mine sync.WaitGroup
			for n := range attempts / addresses {
				way := &hostileWays[(i+n)%len(hostileWays)]
				mine.Go(func() { way.attack(s, from, &held) })
				if h := held.Load(); h > most.Load() {
					most.Store(h)
				}
				done.Add(1)
				<-time.After(choose(300*time.Millisecond, 50*time.Millisecond))
			}
			<-time.After(choose(30*time.Second, time.Second))
			mine.Wait()
		})
	}
	within(t, choose(5*time.Minute, time.Minute), "all attempts are made", func() bool { return done.Load() == int64(attempts/addresses*addresses) })
	<-time.After(choose(20*time.Second, time.Second))
	p99 := p.finish(t, choose(time.Second, 10*time.Second)) // The short form begins all at once, and beside other tests.
	if s.cmd.Process.Pid != pid || wasKilled(pid) {
		t.Fatal("the server was killed")
	}
	if logged := s.log.String(); strings.Contains(logged, "panic") {
		t.Error("a session panicked")
	}
	memory, left := s.memory(), held.Load()
	peak := ""
	if group != nil {
		b, err := os.ReadFile(filepath.Join(group.folder, group.peak))
		if err != nil {
			t.Error(err)
		}
		n, _ := strconv.Atoi(string(bytes.TrimSpace(b)))
		peak = fmt.Sprintf(", %d MiB with the page cache", n>>20)
	}
	p.kept(t)
	s.check()
	s.kill() // A stop would give the slow their time to finish.
	wg.Wait()
	t.Logf("ledger: hostile crowd in %d MiB: %d connections attempted from %d addresses, %d held at most and %d in the end; normal clients served %d times, p99 %v; %d MiB resident at most%s; not killed, all kept",
		limit, done.Load(), addresses, most.Load(), left, len(p.took), p99, memory, peak)
}

// wasKilled reports whether a process has no memory any more: nobody has waited for
// its end yet.
func wasKilled(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || !resident.Match(b)
}

// fillForHostile gives alice what is worth a slow FETCH.
func fillForHostile(t *testing.T, s *server) {
	t.Helper()
	body := bytes.Repeat([]byte("a line of a message that is fetched and never read, forty times over\r\n"), 700)
	c := s.smtp()
	defer c.Close()
	for i := range 60 {
		if err := deliver(c, []string{"alice"}, withID(fmt.Sprintf("hostile-%d", i), body)); err != nil {
			t.Fatal(err)
		}
	}
}
