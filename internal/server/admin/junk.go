package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"yubin/internal/engine/transfer"
	"yubin/internal/world/files"
)

// Junk knows what was learned of junk, and learns from folders.
//
//	GET  /v1/junk?account        what was learned for an account, or for the site
//	POST /v1/junk/train          {account?, as, quoting?}: a stream of {progress}, then {trained}
//	POST /v1/junk/test           {account?, quoting?}: a stream of {score}, then {tested}
//
// The messages come with the request: a Maildir, a folder of mbox files, or one of them.
type Junk interface {
	// JunkStats looks first at what people did until now. Account "" is the site.
	JunkStats(ctx context.Context, account string) (JunkStats, error)
	TrainJunk(ctx context.Context, in TrainJunk, from *files.Place, progress func(messages int)) (TrainedJunk, error)
	TestJunk(ctx context.Context, in TestJunk, from *files.Place, score func(JunkScore)) (TestedJunk, error)
}

// JunkStats says how much was learned.
type JunkStats struct {
	Account string     `json:"account,omitempty"` // "" is the site
	Junk    int64      `json:"junk"`              // messages that are learned as junk now
	Ham     int64      `json:"ham"`               // and as not
	Last    *time.Time `json:"last,omitempty"`    // when something was learned or taken back
	Lessons int64      `json:"lessons"`           // messages whose lesson can be taken back
	Octets  int64      `json:"octets"`            // of the model
}

// Labels of TrainJunk.
const (
	AsJunk   = "junk"
	AsHam    = "ham"
	AsNoMore = "none" // what was learned is taken back
)

// TrainJunk asks to learn from messages.
type TrainJunk struct {
	Account string `json:"account,omitempty"` // whose model; "" is the site's alone
	As      string `json:"as"`
	Quoting string `json:"quoting,omitempty"` // of mbox: mboxrd, mboxo or none
}

// TrainedJunk says what became of it.
type TrainedJunk struct {
	Messages int                `json:"messages"`
	Failed   int                `json:"failed"`
	Failures []transfer.Failure `json:"failures,omitempty"`
}

// TestJunk asks what is thought of messages.
type TestJunk struct {
	Account string `json:"account,omitempty"`
	Quoting string `json:"quoting,omitempty"`
}

// JunkScore is what is thought of a message: log-odds that it is junk.
type JunkScore struct {
	Folder  string  `json:"folder"`
	Message string  `json:"message"`
	Score   float64 `json:"score"`
}

// TestedJunk is a summary: how many messages were there, how many of them are junk and
// ham by what was learned, and how many it cannot tell.
type TestedJunk struct {
	Messages int                `json:"messages"`
	Junk     int                `json:"junk"` // would be junk for their content alone
	Ham      int                `json:"ham"`
	Unsure   int                `json:"unsure"`
	Failed   int                `json:"failed"`
	Failures []transfer.Failure `json:"failures,omitempty"`
}

// JunkLine is a line of the answers.
type JunkLine struct {
	Progress *int         `json:"progress,omitempty"`
	Score    *JunkScore   `json:"score,omitempty"`
	Trained  *TrainedJunk `json:"trained,omitempty"`
	Tested   *TestedJunk  `json:"tested,omitempty"`
	Failure  *Failure     `json:"failure,omitempty"`
}

// junk are the routes of this file.
func (h *Handler) junk() {
	if h.Junk == nil {
		return
	}
	h.mux.HandleFunc("GET /v1/junk", h.answer(func(r *http.Request) (any, error) {
		return h.Junk.JunkStats(r.Context(), r.URL.Query().Get("account"))
	}))
	h.mux.HandleFunc("POST /v1/junk/train", h.trainJunk)
	h.mux.HandleFunc("POST /v1/junk/test", h.testJunk)
}

func (h *Handler) trainJunk(w http.ResponseWriter, r *http.Request) {
	l := &lines{h: h, w: w, r: r}
	in, err := body[TrainJunk](r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	from, err := placeOf(r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	out, err := h.Junk.TrainJunk(r.Context(), in, from, func(messages int) {
		if l.due() {
			l.tell(JunkLine{Progress: &messages})
		}
	})
	if err != nil {
		l.fail(err, func(f *Failure) any { return JunkLine{Trained: &out, Failure: f} })
		return
	}
	h.Log.Info("junk trained", "as", in.As, "account", in.Account, "messages", out.Messages, "failed", out.Failed)
	l.tell(JunkLine{Trained: &out})
}

func (h *Handler) testJunk(w http.ResponseWriter, r *http.Request) {
	l := &lines{h: h, w: w, r: r}
	in, err := body[TestJunk](r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	from, err := placeOf(r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	out, err := h.Junk.TestJunk(r.Context(), in, from, func(s JunkScore) { l.tell(JunkLine{Score: &s}) })
	if err != nil {
		l.fail(err, func(f *Failure) any { return JunkLine{Failure: f} })
		return
	}
	l.tell(JunkLine{Tested: &out})
}

// JunkStats asks how much was learned for an account, or the site.
func (c *Client) JunkStats(ctx context.Context, account string) (s JunkStats, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/junk?"+url.Values{"account": {account}}.Encode(), nil, &s)
	return s, err
}

// TrainJunk has the server learn from the messages at a place. If it fails, the answer
// tells how far it came.
func (c *Client) TrainJunk(ctx context.Context, in TrainJunk, from *files.Place, progress func(messages int)) (out TrainedJunk, err error) {
	err = stream(ctx, c.lending(from), "/v1/junk/train", in, func(l JunkLine) (over bool, err error) {
		if l.Progress != nil {
			progress(*l.Progress)
		}
		if l.Trained != nil {
			out = *l.Trained
		}
		if l.Failure != nil {
			return true, l.Failure.error()
		}
		return l.Trained != nil, nil
	})
	return out, err
}

// TestJunk asks what is thought of the messages at a place.
func (c *Client) TestJunk(ctx context.Context, in TestJunk, from *files.Place, score func(JunkScore)) (out TestedJunk, err error) {
	err = stream(ctx, c.lending(from), "/v1/junk/test", in, func(l JunkLine) (over bool, err error) {
		if l.Score != nil {
			score(*l.Score)
		}
		if l.Failure != nil {
			return true, l.Failure.error()
		}
		if l.Tested != nil {
			out = *l.Tested
		}
		return l.Tested != nil, nil
	})
	return out, err
}
