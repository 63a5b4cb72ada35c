package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// manages is where the stand-in of systemd keeps what it knows of a unit.
const manages = "/run/systemd"

// systemctl does what the pages ask of systemd: start, stop, restart, reload, enable, status.
func systemctl(args []string) error {
	var rest []string
	now := false
	for _, a := range args {
		switch {
		case a == "--now":
			now = true
		case strings.HasPrefix(a, "-"):
		default:
			rest = append(rest, a)
		}
	}
	if len(rest) == 1 && rest[0] == "daemon-reload" {
		return nil
	}
	if len(rest) < 2 {
		return errors.New("this stand-in wants a verb and a unit")
	}
	name := strings.TrimSuffix(rest[1], ".service")
	switch rest[0] {
	case "start":
		return startUnit(name)
	case "stop":
		return stopUnit(name)
	case "restart":
		if err := stopUnit(name); err != nil {
			return err
		}
		return startUnit(name)
	case "reload":
		return reloadUnit(name)
	case "enable":
		if now {
			return startUnit(name)
		}
		_, err := loadUnit("/", name)
		return err
	case "is-active", "status":
		if pid(name, "main") == 0 {
			fmt.Println("inactive")
			os.Exit(3)
		}
		fmt.Println("active")
		return nil
	}
	return fmt.Errorf("this stand-in does not know %q", rest[0])
}

// journalctl prints what a unit wrote.
func journalctl(args []string) error {
	name := "yubin"
	for i, a := range args {
		if (a == "-u" || a == "--unit") && i+1 < len(args) {
			name = strings.TrimSuffix(args[i+1], ".service")
		}
	}
	f, err := os.Open(logOf(name))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return err
}

func logOf(name string) string { return "/var/log/" + name + ".journal" }

// pid reads a number that the supervisor of a unit noted; 0 if that process is gone.
func pid(name, what string) int {
	b, err := os.ReadFile(filepath.Join(manages, name+"."+what))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || unix.Kill(n, 0) != nil {
		return 0
	}
	return n
}

func note(name, what string, n int) error {
	return os.WriteFile(filepath.Join(manages, name+"."+what), []byte(strconv.Itoa(n)), 0o644)
}

// startUnit leaves a supervisor behind and waits until the unit says that it is ready.
func startUnit(name string) error {
	if pid(name, "supervisor") != 0 {
		return nil
	}
	if _, err := loadUnit("/", name); err != nil {
		return err
	}
	log, err := os.OpenFile(logOf(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	hear, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer hear.Close()
	cmd := exec.Command("/proc/self/exe", "supervise", name)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	tell.Close()
	word, err := bufio.NewReader(hear).ReadString('\n')
	if err != nil || word != "ready\n" {
		return fmt.Errorf("job for %s.service failed: %s%s", name, word, tail(logOf(name)))
	}
	return nil
}

// tail is the end of a log.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-2000):])
}

func stopUnit(name string) error {
	n := pid(name, "supervisor")
	if n == 0 {
		return nil
	}
	if err := unix.Kill(n, unix.SIGTERM); err != nil {
		return err
	}
	for range 600 {
		if unix.Kill(n, 0) != nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s does not stop", name)
}

// reloadUnit runs ExecReload. A notify service has read its file before it answers
// the next command only if that is given a moment.
func reloadUnit(name string) error {
	u, err := loadUnit("/", name)
	if err != nil {
		return err
	}
	n := pid(name, "main")
	if n == 0 {
		return fmt.Errorf("%s.service is not active, cannot reload", name)
	}
	line := strings.ReplaceAll(u.last("ExecReload"), "$MAINPID", strconv.Itoa(n))
	words := strings.Fields(line)
	if len(words) == 0 {
		return fmt.Errorf("%s.service has no ExecReload", name)
	}
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	time.Sleep(300 * time.Millisecond)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// supervise runs a unit and starts it again when it fails, until SIGTERM. It tells
// file descriptor 3 when the unit is ready for the first time.
func supervise(name string) error {
	tell := os.NewFile(3, "tell")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP)
	if err := note(name, "supervisor", os.Getpid()); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(manages, name+".supervisor"))
	for {
		u, err := loadUnit("/", name)
		if err != nil {
			return err
		}
		again, err := runUnit(u, tell, stop)
		if err != nil {
			fmt.Fprintln(os.Stderr, "systemd:", err)
		}
		_ = tell.Close() // Who started the unit has heard, or hears now that it failed.
		if !again || u.last("Restart") == "no" || u.last("Restart") == "" {
			return err
		}
		select {
		case <-stop:
			return nil
		case <-time.After(u.duration("RestartSec", 100*time.Millisecond)):
		}
	}
}

// runUnit runs a unit once and says whether it failed, and is to be started again.
func runUnit(u *unit, tell io.Writer, stop <-chan os.Signal) (again bool, err error) {
	if err := u.makeFolders(); err != nil {
		return true, err
	}
	for _, line := range u.values["ExecStartPre"] {
		if err := inSandbox(u, line, "").Run(); err != nil {
			return true, fmt.Errorf("%s: %w", line, err)
		}
	}
	socket := filepath.Join(manages, u.name+".notify")
	_ = os.Remove(socket)
	hear, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return false, err
	}
	defer hear.Close()
	if err := os.Chmod(socket, 0o666); err != nil {
		return false, err
	}
	cmd := inSandbox(u, u.last("ExecStart"), socket)
	if err := cmd.Start(); err != nil {
		return true, err
	}
	if err := note(u.name, "main", cmd.Process.Pid); err != nil {
		return false, err
	}
	go listen(hear, tell)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err != nil, err
	case <-stop:
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(u.duration("TimeoutStopSec", 90*time.Second)):
		_ = cmd.Process.Kill()
		<-ended
	}
	return false, nil
}

// listen tells when the unit says that it is ready.
func listen(hear *net.UnixConn, tell io.Writer) {
	buf := make([]byte, 4096)
	for {
		n, err := hear.Read(buf)
		if err != nil {
			return
		}
		if strings.Contains("\n"+string(buf[:n])+"\n", "\nREADY=1\n") {
			_, _ = io.WriteString(tell, "ready\n") // Nobody waits for it the second time.
		}
	}
}

func inSandbox(u *unit, line, socket string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"sandbox", u.name}, strings.Fields(line)...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if socket != "" {
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if u.yes("ProtectHostname") {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUTS
	}
	return cmd
}
