package load

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// Source sends with Postfix's smtp-source, run by command.
type Source struct {
	Host     string // 127.0.0.1 if empty
	Port     int
	Conns    int
	Messages int
	Size     int
	To       string
	Command  func(ctx context.Context, root, program string, args ...string) *exec.Cmd
}

// Run sends everything, each session over one connection (-d).
func (s Source) Run(ctx context.Context) (Sent, error) {
	cmd := s.Command(ctx, "mail", "smtp-source", "-d", "-s", strconv.Itoa(s.Conns), "-m", strconv.Itoa(s.Messages),
		"-l", strconv.Itoa(s.Size), "-f", "sender@example.org", "-t", s.To, fmt.Sprintf("%s:%d", cmp.Or(s.Host, "127.0.0.1"), s.Port))
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return Sent{}, fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	last := time.Now()
	return Sent{Messages: s.Messages, Began: began, Last: last, Took: last.Sub(began)}, nil
}
