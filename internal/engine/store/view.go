package store

import (
	"iter"
	"sort"
	"sync/atomic"

	"yubin/internal/mail"
)

// chunkLen is how many entries a chunk holds at most. A change of flags copies
// one chunk; an arrival copies nothing.
const chunkLen = 512

// Octets of a chunk, and of what a View has to find it.
const (
	chunkOctets = chunkLen * 16
	chunkPlace  = 24 + 8
)

// entry is an Entry in 16 octets: the keywords are an index into View.sets.
type entry struct {
	modseq uint64
	uid    uint32
	bits   uint32 // index of the keywords, then 8 bits of flags
}

func (e entry) flags() mail.Flags { return mail.Flags(e.bits) }
func (e entry) set() uint32       { return e.bits >> 8 }

// maxSets bounds the different sets of keywords of one view, by the bits of an entry.
const maxSets = 1 << 24

// View is the messages of a mailbox in order of UID, as they stood at one
// moment. It never changes and can be shared and kept.
type View struct {
	modseq mail.ModSeq
	chunks [][]entry // none empty, never written again
	starts []int     // entries before each of chunks
	tail   []entry   // the last chunk; the newest view of a mailbox appends behind its end
	count  int
	sets   []words // sets[0] is empty; views of one mailbox share what they have in common
	names  *names
	unseen atomic.Int64 // FirstUnseen and 1; 0: nobody asked

	line *line // that it is a version of; nil while it is being made
	at   int64 // line.replaced when it was made
	own  int64 // octets that no version of line has
}

// Len returns the number of messages.
func (v *View) Len() int { return v.count }

// ModSeq returns the moment: the mailbox's ModSeq when it was so.
func (v *View) ModSeq() mail.ModSeq { return v.modseq }

// At returns the message with sequence number seq, from 1 to Len.
func (v *View) At(seq int) Entry {
	c := v.chunkOf(seq - 1)
	return v.entry(v.chunk(c)[seq-1-v.start(c)])
}

// chunk returns the c-th chunk, from 0; the last is the tail.
func (v *View) chunk(c int) []entry {
	if c == len(v.chunks) {
		return v.tail
	}
	return v.chunks[c]
}

// numChunks counts the chunks that have entries.
func (v *View) numChunks() int {
	if len(v.tail) > 0 {
		return len(v.chunks) + 1
	}
	return len(v.chunks)
}

// start returns how many entries are before the c-th chunk.
func (v *View) start(c int) int {
	if c == len(v.chunks) {
		return v.count - len(v.tail)
	}
	return v.starts[c]
}

// chunkOf returns the chunk that the i-th entry, from 0, is in.
func (v *View) chunkOf(i int) int {
	return sort.Search(v.numChunks(), func(c int) bool { return v.start(c) > i }) - 1
}

func (v *View) entry(e entry) Entry {
	return Entry{UID: mail.UID(e.uid), Flags: e.flags(), ModSeq: mail.ModSeq(e.modseq), Keywords: v.names.keywords(v.sets[e.set()])}
}

// Seq returns the sequence number of a UID, and whether there is such a message.
func (v *View) Seq(uid mail.UID) (int, bool) {
	seq := v.SeqCeil(uid)
	return seq, seq <= v.count && v.At(seq).UID == uid
}

// SeqCeil returns the first sequence number with at least that UID; Len()+1 if
// there is none.
func (v *View) SeqCeil(uid mail.UID) int {
	c := v.chunkFor(uid)
	if c == v.numChunks() {
		return v.count + 1
	}
	return v.start(c) + position(v.chunk(c), uid) + 1
}

// chunkFor returns the first chunk whose last UID is at least uid.
func (v *View) chunkFor(uid mail.UID) int {
	return sort.Search(v.numChunks(), func(c int) bool {
		chunk := v.chunk(c)
		return chunk[len(chunk)-1].uid >= uint32(uid)
	})
}

// position returns where in a chunk uid is or would be.
func position(chunk []entry, uid mail.UID) int {
	return sort.Search(len(chunk), func(i int) bool { return chunk[i].uid >= uint32(uid) })
}

// Seqs yields the messages of set that are in v and in now, with their sequence
// numbers in v. They are as now has them.
func (v *View) Seqs(set mail.UIDSet, now *View) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		at, is := cursor{v: v}, cursor{v: now}
		for _, r := range set {
			if !at.done() && at.entry().uid < uint32(r.First) {
				at.seek(r.First)
			}
			for ; !at.done() && at.entry().uid <= uint32(r.Last); at.skip(1) {
				uid := at.entry().uid
				if !is.done() && is.entry().uid < uid {
					is.skip(1)
				}
				if !is.done() && is.entry().uid != uid {
					is.seek(mail.UID(uid))
				}
				if is.done() || is.entry().uid != uid {
					continue
				}
				if !yield(v.start(at.chunk)+at.at+1, now.entry(is.entry())) {
					return
				}
			}
		}
	}
}

// All yields all messages with their sequence numbers.
func (v *View) All() iter.Seq2[int, Entry] { return v.From(1) }

// From yields the messages from sequence number seq on.
func (v *View) From(seq int) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		if seq < 1 || seq > v.count {
			return
		}
		c := v.chunkOf(seq - 1)
		for skip := seq - 1 - v.start(c); c < v.numChunks(); c, skip = c+1, 0 {
			chunk, start := v.chunk(c), v.start(c)
			for i := skip; i < len(chunk); i++ {
				if !yield(start+i+1, v.entry(chunk[i])) {
					return
				}
			}
		}
	}
}

// push appends e, which has the highest UID, while v is still being made.
func (v *View) push(e entry) {
	if len(v.tail) >= chunkLen {
		v.closeTail()
	}
	if v.tail == nil {
		v.tail = make([]entry, 0, chunkLen)
	}
	v.tail = append(v.tail, e)
	v.count++
}

func (v *View) closeTail() {
	v.starts = append(v.starts, v.count-len(v.tail))
	v.chunks = append(v.chunks, v.tail)
	v.tail = nil
}

// pushChunk appends a chunk of entries with higher UIDs, sharing it. Short
// neighbours are put together, so that a mailbox from which much was expunged
// does not stay in crumbs.
func (v *View) pushChunk(c []entry) {
	switch {
	case len(c) == 0:
		return
	case len(v.tail) == 0:
		v.tail = c
	case len(c) < chunkLen/4 && len(v.tail)+len(c) <= chunkLen:
		joined := append(make([]entry, 0, chunkLen), v.tail...)
		v.tail = append(joined, c...)
	default:
		v.closeTail()
		v.tail = c
	}
	v.count += len(c)
}

// change is what a commit did to one message: it is so now, or gone.
type change struct {
	state
	kind     ChangeKind
	email    mail.EmailID
	received int64 // of a kind that is dated
}

// with returns v after changes, which ascend by UID and have at most one per UID;
// bits gives the compact form of flags and keywords.
func (v *View) with(modseq mail.ModSeq, changes []change, bits func(state) uint32, sets func() []words) *View {
	n := &View{modseq: modseq, chunks: v.chunks, starts: v.starts, tail: v.tail, count: v.count, line: v.line, at: v.at}
	known := len(changes) // how many are of messages that v can have
	for known > 0 && changes[known-1].UID > v.lastUID() {
		known--
	}
	if known > 0 {
		n = &View{modseq: modseq, line: v.line, at: v.at + int64(len(v.chunks))*chunkPlace}
		n.rewrite(v, changes[:known], bits)
	}
	for _, c := range changes[known:] {
		if !c.kind.gone() {
			n.push(entry{uint64(c.ModSeq), uint32(c.UID), bits(c.state)})
		}
	}
	n.sets = sets()
	return n
}

func (v *View) lastUID() mail.UID {
	if len(v.tail) == 0 {
		return 0 // The tail is empty only if all is.
	}
	return mail.UID(v.tail[len(v.tail)-1].uid)
}

// rewrite fills n with the chunks of v, of which those that changes touch are
// made anew.
func (n *View) rewrite(v *View, changes []change, bits func(state) uint32) {
	n.chunks = make([][]entry, 0, len(v.chunks)+1)
	n.starts = make([]int, 0, len(v.chunks)+1)
	for c := range v.numChunks() {
		chunk := v.chunk(c)
		mine := 0
		for mine < len(changes) && uint32(changes[mine].UID) <= chunk[len(chunk)-1].uid {
			mine++
		}
		if mine > 0 {
			chunk = rewriteChunk(chunk, changes[:mine], bits)
			changes = changes[mine:]
			n.at += chunkOctets
		}
		n.pushChunk(chunk)
	}
}

func rewriteChunk(chunk []entry, changes []change, bits func(state) uint32) []entry {
	made := make([]entry, 0, chunkLen)
	for _, e := range chunk {
		for len(changes) > 0 && uint32(changes[0].UID) < e.uid {
			changes = changes[1:] // Of a message that is gone already.
		}
		if len(changes) > 0 && uint32(changes[0].UID) == e.uid {
			c := changes[0]
			changes = changes[1:]
			if c.kind.gone() {
				continue
			}
			e = entry{uint64(c.ModSeq), e.uid, bits(c.state)}
		}
		made = append(made, e)
	}
	return made
}

// viewOctets estimates what a view of so many messages takes, without keywords.
func viewOctets(messages int64) int64 { return (messages/chunkLen+1)*(chunkOctets+chunkPlace) + 200 }

// memory estimates the octets that v takes.
func (v *View) memory() int64 {
	n := viewOctets(int64(len(v.chunks)) * chunkLen)
	for _, s := range v.sets {
		n += int64(len(s)) + 16
	}
	return n
}

// equal reports whether both have the same messages in the same state.
func (v *View) equal(o *View) bool {
	if v.count != o.count {
		return false
	}
	for seq, e := range v.All() {
		if o.At(seq) != e {
			return false
		}
	}
	return true
}
