package dmarcreport

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Parse reads the document of a report and gives each of its records to each, in
// their order; what it is given is only lent. Of a report that has an error all is
// to be forgotten. Errors are of kind Invalid if it is no report, TooLarge beyond a
// limit, or those of r and each.
func Parse(r io.Reader, each func(*Record) error) (Report, error) {
	p := &parser{each: each}
	err := newScanner(&bounded{r: r, left: MaxUnpacked}).run(p)
	if err == nil {
		err = p.whole()
	}
	if err != nil {
		return Report{}, err
	}
	return p.report, nil
}

// bounded reads no more than a document may have.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		if n, err := b.r.Read(p[:1]); n == 0 {
			return 0, err
		}
		return 0, tooLarge("the document is over %d MiB", MaxUnpacked>>20)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// parser is what was read so far.
type parser struct {
	report  Report
	rec     Record
	counted bool // rec has a count
	records int
	each    func(*Record) error
	fault   error // of the last text
	begin   int64 // of the period, in seconds; 0 until it is known
	until   int64
}

const (
	root   = "/feedback"
	record = root + "/record"
)

func (p *parser) begun(path []byte) error {
	switch string(path) {
	case record:
		if p.records++; p.records > MaxRecords {
			return tooLarge("there are more than %d records", MaxRecords)
		}
		r := &p.rec
		*r = Record{Reasons: r.Reasons[:0], Signatures: r.Signatures[:0]}
		p.counted = false
	case record + "/auth_results/dkim":
		p.rec.Signatures = append(p.rec.Signatures, Signature{})
	case record + "/row/policy_evaluated/reason":
		p.rec.Reasons = append(p.rec.Reasons, Reason{Type: "other"})
	default:
		if len(path) > len(root) || string(path) == root {
			return nil
		}
		return invalid("the document is no report: its first element is %.50q", path[1:])
	}
	return nil
}

// ended takes the text of an element that a report has, and a record when it is
// whole.
func (p *parser) ended(path, text []byte, cut bool) error {
	if string(path) == record {
		return p.endRecord()
	}
	set, known := elements[string(path)]
	if !known {
		if string(path) == record+"/auth_results/dkim" && len(p.rec.Signatures) > MaxSignatures {
			p.rec.Signatures = p.rec.Signatures[:MaxSignatures]
		}
		if string(path) == record+"/row/policy_evaluated/reason" && len(p.rec.Reasons) > MaxReasons {
			p.rec.Reasons = p.rec.Reasons[:MaxReasons]
		}
		return nil
	}
	if cut && !set.people {
		return tooLarge("%s is over %d octets", path, MaxText)
	}
	set.to(p, bytes.TrimSpace(text))
	if p.fault != nil {
		return p.fault
	}
	return nil
}

// element says what is done with a text.
type element struct {
	to     func(p *parser, text []byte)
	people bool // it is for people, and may be cut
}

// elements are those that are read, by their path (RFC 9990 §3.1.1).
var elements = map[string]element{
	root + "/report_metadata/org_name":           {to: func(p *parser, t []byte) { p.report.Organization = clean(t) }, people: true},
	root + "/report_metadata/email":              {to: func(p *parser, t []byte) { p.report.Contact = clean(t) }, people: true},
	root + "/report_metadata/extra_contact_info": {to: func(p *parser, t []byte) { p.report.Extra = clean(t) }, people: true},
	root + "/report_metadata/report_id":          {to: func(p *parser, t []byte) { p.report.ID = clean(t) }},
	root + "/report_metadata/error":              {to: func(p *parser, t []byte) { p.report.Error = clean(t) }, people: true},
	root + "/report_metadata/generator":          {to: func(p *parser, t []byte) { p.report.Generator = clean(t) }, people: true},
	root + "/report_metadata/date_range/begin":   {to: func(p *parser, t []byte) { p.begin = p.number(t) }},
	root + "/report_metadata/date_range/end":     {to: func(p *parser, t []byte) { p.until = p.number(t) }},

	root + "/policy_published/domain":           {to: func(p *parser, t []byte) { p.report.Published.Domain = domain(t) }},
	root + "/policy_published/p":                {to: func(p *parser, t []byte) { p.report.Published.P = word(t) }},
	root + "/policy_published/sp":               {to: func(p *parser, t []byte) { p.report.Published.SP = word(t) }},
	root + "/policy_published/np":               {to: func(p *parser, t []byte) { p.report.Published.NP = word(t) }},
	root + "/policy_published/adkim":            {to: func(p *parser, t []byte) { p.report.Published.DKIM = word(t) }},
	root + "/policy_published/aspf":             {to: func(p *parser, t []byte) { p.report.Published.SPF = word(t) }},
	root + "/policy_published/fo":               {to: func(p *parser, t []byte) { p.report.Published.FailureReports = word(t) }},
	root + "/policy_published/pct":              {to: func(p *parser, t []byte) { p.report.Published.Percent = word(t) }},
	root + "/policy_published/testing":          {to: func(p *parser, t []byte) { p.report.Published.Testing = word(t) }},
	root + "/policy_published/discovery_method": {to: func(p *parser, t []byte) { p.report.Published.Discovery = word(t) }},

	record + "/row/source_ip": {to: func(p *parser, t []byte) { p.rec.Source = p.address(t) }},
	record + "/row/count":     {to: func(p *parser, t []byte) { p.rec.Count, p.counted = p.number(t), true }},
	record + "/row/policy_evaluated/disposition": {to: func(p *parser, t []byte) {
		p.rec.Disposition = ParseDisposition(word(t))
	}},
	record + "/row/policy_evaluated/dkim": {to: func(p *parser, t []byte) { p.rec.DKIM = word(t) == "pass" }},
	record + "/row/policy_evaluated/spf":  {to: func(p *parser, t []byte) { p.rec.SPF = word(t) == "pass" }},
	record + "/row/policy_evaluated/reason/type": {to: func(p *parser, t []byte) {
		r := &p.rec.Reasons[len(p.rec.Reasons)-1]
		if r.Type = "other"; slices.Contains(reasons, word(t)) {
			r.Type = word(t)
		}
	}},
	record + "/row/policy_evaluated/reason/comment": {to: func(p *parser, t []byte) {
		p.rec.Reasons[len(p.rec.Reasons)-1].Comment = clean(t)
	}, people: true},

	record + "/identifiers/header_from":   {to: func(p *parser, t []byte) { p.rec.From = domain(t) }},
	record + "/identifiers/envelope_from": {to: func(p *parser, t []byte) { p.rec.EnvelopeFrom = domain(t) }},
	record + "/identifiers/envelope_to":   {to: func(p *parser, t []byte) { p.rec.EnvelopeTo = domain(t) }},

	record + "/auth_results/dkim/domain":       {to: func(p *parser, t []byte) { p.signature().Domain = domain(t) }},
	record + "/auth_results/dkim/selector":     {to: func(p *parser, t []byte) { p.signature().Selector = word(t) }},
	record + "/auth_results/dkim/result":       {to: func(p *parser, t []byte) { p.signature().Result = word(t) }},
	record + "/auth_results/dkim/human_result": {to: func(p *parser, t []byte) { p.signature().Human = clean(t) }, people: true},
	record + "/auth_results/spf/domain":        {to: func(p *parser, t []byte) { p.rec.Sender.Domain = domain(t) }},
	record + "/auth_results/spf/result":        {to: func(p *parser, t []byte) { p.rec.Sender.Result = word(t) }},
	record + "/auth_results/spf/human_result":  {to: func(p *parser, t []byte) { p.rec.Sender.Human = clean(t) }, people: true},
}

// reasons are the types of RFC 9990 §3.1.6, and those of RFC 7489 that went.
var reasons = []string{"local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder", "forwarded", "sampled_out"}

func (p *parser) signature() *Signature { return &p.rec.Signatures[len(p.rec.Signatures)-1] }

// clean is a text for people: valid UTF-8 in one line.
func clean(text []byte) string {
	s := strings.ToValidUTF8(string(text), "\ufffd")
	return short(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s))
}

// short is s within MaxText, which it may have outgrown.
func short(s string) string {
	if len(s) > MaxText {
		s = strings.ToValidUTF8(s[:MaxText], "")
	}
	return strings.TrimSpace(s)
}

// words are those that nearly all reports are made of: they cost no memory.
var words = map[string]string{"pass": "pass", "fail": "fail", "none": "none", "neutral": "neutral", "softfail": "softfail",
	"temperror": "temperror", "permerror": "permerror", "quarantine": "quarantine", "reject": "reject", "r": "r", "s": "s"}

// word is a text of few letters, in lower case.
func word(text []byte) string {
	if w, ok := words[string(text)]; ok {
		return w
	}
	return short(strings.ToLower(clean(text)))
}

// domain is "" for what is none, and for an address it is that of the address: some
// write one.
func domain(text []byte) mail.Domain {
	if i := bytes.LastIndexByte(text, '@'); i >= 0 {
		text = text[i+1:]
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte(">")), []byte("."))
	d, err := mail.ParseDomain(string(text))
	if err != nil {
		return ""
	}
	return d
}

func (p *parser) number(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || n > maxNumber {
		p.fault = invalid("%.30q is no number that a report has", text)
		return 0
	}
	return n
}

// maxNumber is the largest time or count: so many can be added up.
const maxNumber = 1 << 40

func (p *parser) address(text []byte) netip.Addr {
	a, err := netip.ParseAddr(string(bytes.Trim(text, "[]")))
	if err != nil {
		p.fault = invalid("%.60q is no address", text)
	}
	return a.Unmap().WithZone("")
}

func (p *parser) endRecord() error {
	if !p.rec.Source.IsValid() || !p.counted {
		return invalid("record %d has no source or no count", p.records)
	}
	if p.rec.From == "" { // The older world may leave it out, or write what is no domain.
		p.rec.From = p.report.Published.Domain
	}
	return p.each(&p.rec)
}

// whole says whether there is what every report has.
func (p *parser) whole() error {
	r := &p.report
	for _, missing := range []struct {
		what string
		is   bool
	}{
		{"org_name", r.Organization == ""}, {"report_id", r.ID == ""}, {"date_range", p.begin == 0 || p.until == 0},
		{"the domain of policy_published", r.Published.Domain == ""}, {"record", p.records == 0},
	} {
		if missing.is {
			return invalid("the report has no %s", missing.what)
		}
	}
	if p.until < p.begin {
		return invalid("the report's period ends before it begins")
	}
	r.Begin, r.End = time.Unix(p.begin, 0).UTC(), time.Unix(p.until, 0).UTC()
	return nil
}
