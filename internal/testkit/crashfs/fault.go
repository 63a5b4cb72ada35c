package crashfs

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Fault is what happens to some system calls of a process.
type Fault struct {
	Calls string        // as strace names them: "fdatasync,fsync"
	Error string        // what they fail with, "EIO"; "" lets them be
	Delay time.Duration // before they begin
	When  string        // which ones: "3" the third, "1+2" every second, "5+" all from the fifth; "" all
	Paths []string      // only those on these files; none for all
}

// args are the options of strace that make the fault.
func (f Fault) args() []string {
	inject := "inject=" + f.Calls
	if f.Error != "" {
		inject += ":error=" + f.Error
	}
	if f.Delay > 0 {
		inject += fmt.Sprintf(":delay_enter=%d", f.Delay.Microseconds())
	}
	if f.When != "" {
		inject += ":when=" + f.When
	}
	args := []string{"-e", "trace=" + f.Calls, "-e", inject}
	for _, p := range f.Paths {
		args = append(args, "-P", p)
	}
	return args
}

// Injector is a fault that is going on.
type Injector struct {
	cmd *exec.Cmd
	out strings.Builder
	end chan struct{}
}

// Attach makes the fault happen to a running process, until Stop or its end.
func Attach(pid int, f Fault) (*Injector, error) {
	args := append([]string{"-f", "-p", strconv.Itoa(pid), "-e", "signal=none"}, f.args()...)
	in := &Injector{cmd: exec.Command("strace", args...), end: make(chan struct{})}
	stderr, err := in.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := in.cmd.Start(); err != nil {
		return nil, err
	}
	attached := make(chan struct{})
	go in.read(stderr, attached)
	select {
	case <-attached:
		return in, nil
	case <-in.end:
		_ = in.cmd.Wait()
		return nil, fmt.Errorf("strace does not attach: %s", in.out.String())
	}
}

// read keeps what strace says. Its first line says that it has attached.
func (in *Injector) read(r io.Reader, attached chan<- struct{}) {
	defer close(in.end)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		in.out.WriteString(lines.Text() + "\n")
		if attached != nil && strings.Contains(lines.Text(), " attached") {
			close(attached)
			attached = nil
		}
	}
}

// Stop lets the process be, and says how many calls were tampered with.
func (in *Injector) Stop() (hits int, err error) {
	if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	<-in.end
	_ = in.cmd.Wait() // Ended by our signal.
	return strings.Count(in.out.String(), "(INJECTED)") + strings.Count(in.out.String(), "(DELAYED)"), nil
}
