package transcript

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/memnet"
)

// echo greets, answers each line in capitals, "list" with two lines in an
// order that may change, "quit" with an end; it hangs up after a silent hour.
func echo(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, "hello\r\n")
	in := bufio.NewReader(c)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		line, err := in.ReadString('\n')
		switch strings.TrimRight(line, "\r\n") {
		case "list":
			fmt.Fprint(c, "b\r\na\r\nlist done\r\n")
		case "quit":
			return
		default:
			fmt.Fprint(c, strings.ToUpper(line))
		}
		if err != nil {
			return
		}
	}
}

func echoServer(*testing.T, *File) Server {
	return Server{Serve: echo, Patience: time.Second, Do: func(name, args string) (string, error) {
		if name == "fail" {
			return "", io.ErrUnexpectedEOF
		}
		return "first\n" + args + "\nlast\n", nil
	}}
}

func TestPlay(t *testing.T) {
	RunText(t, "good", `# RFC 0000 §1 All directives
block msg
one
two
end
let greeting hello
S: ${greeting}
C: abc ${#msg}
S~: ABC (?P<n>\d+)
C: ${n}
S: 10
C!: x\x41\\y\r\n
S!: XA\\Y\r
S!: \n
C: list
S&: a
S&~: [bc]
S: list done
C: list
S...
S: list done
S2: hello
C2: second
C: first
S2: SECOND
S: FIRST
C: ${base64:\0x}
S: AHG=
do show middle
O: first
O: middle
O~: la.t
do show middle
O...
O: last
C: quit
close
hangup 2
`, echoServer)
}

func TestWaitRunsInABubble(t *testing.T) {
	RunText(t, "wait", `# RFC 0000 §2 Silence
S: hello
wait 61m
close
`, echoServer)
}

func TestSettings(t *testing.T) {
	f, err := Parse("x", "# RFC 1\nset profile lmtp\nset list a b c\n")
	if err != nil {
		t.Fatal(err)
	}
	if f.Setting("profile", "mx") != "lmtp" || f.Setting("list", "") != "a b c" || f.Setting("none", "z") != "z" {
		t.Errorf("settings are %v", f.set)
	}
}

func TestDifferencesAreTold(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"S: bye", "got:  hello\n  want: bye"},
		{"S~: b.*", "want: ^(?:b.*)$"},
		{"S: hello\nC: abc\nS: ABD", "x:4: the server said something else\n  got:  ABC\n  want: ABD"},
		{"S: hello\nC: abc\nS: ABD", "C1: abc\n  S1: ABC"},
		{"S: hello\nclose", "did not close"},
		{"close", "said more"},
		{"S: hello\nC: list\nS&: a\nS&: c", "want one of"},
		{"S: hello\nC: list\nS...\nS: nothing", "never said it"},
		{"S: hello\nC: ${nothing}", `no variable "nothing"`},
		{"do show x\nO: second", "got:  first\n  want: second"},
		{"do show x\nO: first", "output goes on"},
		{"do show x\nO...\nO: none", "no such line"},
		{"do fail", "unexpected EOF"},
		{"S: hello\nC: quit\nS: more", "EOF"},
		{"S: hello\nC: quit\nS!: more", "EOF"},
		{"S: hello\nstarttls", "TLS handshake"},
	} {
		f, err := Parse("x", "# RFC 1\n"+test.script+"\n")
		if err != nil {
			t.Fatal(err)
		}
		s := echoServer(t, f)
		s.Patience = 100 * time.Millisecond
		if err := Play(f, s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want it to tell %q", test.script, err, test.want)
		}
	}
}

func TestFaultyFilesAreRefused(t *testing.T) {
	for _, text := range []string{"", "C: x", "# no section", "# RFC 1\nX: y", "# RFC 1\nC~: x", "# RFC 1\nblock a\nb",
		"# RFC 1\nwait long", "# RFC 1\nconnect", "# RFC 1\nconnect 1 over there", "# RFC 1\nclose x"} {
		if _, err := Parse("x", text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestServerClosesInTheMidst: a server that closes before it has read all of a long
// text has said what it said; nothing can be sent after that.
func TestServerClosesInTheMidst(t *testing.T) {
	long := strings.Repeat("x", 3*memnet.Window)
	impatient := Server{Patience: time.Second, Serve: func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, memnet.Window))
		fmt.Fprint(c, "enough\r\n")
		_ = c.Close()
	}}
	for end, want := range map[string]string{"close": "", "C: more": "closed pipe", "S: more": "EOF"} {
		f, err := Parse("x", "# RFC 1\nC!: "+long+"\nS: enough\n"+end+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := Play(f, impatient); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", end, err, want)
		}
	}
}
