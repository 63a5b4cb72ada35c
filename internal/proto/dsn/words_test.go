package dsn

import (
	"strings"
	"testing"
)

func TestExplainReply(t *testing.T) {
	for reply, want := range map[string]string{
		"550 User unknown":                                     "There is no mailbox with this address.",
		"550 <a@b.example>: Recipient\nunknown":                "There is no mailbox with this address.",
		"550 not here":                                         "The message was refused.",
		"450 user unknown":                                     "For the time being",
		"551 User not local; please try <new@b.example>":       "names this new address: new@b.example",
		"551 5.7.1 User not local; please try <new@b.example>": "names this new address: new@b.example",
		"551 User not local":                                   "has moved and left no new address",
		"551 try <not an address>":                             "has moved and left no new address",
		"550 Service unavailable; Client host [192.0.2.1] blocked using zen": "our network address is on a list",
		"554 5.7.1 Your IP is on our blacklist":                              "our network address is on a list",
		"550 user unknown on our blocklist":                                  "our network address is on a list",
		"451 4.7.1 Client host blocked using bl.example":                     "our network address is on a list",
		"421 4.7.0 [192.0.2.1] deferred for its reputation":                  "our network address is on a list",
		"451 4.2.2 mailbox full":                                             "The recipient's mailbox is full.",
		"550 sorry, no mailbox here by that name":                            "There is no mailbox with this address.",
		"550 Invalid recipient bob@b.example":                                "There is no mailbox with this address.",
		"550-Verification failed for <a@b.example>\n550 unknown user":        "could not verify that your own address",
		"550 Sender verify failed: no such user":                             "could not verify that your own address",
		"550 5.1.1 no mailbox on this block list server":                     "There is no mailbox with this address.",
	} {
		why, advice := ExplainReply(StatusOf(reply), reply, English)
		if !strings.Contains(why, want) || advice == "" {
			t.Errorf("%q: %q, %q", reply, why, advice)
		}
		if ja, _ := ExplainReply(StatusOf(reply), reply, Japanese); ja == "" || strings.Contains(ja, "%") {
			t.Errorf("%q: %q", reply, ja)
		}
	}
}
