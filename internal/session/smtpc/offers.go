package smtpc

import (
	"slices"
	"strconv"
	"strings"

	"yubin/internal/scan"
)

// extension is one that a host may offer.
type extension uint16

const (
	extPipelining extension = 1 << iota
	extSize
	ext8BitMIME
	extSMTPUTF8
	extChunking
	extBinaryMIME
	extStartTLS
	extAuth
	extDSN
	extRequireTLS
	extLimits
	extEnhanced
	extDeliverBy
	extPriority
)

var extensionNames = map[string]extension{
	"PIPELINING":          extPipelining,
	"SIZE":                extSize,
	"8BITMIME":            ext8BitMIME,
	"SMTPUTF8":            extSMTPUTF8,
	"CHUNKING":            extChunking,
	"BINARYMIME":          extBinaryMIME,
	"STARTTLS":            extStartTLS,
	"AUTH":                extAuth,
	"DSN":                 extDSN,
	"REQUIRETLS":          extRequireTLS,
	"LIMITS":              extLimits,
	"ENHANCEDSTATUSCODES": extEnhanced,
	"DELIVERBY":           extDeliverBy,
	"MT-PRIORITY":         extPriority,
}

// offers is what a host said in answer to EHLO.
type offers struct {
	known      extension
	size       int64    // largest message; 0 if there is no limit or it is not known
	mechanisms []string // of AUTH, upper-case
	minBy      int64    // seconds, the least by-time of mode R
	// The LIMITS (RFC 9422 §4); 0 is none.
	mailMax, rcptMax, domainMax int
}

func (o offers) has(e extension) bool { return o.known&e == e }

// parseOffers reads the text of a reply to EHLO (RFC 5321 §4.1.1.1). Lines that
// it does not know and parameters that make no sense are passed over.
func parseOffers(text string) offers {
	var o offers
	_, lines, _ := strings.Cut(text, "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		words := strings.Fields(strings.ToUpper(line))
		if len(words) == 0 {
			continue
		}
		// Quirk: old Microsoft servers write "AUTH=LOGIN".
		if mech, ok := strings.CutPrefix(words[0], "AUTH="); ok {
			words = append([]string{"AUTH", mech}, words[1:]...)
		}
		e := extensionNames[words[0]]
		o.known |= e
		o.parameters(e, words[1:])
	}
	return o
}

func (o *offers) parameters(e extension, words []string) {
	switch e {
	case extAuth:
		for _, m := range words {
			if !slices.Contains(o.mechanisms, m) {
				o.mechanisms = append(o.mechanisms, m)
			}
		}
	case extSize:
		o.size = firstNumber(words, "")
	case extDeliverBy:
		o.minBy = firstNumber(words, "")
	case extLimits:
		o.mailMax = int(min(firstNumber(words, "MAILMAX="), 999_999))
		o.rcptMax = int(min(firstNumber(words, "RCPTMAX="), 999_999))
		o.domainMax = int(min(firstNumber(words, "RCPTDOMAINMAX="), 999_999))
	}
}

// firstNumber reads the number behind prefix in the first word that has it; 0
// if there is none. Numbers over 63 bits are the largest there is, that is, no
// limit that matters.
func firstNumber(words []string, prefix string) int64 {
	for _, w := range words {
		digits, ok := strings.CutPrefix(w, prefix)
		if !ok {
			continue
		}
		if digits == "" || strings.ContainsFunc(digits, func(r rune) bool { return r > '9' || !scan.IsDigit(byte(r)) }) {
			return 0
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return 1<<63 - 1
		}
		return n
	}
	return 0
}
