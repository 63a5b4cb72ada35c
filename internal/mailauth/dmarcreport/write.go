package dmarcreport

import (
	"bufio"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
)

// Namespace is that of RFC 9990 §6.1.
const Namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// Write writes the document of a report with its records to w (RFC 9990 §3.1.1, in
// the order of its tables). Texts that XML cannot hold are mended. The error is
// that of w.
func Write(w io.Writer, r Report, records iter.Seq[Record]) error {
	d := document{w: bufio.NewWriter(w)}
	d.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<feedback xmlns="` + Namespace + `">` + "\n")
	d.leaf("version", "1.0")
	d.in("report_metadata", func() {
		d.leaf("org_name", r.Organization)
		d.leaf("email", r.Contact)
		d.some("extra_contact_info", r.Extra)
		d.leaf("report_id", r.ID)
		d.in("date_range", func() {
			d.leaf("begin", strconv.FormatInt(r.Begin.Unix(), 10))
			d.leaf("end", strconv.FormatInt(r.End.Unix(), 10))
		})
		d.some("error", r.Error)
		d.some("generator", r.Generator)
	})
	p := r.Published
	d.in("policy_published", func() {
		d.leaf("domain", string(p.Domain))
		d.some("discovery_method", p.Discovery)
		d.leaf("p", p.P)
		d.some("sp", p.SP)
		d.some("np", p.NP)
		d.some("fo", p.FailureReports)
		d.some("adkim", p.DKIM)
		d.some("aspf", p.SPF)
		d.some("testing", p.Testing)
	})
	for rec := range records {
		d.in("record", func() { d.record(rec) })
	}
	d.raw("</feedback>\n")
	return d.w.Flush()
}

// document is a document being written. Errors of w stick to it.
type document struct {
	w     *bufio.Writer
	depth int
}

func (d *document) record(r Record) {
	d.in("row", func() {
		d.leaf("source_ip", r.Source.String())
		d.leaf("count", strconv.FormatInt(r.Count, 10))
		d.in("policy_evaluated", func() {
			d.leaf("disposition", r.Disposition.String())
			d.leaf("dkim", passed(r.DKIM))
			d.leaf("spf", passed(r.SPF))
			for _, reason := range r.Reasons {
				d.in("reason", func() {
					d.leaf("type", reason.Type)
					d.some("comment", reason.Comment)
				})
			}
		})
	})
	d.in("identifiers", func() {
		d.leaf("header_from", string(r.From))
		d.leaf("envelope_from", string(r.EnvelopeFrom))
		d.some("envelope_to", string(r.EnvelopeTo))
	})
	d.in("auth_results", func() {
		for _, s := range r.Signatures[:min(len(r.Signatures), MaxSignatures)] {
			d.in("dkim", func() {
				d.leaf("domain", string(s.Domain))
				d.leaf("selector", s.Selector)
				d.leaf("result", s.Result)
				d.some("human_result", s.Human)
			})
		}
		if r.Sender.Result != "" {
			d.in("spf", func() {
				d.leaf("domain", string(r.Sender.Domain))
				d.leaf("scope", "mfrom")
				d.leaf("result", r.Sender.Result)
				d.some("human_result", r.Sender.Human)
			})
		}
	})
}

func passed(yes bool) string {
	if yes {
		return "pass"
	}
	return "fail"
}

func (d *document) raw(s string) { _, _ = d.w.WriteString(s) }

func (d *document) indent() { d.raw(strings.Repeat("  ", d.depth+1)) }

func (d *document) in(name string, inner func()) {
	d.indent()
	d.raw("<" + name + ">\n")
	d.depth++
	inner()
	d.depth--
	d.indent()
	d.raw("</" + name + ">\n")
}

// some is a leaf that may be missing.
func (d *document) some(name, text string) {
	if text != "" {
		d.leaf(name, text)
	}
}

func (d *document) leaf(name, text string) {
	d.indent()
	d.raw("<" + name + ">")
	for _, r := range text {
		switch {
		case r == '&':
			d.raw("&amp;")
		case r == '<':
			d.raw("&lt;")
		case r == '>':
			d.raw("&gt;")
		case r == utf8.RuneError, r < ' ', r == 0xfffe, r == 0xffff: // XML 1.0 §2.2 has no such characters
			d.raw("\ufffd")
		default:
			_, _ = d.w.WriteRune(r)
		}
	}
	d.raw("</" + name + ">\n")
}

// Filename is the name of the attachment with the report of receiver, a gzip file
// (RFC 9990 §3.5.2). The report's number must be letters and digits, for both have
// to be the same (§3.1.4).
func Filename(receiver mail.Domain, r Report) string {
	return string(receiver) + "!" + string(r.Published.Domain) + "!" + strconv.FormatInt(r.Begin.Unix(), 10) + "!" +
		strconv.FormatInt(r.End.Unix(), 10) + "!" + r.ID + ".xml.gz"
}
