package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a terminal with somebody at it.
type terminal struct {
	t     *testing.T
	hands *os.File
	shown strings.Builder
}

// newTerminal makes a terminal, and the side of it that a program has.
func newTerminal(t *testing.T) (*terminal, *os.File) {
	t.Helper()
	hands, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hands.Close() })
	if err := unix.IoctlSetPointerInt(int(hands.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(hands.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, hands: hands}, tty
}

// await reads until the text is shown.
func (x *terminal) await(text string) {
	x.t.Helper()
	b := make([]byte, 256)
	for !strings.HasSuffix(x.shown.String(), text) {
		n, err := x.hands.Read(b)
		if err != nil {
			x.t.Fatalf("%q is not shown: %v, after %q", text, err, x.shown.String())
		}
		x.shown.Write(b[:n])
	}
}

// rest reads until the program has gone.
func (x *terminal) rest() string {
	x.t.Helper()
	b, err := io.ReadAll(x.hands)
	if err != nil && !errors.Is(err, syscall.EIO) { // As Linux says that nobody has the other side.
		x.t.Error(err)
	}
	x.shown.Write(b)
	return x.shown.String()
}

func (x *terminal) types(text string) {
	x.t.Helper()
	if _, err := x.hands.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// What is typed as a password is not shown, and who leaves finds the terminal as it was.
func TestPasswordIsNotShown(t *testing.T) {
	data := filepath.Join(t.TempDir(), "d")
	if out, err := exec.Command("yubin", "domain", "add", "example.org", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	begin := func(x *terminal, tty *os.File) *exec.Cmd {
		cmd := exec.Command("yubin", "account", "add", "alice@example.org", "--data", data)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		x.await("new password of alice@example.org: ")
		for echoes(t, tty) { // The prompt is there a moment before.
			runtime.Gosched()
		}
		return cmd
	}

	x, tty := newTerminal(t)
	cmd := begin(x, tty)
	x.types("\x03")
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("Ctrl-C: %v", err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal shows nothing any more after Ctrl-C")
	}
	_ = tty.Close()

	x, tty = newTerminal(t)
	cmd = begin(x, tty)
	x.types("short\n") // Told before it is typed once more.
	x.await("needs at least 8, or say --allow-weak-password\r\nnew password of alice@example.org: ")
	for echoes(t, tty) {
		runtime.Gosched()
	}
	x.types("correct horse\n")
	x.await("once more: ")
	for echoes(t, tty) {
		runtime.Gosched()
	}
	x.types("correct horse\n")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal shows nothing any more")
	}
	_ = tty.Close()
	if shown := x.rest(); strings.Contains(shown, "horse") || !strings.Contains(shown, "account alice@example.org added") {
		t.Errorf("shown: %q", shown)
	}
}

// echoes reports whether the terminal shows what is typed.
func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}
