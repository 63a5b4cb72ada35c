package server

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Schema is the URL of a schema of the database at u.
func Schema(u, name string) (string, error) {
	parsed, err := url.Parse(u)
	if err != nil {
		return "", err
	}
	q := parsed.Query()
	q.Set("search_path", name)
	parsed.RawQuery = q.Encode()
	return parsed.String(), nil
}

// Postmaster is the first process of the PostgreSQL server on the Unix socket that u
// names, which has its data beside it; 0 if that cannot be known.
func Postmaster(u string) int {
	parsed, err := url.Parse(u)
	if err != nil {
		return 0
	}
	text, _ := os.ReadFile(filepath.Join(parsed.Query().Get("host"), "data", "postmaster.pid"))
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// Distance is a way to a PostgreSQL server that takes time.
type Distance struct {
	listener net.Listener
	to       string // its Unix socket
	each     time.Duration
	near     atomic.Bool // for the moment it takes no time
	wg       sync.WaitGroup
}

// Away is the way to the server on the Unix socket that u names, so long each way, and
// the URL by which a client goes it.
func Away(u string, each time.Duration) (*Distance, string, error) {
	parsed, err := url.Parse(u)
	if err != nil {
		return nil, "", err
	}
	q := parsed.Query()
	d := &Distance{to: filepath.Join(q.Get("host"), ".s.PGSQL.5432"), each: each}
	if d.listener, err = net.Listen("tcp", Host+":0"); err != nil {
		return nil, "", err
	}
	d.wg.Go(d.serve)
	q.Del("host")
	parsed.RawQuery, parsed.Host = q.Encode(), d.listener.Addr().String()
	return d, parsed.String(), nil
}

// Close ends it, when its connections have ended.
func (d *Distance) Close() error {
	err := d.listener.Close()
	d.wg.Wait()
	return err
}

func (d *Distance) serve() {
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("unix", d.to)
		if err != nil {
			_ = c.Close()
			continue
		}
		d.wg.Go(func() { d.carry(c, s) })
		d.wg.Go(func() { d.carry(s, c) })
	}
}

// carry hands on what comes, so much later.
func (d *Distance) carry(from, to net.Conn) {
	type piece struct {
		octets []byte
		due    time.Time
	}
	pieces := make(chan piece, 1024)
	d.wg.Go(func() {
		var failed error
		for p := range pieces {
			if failed == nil {
				time.Sleep(time.Until(p.due))
				_, failed = to.Write(p.octets)
			}
		}
		_ = to.Close()
	})
	for {
		b := make([]byte, 16<<10)
		n, err := from.Read(b)
		if n > 0 {
			due := time.Now()
			if !d.near.Load() {
				due = due.Add(d.each)
			}
			pieces <- piece{b[:n], due}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = from.Close()
			}
			close(pieces)
			return
		}
	}
}
