// Mkarchive writes a mail archive to try a mail server with: varied, ugly,
// multi-charset, multi-part mail as real programs write it.
//
//	go run ./scripts/mkarchive -n 2000 -seed 1 -o archive
//
// It makes the folder and writes one file a message, 000000.eml and on, and
// index.jsonl with a line a message: file, kind, size, structure, phrase, charset.
// One in twenty has octets that SMTP cannot carry with DATA: NUL, bare LF, no last
// line end.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"yubin/internal/testkit/mailgen"
)

func main() {
	n := flag.Int("n", 1000, "how many messages")
	seed := flag.Uint64("seed", 1, "the same seed gives the same archive")
	large := flag.Bool("large", true, "now and then an attachment of 1 to 3 MiB")
	out := flag.String("o", "archive", "the folder to make; it must not exist")
	flag.Parse()
	octets, err := write(*out, *n, mailgen.New(*seed, *large))
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkarchive:", err)
		os.Exit(1)
	}
	fmt.Printf("%s: %d messages, %d octets, seed %d\n", *out, *n, octets, *seed)
}

// entry is a line of the index.
type entry struct {
	File      string `json:"file"`
	Kind      string `json:"kind"`
	Size      int    `json:"size"`
	Structure string `json:"structure,omitempty"`
	Phrase    string `json:"phrase,omitempty"`
	Charset   string `json:"charset,omitempty"`
}

func write(dir string, n int, g *mailgen.Generator) (octets int, err error) {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return 0, err
	}
	f, err := os.Create(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriter(f)
	index := json.NewEncoder(w)
	for i := range n {
		m := next(g, i)
		e := entry{fmt.Sprintf("%06d.eml", i), m.Kind, len(m.Octets), m.Structure, m.Phrase, m.Charset}
		if err := os.WriteFile(filepath.Join(dir, e.File), m.Octets, 0o666); err != nil {
			return 0, err
		}
		if err := index.Encode(e); err != nil {
			return 0, err
		}
		octets += e.Size
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return octets, f.Close()
}

// next makes message i.
func next(g *mailgen.Generator, i int) mailgen.Message {
	if i%20 == 19 {
		return g.NextExact()
	}
	return g.Next()
}
