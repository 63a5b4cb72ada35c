package reports

import (
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarcreport"
)

// Advice says in a sentence what is to be done about a source of a domain's mail, of
// which the messages that failed say why; "" if nothing is. It goes by what reporters
// say, who may be wrong, and does not know whom the domain's owner has send mail.
func (s Source) Advice(domain mail.Domain) string {
	failed := s.Messages - s.Passed
	if failed == 0 {
		return ""
	}
	e := s.Evidence
	if e.Author == "" {
		e.Author = domain
	}
	own := e.Signature.Domain != "" && (isBelow(e.Signature.Domain, domain) || isBelow(domain, e.Signature.Domain))
	sentAs := isBelow(e.SPF.Domain, domain) || isBelow(domain, e.SPF.Domain)
	switch {
	case e.Reason == "mailing_list" || e.Reason == "trusted_forwarder" || e.Reason == "forwarded":
		return "it forwards mail or is a mailing list, says who reports; nothing is to be done"
	case own && e.Signature.Result == "pass":
		return fmt.Sprintf("it signs for %s, which is not aligned with %s: its policy wants strict alignment (adkim=s)", e.Signature.Domain, e.Author)
	case own && e.Signature.Result == "permerror":
		return fmt.Sprintf("it signs for %s with the selector %s, whose key cannot be used: look at %s._domainkey.%s", e.Signature.Domain,
			e.Signature.Selector, e.Signature.Selector, e.Signature.Domain)
	case own && sentAs && e.SPF.Result == "pass":
		return fmt.Sprintf("it is in the SPF record of %s, which is not aligned with %s: its policy wants strict alignment (aspf=s)", e.SPF.Domain, e.Author)
	case own:
		return fmt.Sprintf("its mail is signed for %s with the selector %s, and the signature does not hold (%s): the mail was changed on the way, as lists and forwarders do, or the key in the DNS is not the one that signs",
			e.Signature.Domain, e.Signature.Selector, or(e.Signature.Result, "no result"))
	case sentAs && e.SPF.Result == "pass":
		return fmt.Sprintf("it is in the SPF record of %s, which is not aligned with %s: its policy wants strict alignment (aspf=s)", e.SPF.Domain, e.Author)
	case sentAs && (e.SPF.Result == "permerror" || e.SPF.Result == "temperror"):
		return fmt.Sprintf("the SPF record of %s could not be used (%s): check it with yubin spf check", e.SPF.Domain, e.SPF.Result)
	case e.SPF.Result == "pass" && !sentAs:
		return fmt.Sprintf("it sends as you with the sender %s, of another domain, and does not sign for %s: if you have it send your mail, have it sign for %s; else it is forged",
			e.SPF.Domain, e.Author, e.Author) + s.stopped()
	case e.Signature.Result == "pass":
		return fmt.Sprintf("it sends as you, is not in your SPF, and signs for %s instead of %s: if you have it send your mail, have it sign for %s; else it is forged",
			e.Signature.Domain, e.Author, e.Author) + s.stopped()
	}
	return fmt.Sprintf("it sends as you and is not in your SPF, nor does it sign: if it is yours, add it to the SPF record of %s and have it sign; else it is forged", e.Author) + s.stopped()
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// stopped says whether the policy did something about mail that may be forged.
func (s Source) stopped() string {
	if caught := s.Done[dmarcreport.Quarantine] + s.Done[dmarcreport.Reject]; caught >= s.Messages-s.Passed {
		return ", and your policy stopped it"
	}
	return ""
}

// Advice says what is to be done about a domain's policy as it stands in the DNS; ""
// if nothing is, or the DNS does not say.
func (o Overview) Advice() string {
	switch {
	case o.Fault != "":
		return "a reporter says of the DMARC record: " + o.Fault
	case o.Messages == 0 || o.stops || o.Policy == UnknownPolicy:
		return ""
	case o.Policy == NoPolicy:
		return "there is no DMARC record that can be used, which stops nobody who sends as you: publish one with p=none first"
	case o.Passed*1000 >= o.Messages*995:
		return "nearly all mail passes: the policy can be stricter, with p=quarantine first"
	}
	return "p=none stops nobody who sends as you: see to the sources below, then set p=quarantine"
}
