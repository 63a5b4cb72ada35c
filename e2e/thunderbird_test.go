package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// webListeners are what Thunderbird finds, beside the listeners of officeConfig.
const webListeners = `
[[listener]]
protocol = "https"
address = "%[1]s:443"
[[listener]]
protocol = "imap"
address = "%[1]s:993"
tls = "implicit"
[[listener]]
protocol = "smtp"
profile = "submission"
address = "%[1]s:465"
tls = "implicit"
`

// TestThunderbird: Thunderbird is given a name, an address and a password. Its own
// autoconfiguration finds everything else; then it reads a message that is there, and sends one.
func TestThunderbird(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o := n.openProperly("mx.first.test", "starttls", fmt.Sprintf(webListeners, n.address("mx.first.test")))
	l := newLetter(t, "stranger@postfix.test", o.person("alice"))
	if err := l.hand(o.at, o.mail); err != nil {
		t.Fatal(err)
	}
	o.awaits("alice", l.id())

	bird := n.thunderbird(map[string]string{o.host: o.host, "autoconfig.first.test": o.host})
	block, _ := pem.Decode([]byte(read(t, n.authority())))
	found := bird.run(read(t, "testdata/thunderbird.js"), o.person("alice"), password, base64.StdEncoding.EncodeToString(block.Bytes), l.id(), o.person("bob"))
	var got struct {
		Source   string // how the settings were found
		Incoming string
		Outgoing string
		Read     string // the text of the message that was there
		Sent     string // the subject of the one that was sent
	}
	if err := json.Unmarshal(found, &got); err != nil {
		t.Fatalf("%v: %s", err, found)
	}
	if got.Source != "xml-from-isp-https" {
		t.Errorf("the settings are from %q", got.Source)
	}
	if want := "imap mx.first.test:993 " + o.person("alice"); got.Incoming != want {
		t.Errorf("it reads by %q, want %q", got.Incoming, want)
	}
	if want := "smtp mx.first.test:465 " + o.person("alice"); got.Outgoing != want {
		t.Errorf("it sends by %q, want %q", got.Outgoing, want)
	}
	if !strings.Contains(got.Read, l.id()) {
		t.Errorf("it read %q, want %q in it", got.Read, l.id())
	}
	sent := o.awaits("bob", got.Sent)
	if !strings.Contains(string(sent), "From: ") || !strings.Contains(string(sent), o.person("alice")) {
		t.Errorf("bob got\n%.1000s", sent)
	}
}

// birdPatience is how long Thunderbird may take to start, and for each thing that it is told to do: it
// is a large program, and a machine of tests is busy.
const birdPatience = 3 * time.Minute

// bird is a Thunderbird without a window, which is told what to do by Marionette: messages are
// a length, a colon, and JSON.
type bird struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	last int
}

// thunderbird starts one with a new profile, for which each name is at the address of a host of the corner.
func (n *corner) thunderbird(names map[string]string) *bird {
	t := n.t.(*testing.T)
	dir := scratch(t)
	hosts := "127.0.0.1 localhost\n"
	for name, host := range names {
		hosts += n.address(host) + " " + name + "\n"
	}
	put(t, filepath.Join(dir, "hosts"), hosts)
	put(t, filepath.Join(dir, "user.js"), read(t, "testdata/thunderbird-prefs.js"))
	out := &lockedBuffer{}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$1/hosts" /etc/hosts && exec thunderbird --headless --no-remote --marionette --remote-allow-system-access --profile "$1"`, "sh", dir)
	cmd.Env = append(os.Environ(), "HOME="+dir, "MOZ_HEADLESS=1", "MOZ_CRASHREPORTER_DISABLE=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("what Thunderbird said:\n%s", tail(out.String(), 4000))
		}
	})
	b := &bird{t: t}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(birdPatience); b.conn == nil; { // The port is in a file of the profile once it is open.
		select {
		case <-limit:
			t.Fatal("Thunderbird did not start")
		case <-tick.C:
		}
		if text, err := os.ReadFile(filepath.Join(dir, "MarionetteActivePort")); err == nil {
			b.conn, _ = net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(string(text)))
		}
	}
	t.Cleanup(func() { _ = b.conn.Close() })
	b.in = bufio.NewReader(b.conn)
	b.receive() // It says what it is.
	b.command("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{}})
	b.command("Marionette:SetContext", map[string]any{"value": "chrome"})
	b.command("WebDriver:SetTimeouts", map[string]any{"script": birdPatience.Milliseconds()})
	return b
}

func (b *bird) receive() []byte {
	b.t.Helper()
	_ = b.conn.SetReadDeadline(time.Now().Add(birdPatience + 10*time.Second))
	length, err := b.in.ReadString(':')
	if err != nil {
		b.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		b.t.Fatal(err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(b.in, text); err != nil {
		b.t.Fatal(err)
	}
	return text
}

// command sends one and returns its result.
func (b *bird) command(name string, args any) json.RawMessage {
	b.t.Helper()
	b.last++
	text, err := json.Marshal([]any{0, b.last, name, args})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.conn, "%d:%s", len(text), text); err != nil {
		b.t.Fatal(err)
	}
	var answer [4]json.RawMessage
	if err := json.Unmarshal(b.receive(), &answer); err != nil {
		b.t.Fatal(err)
	}
	if string(answer[2]) != "null" {
		b.t.Fatalf("%s: %s", name, answer[2])
	}
	return answer[3]
}

// run runs a script, which returns a promise, with arguments.
func (b *bird) run(script string, args ...any) json.RawMessage {
	b.t.Helper()
	var answer struct {
		Value struct {
			Result json.RawMessage
			Error  string
		}
	}
	text := "const done = arguments[arguments.length - 1];\n(async (...args) => {\n" + script +
		"\n})(...arguments).then(result => done({ result }), error => done({ error: String(error) + \"\\n\" + (error.stack || \"\") }));"
	result := b.command("WebDriver:ExecuteAsyncScript", map[string]any{"script": text, "args": args, "newSandbox": true})
	if err := json.Unmarshal(result, &answer); err != nil {
		b.t.Fatalf("%v: %s", err, result)
	}
	if answer.Value.Error != "" {
		b.t.Fatalf("Thunderbird: %s", answer.Value.Error)
	}
	return answer.Value.Result
}
