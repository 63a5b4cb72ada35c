package smtp

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

const success, failure, delay, never = mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay, mail.NotifyNever

// parseMail and parseRcpt read a command with these parameters.
func parseMail(params string) (Mail, error) {
	c, _, err := Parse([]byte("MAIL FROM:<> " + params))
	m, _ := c.(Mail)
	return m, err
}

func parseRcpt(params string) (Rcpt, error) {
	c, _, err := Parse([]byte("RCPT TO:<Postmaster> " + params))
	r, _ := c.(Rcpt)
	r.Postmaster = false
	return r, err
}

func TestMailParams(t *testing.T) {
	for params, want := range map[string]Mail{
		"RET=full":                           {Ret: mail.RetFull, Given: ParamRet},
		"ret=HDRS ENVID=QQ314159":            {Ret: mail.RetHeaders, EnvID: "QQ314159", Given: ParamRet | ParamEnvID},
		"ENVID=a+20b+3Dc+2B":                 {EnvID: "a b=c+", Given: ParamEnvID},
		"REQUIRETLS":                         {RequireTLS: true, Given: ParamRequireTLS},
		"MT-PRIORITY=-9":                     {Priority: -9, Given: ParamPriority},
		"mt-priority=0":                      {Given: ParamPriority},
		"MT-PRIORITY=9":                      {Priority: 9, Given: ParamPriority},
		"BY=120;R":                           {By: By{Seconds: 120, Return: true}, Given: ParamBy},
		"BY=+5;nt":                           {By: By{Seconds: 5, Trace: true}, Given: ParamBy},
		"BY=-999999999;N":                    {By: By{Seconds: -999999999}, Given: ParamBy},
		"BY=0;N":                             {Given: ParamBy},
		"HOLDFOR=999999999":                  {HoldFor: 999999999, Given: ParamHoldFor},
		"HOLDUNTIL=2026-02-01T03:04:05Z":     {HoldUntil: time.Date(2026, 2, 1, 3, 4, 5, 0, time.UTC), Given: ParamHoldUntil},
		"HOLDUNTIL=2026-02-01T03:04:05.999Z": {HoldUntil: time.Date(2026, 2, 1, 3, 4, 5, 0, time.UTC), Given: ParamHoldUntil},
	} {
		got, err := parseMail(params)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v", params, got, err)
		}
		if back, err := parseMail(strings.TrimPrefix(string(got.Append(nil)), "MAIL FROM:<> ")); err != nil || !reflect.DeepEqual(back, got) {
			t.Errorf("%s is written as %s: %v", params, got.Append(nil), err)
		}
	}
}

func TestMailParamsRefused(t *testing.T) {
	for _, params := range []string{
		"RET", "RET=", "RET=HEADERS", "RET=FULL RET=HDRS",
		"ENVID", "ENVID=a=b", "ENVID=a+0Ab", "ENVID=a+E9", "ENVID=+", "ENVID=+2b", "ENVID=é", "ENVID=" + strings.Repeat("a", MaxEnvID+1),
		"REQUIRETLS=yes", "REQUIRETLS REQUIRETLS",
		"BY", "BY=5", "BY=;N", "BY=5;X", "BY=5;NX", "BY=5;TN", "BY=--5;N", "BY=1000000000;N", "BY=0;R", "BY=-5;R", "BY=5,N",
		"HOLDFOR", "HOLDFOR=0", "HOLDFOR=01", "HOLDFOR=-1", "HOLDFOR=1x", "HOLDFOR=1000000000",
		"HOLDUNTIL", "HOLDUNTIL=2026-02-01", "HOLDUNTIL=2026-02-30T00:00:00Z", "HOLDUNTIL=2026-02-01T00:00:00", "HOLDUNTIL=2026-02-01T00:00:00+01:00",
		"HOLDFOR=1 HOLDUNTIL=2026-02-01T03:04:05Z", "HOLDFOR=1 HOLDFOR=1",
	} {
		if got, err := parseMail(params); err == nil || !strings.HasPrefix(err.(*Error).Reply.String(), "501 5.5.4 ") {
			t.Errorf("%s is %+v, %v", params, got, err)
		}
	}
	for _, params := range []string{"MT-PRIORITY", "MT-PRIORITY=10", "MT-PRIORITY=-10", "MT-PRIORITY=+1", "MT-PRIORITY=01", "MT-PRIORITY=-0", "MT-PRIORITY=x"} {
		if got, err := parseMail(params); err == nil || !strings.HasPrefix(err.(*Error).Reply.String(), "501 5.5.2 ") {
			t.Errorf("%s is %+v, %v", params, got, err)
		}
	}
}

func TestNotify(t *testing.T) {
	for value, want := range map[string]mail.Notify{
		"NEVER": never, "success": success, "FAILURE,Delay": failure | delay,
		"DELAY,FAILURE,SUCCESS": success | failure | delay, "SUCCESS,SUCCESS": success,
	} {
		got, err := parseRcpt("NOTIFY=" + value)
		if err != nil || got.Notify != want {
			t.Errorf("%q is %v, %v", value, got.Notify, err)
		}
		if back, err := parseRcpt("NOTIFY=" + got.Notify.String()); err != nil || back.Notify != want {
			t.Errorf("%v reads back as %v, %v", got.Notify, back.Notify, err)
		}
	}
	for _, bad := range []string{"", "NEVER,DELAY", "DELAY,NEVER", "NEVER,NEVER", "SUCCESS,", ",DELAY", "ALWAYS", "SUCCESS,FAILURE,DELAY,SUCCESS"} {
		if got, err := parseRcpt("NOTIFY=" + bad); err == nil {
			t.Errorf("%q is %v", bad, got.Notify)
		}
	}
}

// TestORCPT has the values of RFC 3461 §10 and the forms of RFC 6533 §3. Its
// case stays as it is (RFC 3461 §5.2.1 (d)).
func TestORCPT(t *testing.T) {
	for value, want := range map[string]struct {
		orcpt string
		sent  string // without SMTPUTF8
	}{
		"rfc822;Bob@Example.COM":              {"rfc822;Bob@Example.COM", "rfc822;Bob@Example.COM"},
		"RFC822;George@Tax-ME.GOV":            {"RFC822;George@Tax-ME.GOV", "RFC822;George@Tax-ME.GOV"},
		"rfc822;a+2Bb@x.example":              {"rfc822;a+b@x.example", "rfc822;a+2Bb@x.example"},
		"x400;/S+3Dsmith/":                    {"x400;/S=smith/", "x400;/S+3Dsmith/"},
		"utf-8;郵便@例え.テスト":                     {"utf-8;郵便@例え.テスト", `utf-8;\x{90F5}\x{4FBF}@\x{4F8B}\x{3048}.\x{30C6}\x{30B9}\x{30C8}`},
		`utf-8;\x{90F5}\x{4FBF}@x`:            {"utf-8;郵便@x", `utf-8;\x{90F5}\x{4FBF}@x`},
		`UTF-8;a\x{2B}b\x{20}c\x{5C}\x{3d}@x`: {`UTF-8;a+b c\=@x`, `UTF-8;a\x{2B}b\x{20}c\x{5C}\x{3D}@x`},
	} {
		got, err := parseRcpt("ORCPT=" + value)
		if err != nil || got.ORCPT != want.orcpt || string(AppendORCPT(nil, got.ORCPT, false)) != want.sent || !IsORCPT(got.ORCPT) {
			t.Errorf("%q is %q, %v; sent as %q", value, got.ORCPT, err, AppendORCPT(nil, got.ORCPT, false))
		}
		if back, err := parseRcpt("ORCPT=" + string(AppendORCPT(nil, got.ORCPT, true))); err != nil || back != got {
			t.Errorf("%q comes back as %q, %v", got.ORCPT, back.ORCPT, err)
		}
	}
	for _, bad := range []string{"", "rfc822", "rfc822;", ";a@b", "a,b;c", "rfc822;a+0D+0Ab", "rfc822;é@x", "rfc822;a+E9@x",
		"utf-8;a+2Bb", "utf-8;a=b", `utf-8;a\b`, `utf-8;\x{41}`, `utf-8;\x{0A}`, `utf-8;\x{D800}`, `utf-8;\x{}`, "utf-8;\xff",
		"rfc822;" + strings.Repeat("a", MaxORCPT)} {
		if got, err := parseRcpt("ORCPT=" + bad); err == nil {
			t.Errorf("%q is %q", bad, got.ORCPT)
		}
	}
	for _, bad := range []string{"", "a@b", ";a@b", "rfc822;", "a b;c"} {
		if IsORCPT(bad) {
			t.Errorf("%q is an original recipient", bad)
		}
	}
}

// A command line has room for every parameter at its longest.
func TestLongestCommands(t *testing.T) {
	path := strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 60)+".", 3) + "example"
	line := "MAIL FROM:<" + path + "> SIZE=99999999999999999999 BODY=BINARYMIME SMTPUTF8 AUTH=" + strings.Repeat("+41", 50) + "@x.example" +
		" RET=FULL ENVID=" + strings.Repeat("a", MaxEnvID) + " HOLDUNTIL=2026-02-01T03:04:05Z BY=-999999999;NT MT-PRIORITY=-9 REQUIRETLS"
	if _, _, err := Parse([]byte(line)); err != nil || len(line) > MaxCommandLine {
		t.Errorf("a MAIL of %d octets: %v", len(line), err)
	}
	line = "RCPT TO:<" + path + "> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;" + strings.Repeat("a", MaxORCPT-len("rfc822;"))
	if _, _, err := Parse([]byte(line)); err != nil || len(line) > MaxCommandLine {
		t.Errorf("a RCPT of %d octets: %v", len(line), err)
	}
}
