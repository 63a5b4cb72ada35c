package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"yubin/bench/proc"
)

// The peers are Debian's: bogofilter (bogofilter-bdb), spamassassin, rspamd with redis-server. They are
// installed, but their services are not used: each runs with a configuration and database of its own below the
// scratch folder.

// files writes the names of messages, a line each.
func (b *bench) files(numbers []int, want func(*mail) bool) []byte {
	var out bytes.Buffer
	for _, i := range numbers {
		if m := &b.all[i]; want(m) {
			fmt.Fprintln(&out, m.path)
		}
	}
	return out.Bytes()
}

func (b *bench) byPath() map[string]*mail {
	out := make(map[string]*mail, len(b.all))
	for i := range b.all {
		out[b.all[i].path] = &b.all[i]
	}
	return out
}

// usage is what a process that ended took.
func usage(cmd *exec.Cmd) (cpu time.Duration, memory int64) {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// bogofilter learns and is asked in bulk: one process each.
func (b *bench) bogofilter() ([]row, error) {
	r := row{name: "bogofilter", at: 0.99}
	paths := b.byPath()
	var asked, learned int
	var askTime, learnTime time.Duration
	for n, s := range b.splits {
		folder := filepath.Join(b.scratch, fmt.Sprintf("bogofilter%d", n))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
		bulk := func(in []byte, args ...string) ([]byte, time.Duration, error) {
			cmd := exec.CommandContext(b.ctx, "bogofilter", append([]string{"-C", "-d", folder, "-b"}, args...)...)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
			out, err := cmd.Output()
			if e, is := err.(*exec.ExitError); is && e.ExitCode() <= 2 { // 0 to 2 are answers.
				err = nil
			}
			if err != nil {
				return nil, 0, err
			}
			cpu, memory := usage(cmd)
			r.memory = max(r.memory, memory)
			return out, cpu, nil
		}
		for _, junk := range []bool{true, false} {
			flag := map[bool]string{true: "-s", false: "-n"}[junk]
			_, cpu, err := bulk(b.files(s.learn, func(m *mail) bool { return m.junk == junk }), flag)
			if err != nil {
				return nil, err
			}
			learnTime += cpu
		}
		out, cpu, err := bulk(b.files(s.ask, func(*mail) bool { return true }), "-T", "--spamicity-formats=%0.16e,%0.16e,%0.16e")
		if err != nil {
			return nil, err
		}
		learned, asked, askTime = learned+len(s.learn), asked+len(s.ask), askTime+cpu
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			if len(f) < 3 {
				return nil, fmt.Errorf("answers %q", line)
			}
			score, err := strconv.ParseFloat(f[len(f)-1], 64)
			m := paths[f[0]]
			if err != nil || m == nil {
				return nil, fmt.Errorf("answers %q", line)
			}
			r.answers = append(r.answers, answer{score, m})
		}
	}
	r.learn, r.ask = learnTime/time.Duration(learned), askTime/time.Duration(asked)
	return []row{r}, nil
}

//go:embed spamassassin.pl
var spamassassinScript []byte

// spamassassin learns and is asked about Bayes' part in one process for each half. Its rules say the same whatever
// Bayes learned, so they are asked once about each message, by processes of their own. All run side by side.
func (b *bench) spamassassin() ([]row, error) {
	script := filepath.Join(b.scratch, "spamassassin.pl")
	if err := os.WriteFile(script, spamassassinScript, 0o644); err != nil {
		return nil, err
	}
	const shards = 4
	parts := make([]spamAssassinPart, shards+len(b.splits))
	var g errgroup.Group
	for n := range parts {
		var learn, ask []int
		name, what := fmt.Sprintf("spamassassin%d", n), "rules"
		if n < shards {
			for i := n; i < len(b.all); i += shards {
				ask = append(ask, i)
			}
		} else {
			learn, ask, what = b.splits[n-shards].learn, b.splits[n-shards].ask, "bayes"
		}
		g.Go(func() (err error) {
			parts[n], err = b.askSpamAssassin(script, name, what, learn, ask)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	both := row{name: "SpamAssassin, Bayes and rules", at: 5}
	bayes := row{name: "SpamAssassin, Bayes only", at: 0.95}
	rules := make(map[string]float64, len(b.all))
	paths := b.byPath()
	for _, p := range parts[:shards] {
		both.ask += p.asking / time.Duration(len(b.all))
		both.memory = max(both.memory, p.memory)
		for _, a := range p.answers {
			rules[a.path] = a.points
		}
	}
	asked := time.Duration(len(b.splits) * len(b.splits[0].ask))
	for _, p := range parts[shards:] {
		bayes.ask += p.asking / asked
		bayes.learn += p.learning / asked
		bayes.memory = max(bayes.memory, p.memory)
		for _, a := range p.answers {
			both.answers = append(both.answers, answer{rules[a.path] + a.own, paths[a.path]})
			bayes.answers = append(bayes.answers, answer{a.p, paths[a.path]})
		}
	}
	both.ask += bayes.ask
	both.learn, both.memory = bayes.learn, max(both.memory, bayes.memory)
	return []row{both, bayes}, nil
}

// spamAssassinPart is what one process said.
type spamAssassinPart struct {
	answers          []spamAssassinAnswer
	learning, asking time.Duration // of the processor, all together
	memory           int64
}

type spamAssassinAnswer struct {
	path           string
	points, p, own float64 // of the rules; Bayes' probability, and the score of that
}

func (b *bench) askSpamAssassin(script, name, what string, learn, ask []int) (out spamAssassinPart, err error) {
	folder := filepath.Join(b.scratch, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return out, err
	}
	var in bytes.Buffer
	for _, i := range learn {
		fmt.Fprintf(&in, "learn %s %s\n", map[bool]string{true: "spam", false: "ham"}[b.all[i].junk], b.all[i].path)
	}
	for _, i := range ask {
		fmt.Fprintf(&in, "ask %s\n", b.all[i].path)
	}
	cmd := exec.CommandContext(b.ctx, "perl", script, folder, what)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	lines, err := cmd.Output()
	if err != nil {
		return out, err
	}
	for line := range strings.Lines(string(lines)) {
		var a spamAssassinAnswer
		var ms float64
		if _, err := fmt.Sscan(line, &a.path, &a.points, &a.p, &a.own, &ms); err != nil {
			return out, fmt.Errorf("answers %q: %w", line, err)
		}
		out.answers = append(out.answers, a)
		out.asking += time.Duration(ms * 1e6)
	}
	cpu, memory := usage(cmd)
	out.learning, out.memory = cpu-out.asking, memory
	return out, nil
}

// rspamdOff are modules that would ask the network, and those that count what came before.
var rspamdOff = []string{"rbl", "surbl", "spf", "dkim", "dkim_signing", "dmarc", "arc", "asn", "fuzzy_check", "mx_check", "greylist", "ratelimit", "replies",
	"phishing", "emails", "neural", "reputation", "history_redis", "bimi", "url_redirector", "external_services", "antivirus", "dcc", "p0f", "rspamd_update"}

// rspamd runs as it does beside a mail server, with redis for Bayes and nothing that asks the network.
func (b *bench) rspamd() ([]row, error) {
	both := row{name: "rspamd, Bayes (redis) and rules", at: 6}
	bayes := row{name: "rspamd, Bayes (redis) only", at: 0.95}
	var learned, asked int
	var learnTime, askTime time.Duration
	d, err := b.startRspamd(filepath.Join(b.scratch, "rspamd"))
	if err != nil {
		return nil, err
	}
	defer d.stop()
	for _, s := range b.splits {
		if err := d.forget(b.ctx); err != nil {
			return nil, err
		}
		before := proc.Spent(d.roots()...)
		for _, i := range s.learn {
			if err := d.learn(&b.all[i]); err != nil {
				return nil, err
			}
		}
		middle := proc.Spent(d.roots()...)
		var asking errgroup.Group
		asking.SetLimit(8) // It waits more than it works.
		scores := make([]struct{ total, bayes float64 }, len(s.ask))
		for n, i := range s.ask {
			asking.Go(func() (err error) {
				scores[n].total, scores[n].bayes, err = d.ask(&b.all[i])
				return err
			})
		}
		if err := asking.Wait(); err != nil {
			return nil, err
		}
		for n, i := range s.ask {
			both.answers = append(both.answers, answer{scores[n].total, &b.all[i]})
			bayes.answers = append(bayes.answers, answer{scores[n].bayes, &b.all[i]})
		}
		after := proc.Spent(d.roots()...)
		learnTime, learned = learnTime+middle.Sub(before).CPU, learned+len(s.learn)
		askTime, asked = askTime+after.Sub(middle).CPU, asked+len(s.ask)
		both.memory = max(both.memory, proc.Memory(d.roots()...).PSS)
	}
	bayes.memory = both.memory
	both.learn, both.ask = learnTime/time.Duration(learned), askTime/time.Duration(asked)
	bayes.learn, bayes.ask = both.learn, both.ask
	return []row{both, bayes}, nil
}

// rspamd is a running one.
type rspamd struct {
	cmds   []*exec.Cmd
	redis  string // port
	worker string // its addresses
	admin  string
}

// forget makes it know nothing.
func (d *rspamd) forget(ctx context.Context) error {
	return exec.CommandContext(ctx, "redis-cli", "-p", d.redis, "flushall").Run()
}

func (d *rspamd) roots() (pids []int) {
	for _, c := range d.cmds {
		pids = append(pids, c.Process.Pid)
	}
	return pids
}

func (d *rspamd) stop() {
	for _, c := range d.cmds {
		_ = c.Process.Signal(syscall.SIGTERM) // It may have ended.
		_ = c.Wait()
	}
}

func (b *bench) startRspamd(folder string) (*rspamd, error) {
	local := filepath.Join(folder, "local.d")
	if err := os.MkdirAll(local, 0o755); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	d := &rspamd{redis: ports[0], worker: "http://127.0.0.1:" + ports[1], admin: "http://127.0.0.1:" + ports[2]}
	for name, text := range map[string]string{
		"redis.conf":            "servers = \"127.0.0.1:" + ports[0] + "\";\n",
		"worker-normal.inc":     "bind_socket = \"127.0.0.1:" + ports[1] + "\";\ncount = 1;\n",
		"worker-controller.inc": "bind_socket = \"127.0.0.1:" + ports[2] + "\";\n",
		"worker-proxy.inc":      "enabled = false;\n",
		"logging.inc":           "level = \"error\";\n",
		"options.inc":           "dns { nameserver = [\"127.0.0.1:9:1\"]; timeout = 0.01; retransmits = 1; }\ncontrol_socket = \"" + folder + "/control mode=0600\";\n",
		"classifier-bayes.conf": "backend = \"redis\";\nautolearn = false;\n",
		"worker-fuzzy.inc":      "enabled = false;\n",
	} {
		if err := os.WriteFile(filepath.Join(local, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	for _, m := range rspamdOff {
		if err := os.WriteFile(filepath.Join(local, m+".conf"), []byte("enabled = false;\n"), 0o644); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"redis-server", "--bind", "127.0.0.1", "--port", ports[0], "--save", "", "--dir", folder, "--loglevel", "warning"},
		{"rspamd", "-f", "-i", "--var=LOCAL_CONFDIR=" + folder, "--var=DBDIR=" + folder, "--var=RUNDIR=" + folder, "--var=LOGDIR=" + folder},
	} {
		cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			d.stop()
			return nil, err
		}
		d.cmds = append(d.cmds, cmd)
	}
	for range 6000 { // It compiles its patterns first.
		if resp, err := http.Get(d.worker + "/ping"); err == nil {
			_ = resp.Body.Close()
			if resp, err := http.Get(d.admin + "/ping"); err == nil {
				_ = resp.Body.Close()
				return d, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.stop()
	return nil, fmt.Errorf("it does not start: see %s/rspamd.log", folder)
}

func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // It only kept the port until all are known.
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

func post(url string, octets []byte) ([]byte, error) {
	resp, err := http.Post(url, "message/rfc822", bytes.NewReader(octets))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // It is read.
	return io.ReadAll(bufio.NewReader(resp.Body))
}

func (d *rspamd) learn(m *mail) error {
	out, err := post(d.admin+map[bool]string{true: "/learnspam", false: "/learnham"}[m.junk], m.octets)
	if err != nil {
		return err
	}
	// What it does not want to learn, since it has too few words or was learned, is its own affair.
	if len(out) > 0 && !json.Valid(out) {
		return fmt.Errorf("learning %s: %s", m.name, out)
	}
	return nil
}

// ask returns the score of all, and Bayes' probability.
func (d *rspamd) ask(m *mail) (total, p float64, err error) {
	out, err := post(d.worker+"/checkv2", m.octets)
	if err != nil {
		return 0, 0, err
	}
	var says struct {
		Score   float64
		Symbols map[string]struct {
			Score   float64
			Options []string
		}
	}
	if err := json.Unmarshal(out, &says); err != nil {
		return 0, 0, fmt.Errorf("asking about %s: %s", m.name, out)
	}
	p = 0.5
	for name, sign := range map[string]float64{"BAYES_SPAM": 1, "BAYES_HAM": -1} {
		if s, is := says.Symbols[name]; is {
			p = 0.5 + sign*0.25
			if len(s.Options) > 0 {
				if percent, err := strconv.ParseFloat(strings.TrimSuffix(s.Options[0], "%"), 64); err == nil {
					p = 0.5 + sign*percent/200
				}
			}
		}
	}
	return says.Score, p, nil
}
