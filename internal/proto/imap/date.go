package imap

import (
	"time"

	"yubin/internal/scan"
)

// dateTime = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone
// DQUOTE. The zone is kept. Quirk: a day of one digit may lack the space before
// it (iOS Mail from 18.3, Outlook for Android, imapflow).
func (p *parser) dateTime() time.Time {
	p.Expect('"')
	p.Try(' ')
	day := p.digits(1, 2)
	year, month := p.monthYear()
	p.sp()
	second := p.time()
	p.sp()
	zone := p.zone()
	p.Expect('"')
	return p.moment(year, month, day, second, zone)
}

// monthYear = "-" date-month "-" date-year.
func (p *parser) monthYear() (int, time.Month) {
	p.Expect('-')
	month := p.dateMonth()
	p.Expect('-')
	return p.digits(4, 4), month
}

func (p *parser) dateMonth() time.Month {
	for m := time.January; m <= time.December; m++ {
		if p.TryFold(m.String()[:3]) {
			return m
		}
	}
	p.Fail("month")
	return 0
}

// time = 2DIGIT ":" 2DIGIT ":" 2DIGIT, in seconds since midnight; a leap second
// counts as the second before.
func (p *parser) time() int {
	h := p.digits(2, 2)
	p.Expect(':')
	m := p.digits(2, 2)
	p.Expect(':')
	s := p.digits(2, 2)
	if h > 23 || m > 59 || s > 60 {
		p.Fail("time of day")
	}
	return h*3600 + m*60 + min(s, 59)
}

// zone = ("+" / "-") 4DIGIT.
func (p *parser) zone() *time.Location {
	west := p.Try('-')
	if !west {
		p.Expect('+')
	}
	h, m := p.digits(2, 2), p.digits(2, 2)
	if h > 23 || m > 59 {
		p.Fail("zone")
	}
	offset := h*3600 + m*60
	if west {
		offset = -offset
	}
	return time.FixedZone("", offset)
}

// digits reads a number of least to most digits.
func (p *parser) digits(least, most int) int {
	n := 0
	for i := range most {
		if !scan.IsDigit(p.Peek()) {
			if i < least {
				p.Fail("digit")
			}
			break
		}
		n = n*10 + int(p.Next()-'0')
	}
	return n
}

// moment fails for a day that the month does not have.
func (p *parser) moment(year int, month time.Month, day, second int, zone *time.Location) time.Time {
	if p.Failed() {
		return time.Time{}
	}
	midnight := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if midnight.Day() != day {
		p.Fail("day of the month")
	}
	return midnight.Add(time.Duration(second) * time.Second)
}

// AppendDateTime appends t as date-time (RFC 9051 §9), with its quotes.
func AppendDateTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, `"_2-Jan-2006 15:04:05 -0700"`)
}
