package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"

	"yubin/internal/engine/judge"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// Judging says what would become of a message.
type Judging interface {
	Judge(ctx context.Context, q JudgeQuestion, message io.Reader) (Judged, error)
	// Thresholds are those of the configuration; 0 where it says nothing.
	Thresholds() judge.Thresholds
}

// MaxMessage is how large a message may be that is to be judged, in octets.
const MaxMessage = 64 << 20

const judgePath = "/v1/judge"

// JudgeQuestion is how a message would come.
type JudgeQuestion struct {
	From     mail.ReversePath
	To       []mail.Address
	Client   judge.Client
	Resolver string // another name server to ask; "" for that of the server
}

// Judged is what would become of it. Nothing was kept.
type Judged struct {
	Action   string     `json:"action"`            // deliver, junk, refuse or later: what the client would be told, or the worst for a recipient
	Reply    string     `json:"reply,omitempty"`   // what the client would be told if the message is not taken
	Plan     []string   `json:"plan"`              // what would be filed and sent where
	Results  string     `json:"results,omitempty"` // Authentication-Results
	Verdicts []JudgedBy `json:"verdicts,omitempty"`
}

// JudgedBy is the verdict of one account.
type JudgedBy struct {
	Account   string         `json:"account,omitempty"` // "" for those elsewhere
	Action    string         `json:"action"`
	Score     float64        `json:"score"`
	Junk      float64        `json:"junk"`   // from here on into Junk
	Refuse    float64        `json:"refuse"` // from here on refused
	Reasons   []judge.Reason `json:"reasons"`
	Unknown   []string       `json:"unknown,omitempty"`
	Otherwise string         `json:"otherwise,omitempty"` // what would have to be different for it to be delivered
}

// Judge asks what would become of a message.
func (c *Client) Judge(ctx context.Context, q JudgeQuestion, message io.Reader) (out Judged, err error) {
	query := url.Values{"from": {q.From.String()}, "helo": {q.Client.Hello}, "resolver": {q.Resolver}}
	if q.Client.Remote.IsValid() {
		query.Set("ip", q.Client.Remote.String())
	}
	for _, a := range q.To {
		query.Add("to", a.String())
	}
	resp, err := c.sendBody(ctx, http.MethodPost, judgePath+"?"+query.Encode(), "message/rfc822", message)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, json.NewDecoder(io.LimitReader(resp.Body, maxResponse)).Decode(&out)
}

func (h *Handler) judge(w http.ResponseWriter, r *http.Request) {
	out, err := h.judgeIt(r)
	if err != nil {
		fail(w, r, h.Log, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(obs.Printing(w)).Encode(out)
}

func (h *Handler) judgeIt(r *http.Request) (out Judged, err error) {
	if h.Judging == nil {
		return out, mail.Errorf(mail.Unavailable, "this server judges nothing")
	}
	query := r.URL.Query()
	q := JudgeQuestion{Client: judge.Client{Hello: query.Get("helo")}, Resolver: query.Get("resolver")}
	if from := query.Get("from"); from != "" && from != "<>" {
		a, err := mail.ParseAddress(from)
		if err != nil {
			return out, err
		}
		q.From = mail.ReversePath(a)
	}
	for _, to := range query["to"] {
		a, err := mail.ParseAddress(to)
		if err != nil {
			return out, err
		}
		q.To = append(q.To, a)
	}
	if ip := query.Get("ip"); ip != "" {
		if q.Client.Remote, err = netip.ParseAddr(ip); err != nil {
			return out, mail.Errorf(mail.Invalid, "the address of the client must be an IP address, not %q", ip)
		}
	}
	return h.Judging.Judge(r.Context(), q, r.Body)
}
