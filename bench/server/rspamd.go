package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Rspamd is Debian's, as a milter: SPF, DKIM, DMARC and ARC, and all rules that ask nobody.
// What it thinks is written into the message, and nothing is refused.
type Rspamd struct {
	Packages Packages
	Dir      string
	Port     int
	Resolver string // host:port

	cmd   *exec.Cmd
	ended chan struct{}
}

// off are modules that would ask the network or redis: also Bayes, which rspamd is spared.
func (r *Rspamd) off() []string {
	return []string{"rbl", "surbl", "dkim_signing", "asn", "fuzzy_check", "mx_check", "greylist", "ratelimit", "replies", "neural", "reputation",
		"history_redis", "bimi", "url_redirector", "external_services", "antivirus", "dcc", "p0f", "rspamd_update"}
}

func (r *Rspamd) files() map[string]string {
	const none = "enabled = false;\n"
	files := map[string]string{
		"worker-normal.inc":     none,
		"worker-controller.inc": none,
		"worker-fuzzy.inc":      none,
		"worker-proxy.inc":      fmt.Sprintf("enabled = true;\nbind_socket = \"%s:%d\";\ncount = 4;\nmilter = yes;\ntimeout = 120s;\nupstream \"local\" {\n  default = yes;\n  self_scan = yes;\n}\n", Host, r.Port),
		"logging.inc":           "level = \"error\";\n",
		// Who is on this machine is a stranger, as for yubin.
		"options.inc":         fmt.Sprintf("dns { nameserver = [\"%s:1\"]; }\nlocal_addrs = [\"192.0.2.0/24\"];\ncheck_local = true;\ncontrol_socket = \"%s/control mode=0600\";\n", r.Resolver, r.Dir),
		"actions.conf":        "reject = 1000;\nadd_header = 900;\ngreylist = 800;\n",
		"milter_headers.conf": "use = [\"authentication-results\"];\nskip_local = false;\nskip_authenticated = false;\n",
	}
	for _, m := range []string{"spf", "dkim", "dmarc", "arc"} {
		files[m+".conf"] = "check_local = true;\n"
	}
	for _, m := range r.off() {
		files[m+".conf"] = none
	}
	return files
}

// compiling is how long it may take to make its patterns ready, at its first start.
const compiling = 5 * time.Minute

// Start writes the configuration and starts it.
func (r *Rspamd) Start(ctx context.Context) error {
	local := filepath.Join(r.Dir, "local.d")
	if err := os.MkdirAll(local, 0o755); err != nil {
		return err
	}
	for name, text := range r.files() {
		if err := os.WriteFile(filepath.Join(local, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.Chown(r.Dir, userID("_rspamd"), userID("_rspamd")); err != nil {
		return err
	}
	conf := filepath.Join(r.Packages.Folder, "filters", "etc", "rspamd")
	r.cmd = r.Packages.Command(ctx, "filters", "rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", filepath.Join(conf, "rspamd.conf"), "--var=CONFDIR="+conf,
		"--var=LOCAL_CONFDIR="+r.Dir, "--var=DBDIR="+r.Dir, "--var=RUNDIR="+r.Dir, "--var=LOGDIR="+r.Dir)
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.ended = make(chan struct{})
	go func() {
		_ = r.cmd.Wait() // How it ended does not matter.
		close(r.ended)
	}()
	if err := awaitOpen(ctx, r.Port, compiling, r.ended); err != nil {
		return errors.Join(fmt.Errorf("rspamd: %w\n%s", err, tail(filepath.Join(r.Dir, "rspamd.log"))), r.Stop())
	}
	return nil
}

// Stop ends it.
func (r *Rspamd) Stop() error {
	if r.cmd == nil {
		return nil
	}
	err := ignoreGone(r.cmd.Process.Signal(syscall.SIGTERM))
	<-r.ended
	r.cmd = nil
	return err
}
