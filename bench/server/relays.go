package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// SmallRelay is OpenSMTPD or Exim, which only relay here, to one next hop.
type SmallRelay struct {
	Program  string // opensmtpd or exim
	Packages Packages
	Dir      string
	Port     int
	NextHop  net.TCPAddr
}

// Name is the program's.
func (r *SmallRelay) Name() string {
	return map[string]string{"opensmtpd": "OpenSMTPD", "exim": "Exim"}[r.Program]
}

// Version is Debian's.
func (r *SmallRelay) Version() string {
	return r.Packages.version(r.Program, map[string]string{"opensmtpd": "opensmtpd", "exim": "exim4-daemon-light"}[r.Program])
}

// Durable says when it says 250.
func (r *SmallRelay) Durable() string {
	return "250 after the fsync of its queue file"
}

// Doors is one port.
func (r *SmallRelay) Doors() Doors { return Doors{SMTP: r.Port, Relay: r.Port} }

// Folder is its scratch folder.
func (r *SmallRelay) Folder() string { return r.Dir }

// Waiting is not asked: the sink counts.
func (r *SmallRelay) Waiting() (int, error) { return 0, nil }

// Roots is the daemon.
func (r *SmallRelay) Roots() []int { return []int{pidFile(r.pid())} }

func (r *SmallRelay) pid() string { return filepath.Join(r.Dir, "run", "pid") }

// Start writes the configuration and starts the daemon.
func (r *SmallRelay) Start(ctx context.Context) error {
	for _, d := range []string{"spool", "run", "log"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, d), 0o755); err != nil {
			return err
		}
	}
	config, err := r.configure()
	if err != nil {
		return err
	}
	script := r.opensmtpd(config)
	if r.Program == "exim" {
		script = r.exim(config)
	}
	cmd := r.Packages.Command(ctx, r.Program, "sh", "-c", script)
	if err := daemon(cmd, filepath.Join(r.Dir, "start")); err != nil {
		return err
	}
	return awaitGreeting(ctx, r.Port)
}

// opensmtpd has its folders compiled in, so ours are mounted there.
func (r *SmallRelay) opensmtpd(config string) string {
	return fmt.Sprintf(`mkdir -p %[1]s/spool/smtpd %[1]s/lib/opensmtpd/empty && chmod 711 %[1]s/spool/smtpd && mount --bind %[1]s/spool /var/spool && mount --bind %[1]s/run /run && `+
		`mount --bind %[1]s/lib /var/lib && { /usr/sbin/smtpd -d -f %[2]s & echo $! >%[1]s/run/pid; }`, r.Dir, config)
}

func (r *SmallRelay) exim(config string) string {
	return fmt.Sprintf(`chown -R Debian-exim:Debian-exim %[1]s/spool %[1]s/log && exec /usr/sbin/exim4 -C %[2]s -bd -q10m -oP %[1]s/run/pid`, r.Dir, config)
}

func (r *SmallRelay) configure() (string, error) {
	name := r.Program + ".conf"
	t, err := template.ParseFS(conf, "conf/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, r); err != nil {
		return "", err
	}
	to := filepath.Join(r.Dir, name)
	return to, os.WriteFile(to, []byte(b.String()), 0o600)
}

// Stop ends the daemon.
func (r *SmallRelay) Stop() error { return stop(pidFile(r.pid())) }
