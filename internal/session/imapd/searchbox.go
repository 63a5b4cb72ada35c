package imapd

import (
	"context"
	"iter"
	"slices"

	"yubin/internal/engine/search"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/world/heap"
)

// search is SEARCH and UID SEARCH (RFC 9051 §6.4.4).
func (s *session) search(ctx context.Context, cmd *imap.Command) (status, error) {
	args := cmd.Args.(*imap.Search)
	b := s.box
	found := hits{uid: cmd.UID}
	program := search.Compile(b.criteria(args.Key, s.rev2))
	var held heap.Hold
	held.Of(s.conn.Share())
	defer held.Release()
	if err := held.Grow(program.Memory() + b.view.Len()*hitMemory); err != nil {
		return status{}, err
	}
	w := s.newWork(ctx)
	err := program.Run(ctx, s.srv.search.InTurns(w.take).Since(b.since), b.id, b.view.All(), found.add)
	if err != nil {
		if args.Return.Save { // RFC 9051 §6.4.4.1
			b.saved = nil
		}
		return status{}, err
	}
	if args.Return.Save {
		b.saved = found.saved(args.Return)
	}
	s.answerSearch(cmd, args.Return, &found)
	return ok("done")
}

// hitMemory is what a message that is found takes of memory in octets, with room
// for growth and for the answer.
const hitMemory = 24

// hits are the messages that a SEARCH found, in the numbers it answers with.
type hits struct {
	uid  bool
	nums []imap.Num
	uids []mail.UID // if the numbers are none
}

func (h *hits) add(seq int, e store.Entry) {
	if h.uid {
		h.nums = append(h.nums, imap.Num(e.UID))
		return
	}
	h.nums = append(h.nums, imap.Num(seq))
	h.uids = append(h.uids, e.UID)
}

// set returns all UIDs found.
func (h *hits) set() mail.UIDSet {
	var set mail.UIDSet
	for _, n := range h.nums {
		if !h.uid {
			break
		}
		set.Add(mail.UID(n))
	}
	for _, u := range h.uids {
		set.Add(u)
	}
	return set
}

// saved returns what "$" becomes (RFC 9051 §6.4.4.1, table 4).
func (h *hits) saved(r imap.SearchReturn) mail.UIDSet {
	all := h.set()
	if len(all) == 0 || r.All || r.Count || !r.Min && !r.Max {
		return all
	}
	var set mail.UIDSet
	if r.Min {
		set.Add(all[0].First)
	}
	if r.Max {
		set.Add(all[len(all)-1].Last)
	}
	return set
}

// answerSearch writes SEARCH to a client that knows no other, else ESEARCH.
func (s *session) answerSearch(cmd *imap.Command, r imap.SearchReturn, found *hits) {
	nums := slices.Values(found.nums)
	switch {
	case !r.Extended && !s.rev2:
		s.out.Search(nums)
		return
	case !r.Extended:
		r.All = true
	case !r.Min && !r.Max && !r.All && !r.Count: // SAVE alone
		return
	}
	e := imap.ESearch{Tag: cmd.Tag, UID: cmd.UID, Count: -1}
	if n := len(found.nums); n > 0 {
		e.Min = ifAsked(r.Min, found.nums[0])
		e.Max = ifAsked(r.Max, found.nums[n-1])
		if r.All {
			e.All = iter.Seq[imap.Num](nums)
		}
	}
	if r.Count {
		e.Count = int64(len(found.nums))
	}
	s.out.ESearch(e)
}

func ifAsked(asked bool, n imap.Num) imap.Num {
	if asked {
		return n
	}
	return 0
}

// searchOp maps the operators that need no more than that.
func searchOp(op imap.SearchOp) search.Op {
	switch op {
	case imap.SearchHasFlag:
		return search.HasFlag
	case imap.SearchHasKeyword:
		return search.HasKeyword
	case imap.SearchHeader:
		return search.Header
	case imap.SearchEnvelope:
		return search.Envelope
	case imap.SearchBody:
		return search.Body
	case imap.SearchText:
		return search.Text
	case imap.SearchBefore:
		return search.Before
	case imap.SearchOn:
		return search.On
	case imap.SearchSince:
		return search.Since
	case imap.SearchSentBefore:
		return search.SentBefore
	case imap.SearchSentOn:
		return search.SentOn
	case imap.SearchSentSince:
		return search.SentSince
	case imap.SearchLarger:
		return search.Larger
	case imap.SearchSmaller:
		return search.Smaller
	}
	return search.All
}

// criteria maps a search key onto what the search engine knows: sequence
// numbers and \Recent, which only this session has, become UIDs. In IMAP4rev2
// BODY matches no header fields (RFC 9051 §6.4.4).
func (b *selected) criteria(k imap.SearchKey, rev2 bool) search.Criteria {
	switch k.Op {
	case imap.SearchAnd, imap.SearchOr, imap.SearchNot:
		return b.combined(k, rev2)
	case imap.SearchBody:
		if rev2 {
			return search.Criteria{Op: search.Leaves, Text: k.Text}
		}
	case imap.SearchSeq:
		return search.Criteria{Op: search.UIDs, Set: b.uidsOfSeqs(k.Set)}
	case imap.SearchUID:
		return search.Criteria{Op: search.UIDs, Set: b.uidSet(k.Set)}
	case imap.SearchRecent:
		return search.Criteria{Op: search.UIDs, Set: b.recent}
	case imap.SearchNew:
		unseen := search.Criteria{Op: search.Not, Keys: []search.Criteria{{Op: search.HasFlag, Flag: mail.Seen}}}
		return search.Criteria{Op: search.And, Keys: []search.Criteria{{Op: search.UIDs, Set: b.recent}, unseen}}
	}
	return search.Criteria{
		Op: searchOp(k.Op), Flag: k.Flag, Keyword: k.Keyword, Field: k.Field, Text: k.Text, Day: k.Date, Size: k.Size,
	}
}

func (b *selected) combined(k imap.SearchKey, rev2 bool) search.Criteria {
	ops := map[imap.SearchOp]search.Op{imap.SearchAnd: search.And, imap.SearchOr: search.Or, imap.SearchNot: search.Not}
	c := search.Criteria{Op: ops[k.Op]}
	for _, sub := range k.Keys {
		c.Keys = append(c.Keys, b.criteria(sub, rev2))
	}
	return c
}

// uidsOfSeqs returns the messages of a set of sequence numbers, in which
// numbers beyond the mailbox are nobody.
func (b *selected) uidsOfSeqs(set imap.NumSet) mail.UIDSet {
	n := imap.Num(b.view.Len())
	if set.Saved || n == 0 {
		return b.saved
	}
	var within imap.NumSet
	for _, r := range set.Ranges {
		first, last := r.First, r.Last
		if first == imap.Star {
			first = n
		}
		if last == imap.Star {
			last = n
		}
		if first, last = min(first, last), max(first, last); first <= n {
			within.Ranges = append(within.Ranges, imap.NumRange{First: first, Last: min(last, n)})
		}
	}
	ps, _ := b.resolve(within, false)
	return b.uids(ps)
}
