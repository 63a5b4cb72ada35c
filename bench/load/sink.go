package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sink takes mail and drops it, and counts.
type Sink interface {
	Await(ctx context.Context, n int) (last time.Time, err error) // until n have come since Reset
	Reset()
	Close() error
}

// OwnSink listens on several addresses. It counts recipients that it said 250 to
// after the final dot.
type OwnSink struct {
	listeners []net.Listener
	got       atomic.Int64
	last      atomic.Int64
	wg        sync.WaitGroup
}

// ListenSink makes a sink on 127.0.1.1, 127.0.1.2 and so on.
func ListenSink(addresses, port int) (*OwnSink, error) {
	s := &OwnSink{}
	for i := range addresses {
		l, err := net.Listen("tcp4", net.JoinHostPort(SinkAddress(i).String(), strconv.Itoa(port)))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.listeners = append(s.listeners, l)
		s.wg.Go(func() { s.accept(l) })
	}
	return s, nil
}

// SinkAddress is where the i-th site's sink listens.
func SinkAddress(i int) net.IP { return net.IPv4(127, 0, 1, byte(i+1)) }

// Close ends the listeners.
func (s *OwnSink) Close() error {
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.wg.Wait()
	return nil
}

// Reset counts from zero.
func (s *OwnSink) Reset() { s.got.Store(0) }

// Await returns when the n-th recipient came.
func (s *OwnSink) Await(ctx context.Context, n int) (time.Time, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.got.Load() < int64(n) {
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("of %d recipients %d came: %w", n, s.got.Load(), ctx.Err())
		case <-tick.C:
		}
	}
	return time.Unix(0, s.last.Load()), nil
}

func (s *OwnSink) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = s.serve(c)
		}()
	}
}

// serve answers one client. Replies gather while commands are waiting.
func (s *OwnSink) serve(c net.Conn) error {
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
	fmt.Fprint(w, "220 sink.bench.test ESMTP\r\n")
	recipients := 0
	for {
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		verb := strings.ToUpper(string(line[:min(4, len(line))]))
		switch verb {
		case "EHLO":
			fmt.Fprint(w, "250-sink.bench.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n")
		case "RCPT":
			recipients++
			fmt.Fprint(w, "250 2.1.5 Ok\r\n")
		case "DATA":
			fmt.Fprint(w, "354 Go on\r\n")
			if err := s.data(r, w); err != nil {
				return err
			}
			s.got.Add(int64(recipients))
			s.last.Store(time.Now().UnixNano())
			recipients = 0
		case "QUIT":
			fmt.Fprint(w, "221 2.0.0 Bye\r\n")
			return w.Flush()
		default:
			recipients = 0
			fmt.Fprint(w, "250 2.0.0 Ok\r\n")
		}
	}
}

// data reads to the final dot.
func (s *OwnSink) data(r *bufio.Reader, w *bufio.Writer) error {
	if err := w.Flush(); err != nil {
		return err
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			fmt.Fprint(w, "250 2.0.0 Taken\r\n")
			return nil
		}
	}
}

// PostfixSink is Postfix's smtp-sink. It counts messages.
type PostfixSink struct {
	cmd  *exec.Cmd
	got  atomic.Int64
	zero atomic.Int64
	last atomic.Int64
}

// StartPostfixSink runs smtp-sink on the first sink address.
func StartPostfixSink(cmd *exec.Cmd) (*PostfixSink, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &PostfixSink{cmd: cmd}
	go s.read(out)
	return s, nil
}

// read follows the counters that -c prints: "sess=1 quit=0 mesg=17\r".
func (s *PostfixSink) read(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\r')
		if err != nil {
			return
		}
		if _, after, ok := strings.Cut(line, "mesg="); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(after), 10, 64)
			s.got.Store(n)
			s.last.Store(time.Now().UnixNano())
		}
	}
}

// Reset counts from zero.
func (s *PostfixSink) Reset() { s.zero.Store(s.got.Load()) }

// Await returns when the n-th message came.
func (s *PostfixSink) Await(ctx context.Context, n int) (time.Time, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for s.got.Load()-s.zero.Load() < int64(n) {
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("of %d messages %d came: %w", n, s.got.Load()-s.zero.Load(), ctx.Err())
		case <-tick.C:
		}
	}
	return time.Unix(0, s.last.Load()), nil
}

// Close ends it.
func (s *PostfixSink) Close() error {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	return nil
}
