package imapd

import (
	"iter"
	"slices"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// span is the positions from first to last of a view, both included.
type span struct{ first, last int }

// spans are ascending and neither touch nor overlap.
type spans []span

// resolve turns the set of a command into positions of the client's view. In a
// set of sequence numbers one beyond the mailbox, or "*" in an empty mailbox,
// makes it invalid (RFC 9051 §9, seq-number).
func (b *selected) resolve(set imap.NumSet, uid bool) (ps spans, valid bool) {
	switch {
	case set.Saved:
		return b.spansOf(b.saved), true
	case uid:
		return b.resolveUIDs(set), true
	}
	n := b.view.Len()
	for _, r := range set.Ranges {
		first, last := int(r.First), int(r.Last)
		if r.First == imap.Star {
			first = n
		}
		if r.Last == imap.Star {
			last = n
		}
		if first > last {
			first, last = last, first
		}
		if first < 1 || last > n {
			return nil, false
		}
		ps = append(ps, span{first, last})
	}
	return ps.merge(), true
}

// resolveUIDs never fails: UIDs that are not there are ignored (RFC 9051
// §6.4.9). "*" is the last message.
func (b *selected) resolveUIDs(set imap.NumSet) spans {
	return b.spansOf(b.uidSet(set))
}

// uidSet makes a set of the ranges of a UID set.
func (b *selected) uidSet(set imap.NumSet) mail.UIDSet {
	if set.Saved {
		return b.saved
	}
	star := max(b.lastUID(), 1)
	ranges := make([]mail.UIDRange, 0, len(set.Ranges))
	for _, r := range set.Ranges {
		first, last := mail.UID(r.First), mail.UID(r.Last)
		if r.First == imap.Star {
			first = star
		}
		if r.Last == imap.Star {
			last = star
		}
		ranges = append(ranges, mail.UIDRange{First: min(first, last), Last: max(first, last)})
	}
	return mail.UIDRanges(ranges)
}

// spansOf returns the positions of those of uids that are in the view.
func (b *selected) spansOf(uids mail.UIDSet) spans {
	var ps spans
	for _, r := range uids {
		first, after := b.view.SeqCeil(r.First), seqAfter(b.view, r.Last)
		if first < after {
			ps = append(ps, span{first, after - 1})
		}
	}
	return ps.merge()
}

// merge sorts and joins what touches or overlaps.
func (ps spans) merge() spans {
	slices.SortFunc(ps, func(a, b span) int { return a.first - b.first })
	out := ps[:0]
	for _, p := range ps {
		if n := len(out); n > 0 && p.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, p.last)
			continue
		}
		out = append(out, p)
	}
	return out
}

// entries yields the positions and what the view has there.
func (b *selected) entries(ps spans) iter.Seq2[int, store.Entry] {
	return func(yield func(int, store.Entry) bool) {
		for _, p := range ps {
			for seq, e := range b.view.From(p.first) {
				if seq > p.last {
					break
				}
				if !yield(seq, e) {
					return
				}
			}
		}
	}
}

// uids returns the UIDs at ps, as one range for each span: UIDs between them
// that are not in the view were expunged, and never come back.
func (b *selected) uids(ps spans) mail.UIDSet {
	var set mail.UIDSet
	for _, p := range ps {
		set.AddRange(b.view.At(p.first).UID, b.view.At(p.last).UID)
	}
	return set
}

// batches yields the UIDs at ps, at most n at a time. Each slice belongs to who
// gets it.
func (b *selected) batches(ps spans, n int) iter.Seq[[]mail.UID] {
	return func(yield func([]mail.UID) bool) {
		left := ps.count()
		uids := make([]mail.UID, 0, min(n, left))
		for _, e := range b.entries(ps) {
			if uids = append(uids, e.UID); len(uids) < min(n, left) {
				continue
			}
			left -= len(uids)
			if !yield(uids) {
				return
			}
			uids = make([]mail.UID, 0, min(n, left))
		}
	}
}

// count returns how many positions ps has.
func (ps spans) count() int {
	n := 0
	for _, p := range ps {
		n += p.last - p.first + 1
	}
	return n
}
