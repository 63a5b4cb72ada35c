// Package transcript plays written conversations against a server: text files
// with what the client sends and what the server must answer. All protocol
// suites use it.
//
//	func TestTranscripts(t *testing.T) {
//		transcript.Run(t, "testdata/*.txt", func(t *testing.T, f *transcript.File) transcript.Server {
//			post := newPost(t, f.Setting("profile", "mx"))
//			return transcript.Server{Serve: post.serve, Do: post.do}
//		})
//	}
//
// Each file is a subtest with a server of its own. It begins with the RFC
// section that it is about, and reads:
//
//	# RFC 5321 §3.3 A mail transaction
//	set profile mx
//	S~: 220 \S+ ESMTP.*
//	C: EHLO client.example
//	S...
//	S~: 250[- ]SIZE (?P<size>\d+)
//	S...
//	S~: 250 .*
//	C: MAIL FROM:<a@remote.example> SIZE=${size}
//	S: 250 2.1.0 ok
//	C: QUIT
//	S~: 221 .*
//	close
//
// # Lines
//
// A line is a directive; blank lines and lines that start with # are nothing.
// A connection is opened by the first line that names it. "C:" and "S:" are
// connection 1, "C2:" and "S2:" are connection 2.
//
//	C: text      the client sends text and CRLF. Neighbouring lines of one connection go out in one write
//	C!: text     the client sends text without CRLF; \r \n \t \0 \\ \xHH are octets
//	S: text      the next line of the server is exactly text
//	S~: regexp   the next line matches the whole regexp; its named groups become variables
//	S!: text     the next octets are exactly text, with escapes as in C!, no CRLF implied
//	S&: text     neighbouring S& and S&~ lines are answered in any order
//	S&~: regexp
//	S...         skips lines until the next S: or S~: of this connection fits (S2... for 2)
//	send         ends a write that would go on with the next C line
//	close [n]    the server closes the connection, after nothing more
//	hangup [n]   the client closes it
//	starttls [n] the client makes the TLS handshake
//	connect n [from ADDR:PORT] [to ADDR:PORT] [tls]
//	             opens a connection explicitly, with addresses or with TLS from the start
//	wait 5m      time passes. A file with this line runs in a testing/synctest bubble
//	set K V      a setting that the suite reads with File.Setting, anywhere in the file
//	do NAME ARGS calls Server.Do; its output is compared with the O lines that follow
//	O: text      the next line of that output is exactly text
//	O~: regexp   ... matches
//	O...         skips lines of it
//
// Without an O... at the end the output must be used up.
//
// # Variables
//
// ${name} stands for a variable, ${#name} for its length in octets, anywhere
// but in settings. A block makes one of lines that end in CRLF, which is how
// literals are written:
//
//	block msg
//	From: a@b.example
//
//	text
//	end
//	C: A1 APPEND INBOX {${#msg}}
//	S~: \+ .*
//	C: ${msg}
//
// ${base64:text} is text in base64, where text has the escapes of C! and no
// closing brace. "let name text" makes a variable of one line. In a regexp a
// variable stands for itself, quoted.
package transcript

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Server is what a file is played against.
type Server struct {
	// Serve runs one connection to its end and closes it.
	Serve func(net.Conn)
	// Do carries out a "do" line: something beside the conversations, as the
	// delivery of a message or a look into the store. May be nil. Lines of the
	// output end in LF or CRLF.
	Do func(name, args string) (output string, err error)
	// Patience bounds each wait for the server; zero means ten seconds.
	Patience time.Duration
}

// Start makes the server of one file. What it needs to stop goes into
// t.Cleanup, and runs after all connections are closed.
type Start func(t *testing.T, f *File) Server

// Run plays every file that pattern matches as a subtest. No match is a failure.
func Run(t *testing.T, pattern string, start Start) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts match %q (%v)", pattern, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) { RunText(t, path, string(text), start) })
	}
}

// RunText plays one transcript given as text; path is for messages.
func RunText(t *testing.T, path, text string, start Start) {
	t.Helper()
	f, err := Parse(path, text)
	if err != nil {
		t.Fatal(err)
	}
	play := func(t *testing.T) {
		if err := Play(f, start(t, f)); err != nil {
			t.Error(err)
		}
	}
	if f.waits {
		synctest.Test(t, play)
		return
	}
	play(t)
}
