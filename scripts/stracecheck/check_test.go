package main

import (
	"fmt"
	"strings"
	"testing"
)

// A trace as strace writes it: one small message by SMTP, one change by IMAP,
// one large message. Tests doctor it.
const (
	smtpConn = "127.0.0.1:25->127.0.0.1:40000"
	imapConn = "127.0.0.1:143->127.0.0.1:40001"
	bigConn  = "127.0.0.1:25->127.0.0.1:40002"

	frameOn  = `7   pwrite64(4</d/y.db-wal>, "\0\0\0\2\0\0\0\0saltsaltsumssums", 24, 32) = 24` + "\n"
	commitOn = `7   pwrite64(4</d/y.db-wal>, "\0\0\0\3\0\0\0\5saltsaltsumssums", 24, 4152) = 24` + "\n"
	walSync  = `7   fdatasync(4</d/y.db-wal>) = 0` + "\n"

	asked    = `6   read(9<TCP:[` + smtpConn + `]>, "Subject: tokenA\r\n\r\n.\r\n", 16384) = 22` + "\n"
	answered = `6   write(9<TCP:[` + smtpConn + `]>, "250 2.0.0 \"kept\"\r\n", 18) = 18` + "\n"

	storeAsked    = `6   read(8<TCP:[` + imapConn + `]>, "t1 STORE 1 +FLAGS (\\Seen)\r\n", 512) = 27` + "\n"
	storeAnswered = `6   write(8<TCP:[` + imapConn + `]>, "* 1 FETCH ()\r\nt1 OK done\r\n", 27) = 27` + "\n"

	blobWrite  = `6   write(5</d/blobs/tmp/ab12>, "Subject: tokenB ...", 4096) = 4096` + "\n"
	blobMore   = `6   write(5</d/blobs/tmp/ab12>, "more", 4) = 4` + "\n"
	blobSync   = `6   fsync(5</d/blobs/tmp/ab12>) = 0` + "\n"
	shelfMade  = `6   mkdirat(AT_FDCWD</d>, "/d/blobs/ab", 0700) = 0` + "\n"
	blobsSync  = `6   fsync(11</d/blobs>) = 0` + "\n"
	blobRename = `6   renameat(AT_FDCWD</d>, "/d/blobs/tmp/ab12", AT_FDCWD</d>, "/d/blobs/ab/ab12") = 0` + "\n"
	shelfSync  = `6   fsync(11</d/blobs/ab>) = 0` + "\n"
	heard      = `6   read(9<TCP:[127.0.0.1:40003->127.0.0.2:25]>, "250 the sink has tokenA\r\n", 512) = 25` + "\n"
	sent       = `6   write(9<TCP:[127.0.0.1:40003->127.0.0.2:25]>, "Subject: tokenA\r\n.\r\n", 20) = 20` + "\n"

	bigAnswer = `6   write(9<TCP:[` + bigConn + `]>, "250 kept\r\n", 10) = 10` + "\n"
)

// page is a write of one page that begins with text.
func page(text string, offset int) string {
	rest := pageSize - len(text)
	return fmt.Sprintf(`7   pwrite64(4</d/y.db-wal>, "%s%s", 4096, %d) = 4096`+"\n", text, strings.Repeat(`\0`, rest), offset)
}

func small(parts ...string) []string { return parts }

var (
	pageOne = page("tokenA tokenA", 56)
	pageTwo = page("counters", 4176)
	pageBig = page("Subject: tokenB in row", 56)

	smallGood = small(asked, frameOn, pageOne, commitOn, pageTwo, walSync, answered)
	storeGood = small(storeAsked, commitOn, pageTwo, walSync, storeAnswered)
	largeGood = small(blobWrite, blobMore, blobSync, shelfMade, blobsSync, blobRename, shelfSync,
		frameOn, pageBig, commitOn, pageTwo, walSync, bigAnswer)

	removalGood = small(heard, commitOn, pageTwo, walSync)

	removalPromise = promise{"removal", removal, "->127.0.0.2:25", "250 the sink has tokenA", ""}
	sentPromise    = promise{"relay", message, "->127.0.0.2:25", "tokenA", "tokenA"}

	smallPromise = promise{"DATA", message, smtpConn, `250 2.0.0 "kept"`, "tokenA"}
	storePromise = promise{"STORE", change, imapConn, "t1 OK done", ""}
	largePromise = promise{"DATA", large, bigConn, "250 kept", "tokenB"}
)

// swap exchanges two lines of a trace.
func swap(lines []string, a, b string) []string {
	return strings.Split(strings.NewReplacer(a, b, b, a).Replace(strings.Join(lines, "\x00")), "\x00")
}

// TestRules: a good trace is good, and each way to doctor it is found.
func TestRules(t *testing.T) {
	unfinished := `7   fdatasync(4</d/y.db-wal> <unfinished ...>` + "\n"
	resumed := `7   <... fdatasync resumed>) = 0` + "\n"
	for name, c := range map[string]struct {
		trace []string
		of    promise
		wrong string // part of what is found; "" for nothing
	}{
		"good":                   {smallGood, smallPromise, ""},
		"sync after the answer":  {swap(smallGood, walSync, answered), smallPromise, "y.db-wal (line 5) was not synced"},
		"sync before the commit": {swap(smallGood, walSync, pageTwo), smallPromise, "was not synced"},
		"no sync":                {small(asked, frameOn, pageOne, commitOn, pageTwo, answered), smallPromise, "was not synced"},
		"sync fails": {small(asked, frameOn, pageOne, commitOn, pageTwo,
			"7   fdatasync(4</d/y.db-wal>) = -1 EIO (Input/output error)\n", answered), smallPromise, "was not synced"},
		"another file is synced": {small(asked, frameOn, pageOne, commitOn, pageTwo, "7   fsync(3</d/y.db>) = 0\n", answered),
			smallPromise, "was not synced"},
		"sync ends in time":     {small(asked, frameOn, pageOne, commitOn, pageTwo, unfinished, resumed, answered), smallPromise, ""},
		"sync ends too late":    {small(asked, frameOn, pageOne, commitOn, pageTwo, unfinished, answered, resumed), smallPromise, "was not synced"},
		"sync begins too early": {small(asked, frameOn, pageOne, commitOn, unfinished, pageTwo, resumed, answered), smallPromise, "was not synced"},
		"commit frame too late": {small(asked, frameOn, pageOne, walSync, answered, commitOn, pageTwo, walSync), smallPromise, "was not committed"},
		"message too late":      {small(asked, answered, frameOn, pageOne, commitOn, pageTwo, walSync), smallPromise, "did not have the message"},
		"another message":       {small(asked, commitOn, pageTwo, walSync, answered), smallPromise, "did not have the message"},
		"no answer":             {smallGood[:6], smallPromise, "never seen"},
		"answer elsewhere":      {smallGood, promise{"DATA", message, imapConn, `250 2.0.0 "kept"`, "tokenA"}, "never seen"},

		"change":               {storeGood, storePromise, ""},
		"change not synced":    {swap(storeGood, walSync, storeAnswered), storePromise, "was not synced"},
		"change not committed": {small(commitOn, pageTwo, walSync, storeAsked, storeAnswered), storePromise, "nothing was committed"},
		"second change not synced": {small(storeAsked, commitOn, pageTwo, walSync, commitOn, pageTwo, storeAnswered),
			storePromise, "(line 6) was not synced"},

		"removal":                   {removalGood, removalPromise, ""},
		"removed before the answer": {small(commitOn, pageTwo, walSync, heard), removalPromise, "nothing was committed after"},
		"removal not synced":        {small(heard, commitOn, pageTwo), removalPromise, "(line 3) was not synced"},
		"sent before it was ours":   {small(sent, frameOn, pageOne, commitOn, pageTwo, walSync), sentPromise, "did not have the message"},
		"sent after it was ours":    {small(frameOn, pageOne, commitOn, pageTwo, walSync, sent), sentPromise, ""},
		"sent between commit, sync": {small(frameOn, pageOne, commitOn, pageTwo, sent, walSync), sentPromise, "was not synced"},

		"large":                   {largeGood, largePromise, ""},
		"row before the file":     {swap(largeGood, blobSync, walSync), largePromise, "ab12 (line 2) was not synced"},
		"file not whole":          {swap(largeGood, blobMore, blobSync), largePromise, "ab12 (line 3) was not synced"},
		"no name":                 {swap(largeGood, blobRename, walSync), largePromise, "no name yet"},
		"folder not synced":       {swap(largeGood, shelfSync, walSync), largePromise, "ab (line 6) was not synced"},
		"folder's not synced":     {swap(largeGood, blobsSync, walSync), largePromise, "blobs (line 4) was not synced"},
		"folder was there before": {small(append(small(blobWrite, blobSync, blobRename, shelfSync), largeGood[7:]...)...), largePromise, ""},
		"large not committed":     {swap(largeGood, walSync, bigAnswer), largePromise, "y.db-wal (line 11) was not synced"},
		"no file":                 {largeGood[7:], largePromise, "no file has the message"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := parseTrace(strings.NewReader(strings.Join(c.trace, "")))
			if err != nil {
				t.Fatal(err)
			}
			h, err := newHouse(calls)
			if err != nil {
				t.Fatal(err)
			}
			wrong := strings.Join(h.check([]promise{c.of}), "\n")
			if (c.wrong == "") != (wrong == "") || !strings.Contains(wrong, c.wrong) {
				t.Errorf("found %q, want %q in\n%s", wrong, c.wrong, strings.Join(c.trace, ""))
			}
		})
	}
}

// TestOneAnswerForEach: two promises with the same words on one connection are
// two answers.
func TestOneAnswerForEach(t *testing.T) {
	trace := strings.Join(smallGood, "")
	for answers, want := range map[int]int{1: 1, 2: 0} {
		calls, err := parseTrace(strings.NewReader(trace + strings.Repeat(answered, answers-1)))
		if err != nil {
			t.Fatal(err)
		}
		h, err := newHouse(calls)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := h.check([]promise{smallPromise, smallPromise}); len(wrong) != want {
			t.Errorf("%d answers for two promises: %q", answers, wrong)
		}
	}
	if both := strings.Replace(trace, `kept\"\r\n`, `kept\"\r\n250 2.0.0 \"kept\"\r\n`, 1); both == trace {
		t.Error("the doctor changed nothing")
	} else if calls, err := parseTrace(strings.NewReader(both)); err != nil {
		t.Error(err)
	} else if h, err := newHouse(calls); err != nil || len(h.check([]promise{smallPromise, smallPromise})) != 0 {
		t.Errorf("two answers in one write are not found: %v", err)
	}
}

// TestJudge: the verdict as the script sees it, with its negative control.
func TestJudge(t *testing.T) {
	good := []byte(strings.Join(smallGood, ""))
	if err := judge(good, []promise{smallPromise}, 0); err != nil {
		t.Error(err)
	}
	bad := []byte(strings.Join(swap(smallGood, walSync, answered), ""))
	if err := judge(bad, []promise{smallPromise}, 0); err == nil || !strings.Contains(err.Error(), "1 of 1 promises") {
		t.Errorf("a doctored trace: %v", err)
	}
	if err := judge([]byte(asked+answered), []promise{smallPromise}, 0); err == nil {
		t.Error("a trace without a WAL")
	}
}

// TestParse: what strace writes.
func TestParse(t *testing.T) {
	calls, err := parseTrace(strings.NewReader(`12    read(3</a b>, "x\"\\\n\t\0\0019\177\377"..., 4096) = 10
13    --- SIGURG {si_signo=SIGURG} ---
12    writev(4<TCPv6:[[::1]:25->[::1]:4000]>, [{iov_base="ab", iov_len=2}, {iov_base="c) = 9", iov_len=6}], 2 <unfinished ...>
13    fsync(5</d>)                          = -1 EIO (Input/output error)
12    <... writev resumed>)                 = 8
13    rename("/a", "/b")                    = 0
14    read(6<socket:[77]>,  <unfinished ...>
14    <... read resumed>"late", 512)        = 4
14    openat(AT_FDCWD</d>, "e", O_RDONLY)   = 7</d/e>
13    +++ exited with 0 +++
`))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&got, "%d-%d %s %s %q %d\n", c.Begin, c.End, c.Name, c.On, c.Strings, c.Result)
	}
	want := `1-1 read /a b ["x\"\\\n\t\x00\x019\x7f\xff"] 10
4-4 fsync /d [] -1
3-5 writev TCPv6:[[::1]:25->[::1]:4000] ["ab" "c) = 9"] 8
6-6 rename  ["/a" "/b"] 0
7-8 read socket:[77] ["late"] 4
9-9 openat  ["e"] 7
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	for _, bad := range []string{"1 read\n", "1 read(3, \"x) = 0\n", "1 read(3) = what\n"} {
		if _, err := parseTrace(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a trace", bad)
		}
	}
}

// TestOtherWrites: a WAL that is written otherwise, or not shown whole, is told
// and not ignored.
func TestOtherWrites(t *testing.T) {
	for line, want := range map[string]string{
		`1 pwritev(4</d/y.db-wal>, [{iov_base="x", iov_len=1}], 1, 0) = 1`: "pwritev",
		`1 pwrite64(4</d/y.db-wal>, "xyz"..., 9, 0) = 9`:                   "3 of 9",
		`1 pwrite64(4</d/y.db-wal>, "x", 1, 99999999999) = 1`:              "written at 99999999999",
		`1 write(1</d/log>, "x", 1) = 1`:                                   "nothing was written",
	} {
		calls, err := parseTrace(strings.NewReader(line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newHouse(calls); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestPieces: frames are the same in whatever pieces they are written, and room
// that is made for later is none.
func TestPieces(t *testing.T) {
	head := strings.Repeat("h", walHead)
	one := "\x00\x00\x00\x02\x00\x00\x00\x00saltsaltsumssums" + strings.Repeat("a", pageSize)
	two := "\x00\x00\x00\x03\x00\x00\x00\x09saltsaltsumssums" + strings.Repeat("b", pageSize)
	octets := head + one + two + strings.Repeat("\x00", 3*frameSize)
	for _, size := range []int{1, 7, 24, frameSize - 1, frameSize, frameSize + 1, 64 << 10} {
		var w wal
		for at := 0; at < len(octets); at += size {
			piece := octets[at:min(at+size, len(octets))]
			c := call{Name: "pwrite64", Strings: []string{piece}, Last: int64(at), Result: int64(len(piece)), Begin: at, End: at + len(piece)}
			if err := w.write(c); err != nil {
				t.Fatal(err)
			}
		}
		if len(w.frames) != 2 || w.frames[0].commit || !w.frames[1].commit || w.frames[0].page[0] != 'a' || w.frames[1].page[0] != 'b' {
			t.Errorf("pieces of %d: %d frames", size, len(w.frames))
			continue
		}
		if end := w.frames[0].End; end < walHead+frameSize || end >= walHead+frameSize+size {
			t.Errorf("pieces of %d: the first frame is whole at %d", size, end)
		}
	}
}
