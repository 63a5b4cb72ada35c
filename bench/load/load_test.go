package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSinkCounts: what was sent is what the sink has when the last answer came.
func TestSinkCounts(t *testing.T) {
	s, err := ListenSink(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	port := s.listeners[0].Addr().(*net.TCPAddr).Port
	sending := Sending{Host: SinkAddress(0).String(), Port: port, Conns: 3, Messages: 20, Size: 4 << 10,
		Recipients: func(int) []string { return []string{"a@x.test", "b@x.test"} }}
	sent, err := sending.Run()
	if err != nil {
		t.Fatal(err)
	}
	if sent.Messages != 20 || s.got.Load() != 40 {
		t.Errorf("%d messages sent, %d recipients came", sent.Messages, s.got.Load())
	}
	if sent.P99 < sent.P50 || sent.Took <= 0 || sent.Last.Before(sent.Began) {
		t.Errorf("%+v", sent)
	}
	if last, err := s.Await(context.Background(), 40); err != nil || last.After(time.Now()) {
		t.Error(last, err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Await(ended, 41); err == nil {
		t.Error("a message that nobody sent was there")
	}
}

// TestBodySize: with the fields before it a body makes a message of the size, nearly.
func TestBodySize(t *testing.T) {
	for _, size := range []int{4 << 10, 50 << 10, 1 << 20} {
		if n := len(Body(size)) + 150; n < size || n > size+80 {
			t.Errorf("%d octets for %d", n, size)
		}
	}
}

// scripted answers each command with what answer returns for its tag.
func scripted(t *testing.T, answer func(tag string) []string) int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "* OK hello\r\n")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			tag, command, _ := strings.Cut(line, " ")
			if strings.HasPrefix(command, "LOGIN") {
				fmt.Fprintf(c, "%s OK in\r\n", tag)
				continue
			}
			for _, piece := range answer(tag) {
				fmt.Fprint(c, piece)
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// TestReader finds the end of an answer however it is cut, and counts.
func TestReader(t *testing.T) {
	port := scripted(t, func(tag string) []string {
		return []string{"* 1 FETCH (FL", "AGS ())\r", "\n* 2 FETCH (BODY[] {9}\r\nR1 OK no\r\n)\r\n", strings.Repeat("* 3 EXPUNGE\r\n", 60000), tag, " OK do", "ne\r\n"}
	})
	r, err := NewReader(port, "u", "p")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		a, err := r.Do("FETCH 1:* (FLAGS)")
		if err != nil || a.Untagged != 60002 {
			t.Errorf("%+v %v", a, err)
		}
	}
}

func TestReaderRefused(t *testing.T) {
	port := scripted(t, func(tag string) []string { return []string{tag + " NO not now\r\n"} })
	r, err := NewReader(port, "u", "p")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Do("SELECT INBOX"); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Error(err)
	}
}

// TestLetter: the same number is the same letter, and few are rare.
func TestLetter(t *testing.T) {
	senders, bodies := 0, 0
	for n := 1; n <= 2*rareEvery; n++ {
		b := string(Letter(n, 300))
		if b != string(Letter(n, 300)) {
			t.Fatalf("letter %d differs from itself", n)
		}
		if strings.Contains(b, RareSender) {
			senders++
		}
		if strings.Contains(b, RareWord) {
			bodies++
		}
	}
	if senders != 2 || bodies != 2 {
		t.Errorf("%d rare senders, %d rare bodies", senders, bodies)
	}
}
