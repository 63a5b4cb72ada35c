package authres

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"yubin/internal/mail"
	"yubin/internal/testkit/linear"
)

// The examples of RFC 8601 appendix B, and what the large ones write.
func TestParse(t *testing.T) {
	for value, want := range map[string]Field{
		"example.org 1; none": {ServID: "example.org"},
		"example.com;\r\n          spf=pass smtp.mailfrom=example.net": {"example.com", []Result{
			{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "example.net"}}}}},
		"example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net": {"example.com", []Result{
			{Method: "auth", Value: "pass", Properties: []Property{{"smtp", "auth", "sender@example.net"}}},
			{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "example.net"}}}}},
		"example.com; iprev=pass policy.iprev=192.0.2.200": {"example.com", []Result{
			{Method: "iprev", Value: "pass", Properties: []Property{{"policy", "iprev", "192.0.2.200"}}}}},
		"example.com;\r\n dkim=pass reason=\"good signature\"\r\n header.i=@mail-router.example.net;\r\n dkim=fail reason=\"bad signature\"\r\n header.i=@newyork.example.com": {"example.com", []Result{
			{Method: "dkim", Value: "pass", Reason: "good signature", Properties: []Property{{"header", "i", "@mail-router.example.net"}}},
			{Method: "dkim", Value: "fail", Reason: "bad signature", Properties: []Property{{"header", "i", "@newyork.example.com"}}}}},
		"foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 1362471462": {"foo.example.net", []Result{
			{Method: "dkim", Version: 1, Value: "fail", Properties: []Property{{"policy", "expired", "1362471462"}}}}},
		"mx.google.com; dkim=pass header.i=@example.org header.s=s header.b=\"q/+x=\"; arc=pass (i=1 spf=pass (deep) spfdomain=a) header.b=q/+x=": {"mx.google.com", []Result{
			{Method: "dkim", Value: "pass", Properties: []Property{{"header", "i", "@example.org"}, {"header", "s", "s"}, {"header", "b", "q/+x="}}},
			{Method: "arc", Value: "pass", Properties: []Property{{"header", "b", "q/+x="}}}}},
		"mx.microsoft.com 1; DMARC=Pass action=none header.from=contoso.com; compauth=pass reason=100;": {"mx.microsoft.com", []Result{
			{Method: "dmarc", Value: "pass", Properties: []Property{{"header", "from", "contoso.com"}}},
			{Method: "compauth", Value: "pass", Reason: "100"}}},
		`"exa\mple org"; auth=pass smtp.auth="a b"@example.org smtp.mailfrom=<> smtp.helo=`: {"example org", []Result{
			{Method: "auth", Value: "pass", Properties: []Property{{"smtp", "auth", `"a b"@example.org`}, {"smtp", "mailfrom", "<>"}}}}},
		"例え.jp; spf=pass smtp.mailfrom=用户@例え.jp": {"例え.jp", []Result{
			{Method: "spf", Value: "pass", Properties: []Property{{"smtp", "mailfrom", "用户@例え.jp"}}}}},
	} {
		got, err := Parse([]byte(value))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", value, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for value, want := range map[string]string{
		"":                                  "expected authserv-id at column 1",
		"spf=pass":                          "expected ';'",
		"example.org":                       "expected ';'",
		"example.org 2; none":               "expected version 1",
		"example.org; none; spf=pass":       "expected '='",
		"example.org; spf":                  "expected '='",
		"example.org; spf=pass smtp":        "expected '='",
		"example.org; spf=pass x.=y":        "expected keyword",
		"example.org; spf=pass, dkim=pass":  "expected keyword",
		"example.org; spf=pass (a (b) ":     "expected closing parenthesis",
		`example.org; spf=pass reason="a\"`: "expected closing quote",
		"example.org; spf=pass a.b=\xff":    "not valid UTF-8",
		"example.org" + strings.Repeat("; spf=pass", MaxResults+1):                "expected fewer results",
		"example.org; spf=pass" + strings.Repeat(" action=none", MaxProperties+1): "expected fewer properties",
		"example.org; spf=pass a.b=" + strings.Repeat("x", MaxWord+1):             "expected shorter value",
		strings.Repeat(" ", MaxValue+1):                                           "over 65536 octets",
	} {
		if f, err := Parse([]byte(value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %+v, %v; want %s", value, f, err, want)
		}
	}
	if _, err := Parse([]byte("a" + strings.Repeat("; b=c", MaxResults+1))); mail.KindOf(err) != mail.TooLarge {
		t.Errorf("over a limit: %v", mail.KindOf(err))
	}
}

func TestParseARC(t *testing.T) {
	i, f, err := ParseARC([]byte(" i=12; example.org; arc=none"))
	if i != 12 || f.ServID != "example.org" || len(f.Results) != 1 || err != nil {
		t.Errorf("%d, %+v, %v", i, f, err)
	}
	for _, value := range []string{"example.org; arc=none", "i=0; a; none", "i=51; a; none", "i=; a; none", "i=1 a; none", "i=1;"} {
		if _, _, err := ParseARC([]byte(value)); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestAppend(t *testing.T) {
	f := Field{"mx.example.org", []Result{
		Auth("pass", "alice@example.org"),
		DKIM("pass", Signature{Domain: "example.org", Identity: "@example.org", Selector: "2026a", Algorithm: "rsa-sha256", Start: "q/+x=abc"}),
		{Method: "dkim", Value: "fail", Reason: `the "body" hash (bh=) is not that of the body, as it was changed on the way here`,
			Comment: `1024-bit (weak) key\`, Properties: []Property{{"header", "d", "xn--r8jz45g.jp"}}},
		SPF("pass", "example.org"), SPFHelo("none", "[192.0.2.1]"),
		DMARC("fail", "xn--r8jz45g.jp", "quarantine"),
		ARC("pass", netip.MustParseAddr("2001:db8::1"), 0), ARC("fail", netip.Addr{}, -1),
		IPRev("pass", netip.MustParseAddr("192.0.2.1")),
		Auth("pass", "用户@例え.jp"),
		Auth("fail", "a\r\nBcc: b\x00\xff"),
		{Method: "auth", Value: "pass", Properties: []Property{{"smtp", "auth", "a b@example.org"}, {"smtp", "mailfrom", `"a b"@Example.org`}, {"x", "long", strings.Repeat("x", maxWritten+1)}}},
	}}
	want := strings.ReplaceAll(`Authentication-Results: mx.example.org;
	auth=pass smtp.auth=alice@example.org;
	dkim=pass header.d=example.org header.i=@example.org header.s=2026a
 header.a=rsa-sha256 header.b="q/+x=abc";
	dkim=fail (1024-bit \(weak\) key\\) reason="the \"body\" hash (bh=) is not
 that of the body, as it was changed on the way here" header.d=xn--r8jz45g.jp;
	spf=pass smtp.mailfrom=example.org;
	spf=none smtp.helo="[192.0.2.1]";
	dmarc=fail header.from=xn--r8jz45g.jp policy.dmarc=quarantine;
	arc=pass smtp.remote-ip="2001:db8::1" header.oldest-pass=0;
	arc=fail;
	iprev=pass policy.iprev=192.0.2.1;
	auth=pass smtp.auth=xn--r8jz45g.jp;
	auth=fail smtp.auth="a??Bcc: b??";
	auth=pass smtp.auth="a b@example.org" smtp.mailfrom="a b"@example.org
`, "\n", "\r\n")
	if got := string(f.Append(nil, false)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	want = strings.NewReplacer("xn--r8jz45g.jp", "例え.jp", "smtp.auth=xn--r8jz45g.jp", "smtp.auth=用户@例え.jp").Replace(want)
	if got := string(f.Append(nil, true)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := string(Field{ServID: "例え.jp"}.AppendARC(nil, 3, true)); got != "ARC-Authentication-Results: i=3; \"例え.jp\"; none\r\n" {
		t.Errorf("%q", got)
	}
}

// What is written is read as it was meant, in lines that are not too long.
func TestAppendedIsRead(t *testing.T) {
	word := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`)
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{1,100}`), rapid.StringMatching(`"?[a-z. ]{1,9}"?@[a-z]{1,9}\.example`), rapid.SampledFrom([]string{
		"@例え.jp", "用户@例え.jp", `"a b"@example.org`, "a@[192.0.2.1]", "\r\nX: y", "; x=y", "(", `\`, `"`, "é", "\xff"}))
	rapid.Check(t, func(t *rapid.T) {
		var f Field
		f.ServID = text.Draw(t, "id")
		for range rapid.IntRange(0, 5).Draw(t, "results") {
			r := Result{Method: word.Draw(t, "method"), Value: word.Draw(t, "value"), Reason: text.Draw(t, "reason"), Comment: text.Draw(t, "comment")}
			if r.Method == "none" {
				r.Method = "some"
			}
			for range rapid.IntRange(0, 4).Draw(t, "properties") {
				r.Properties = append(r.Properties, Property{word.Draw(t, "ptype"), word.Draw(t, "name"), text.Draw(t, "value")})
			}
			f.Results = append(f.Results, r)
		}
		utf := rapid.Bool().Draw(t, "utf8")
		written := string(f.Append(nil, utf))
		value := checkLines(t, written, utf)
		got, err := Parse([]byte(value))
		if err != nil {
			t.Fatalf("%v in %q", err, written)
		}
		w := writer{utf8: utf}
		for i, r := range f.Results {
			r.Comment, r.Reason = "", w.short(r.Reason)
			for j, p := range r.Properties {
				if plain := w.clean(p.Value); plain == p.Value && !strings.Contains(p.Value, "@") && !strings.ContainsRune(p.Value, '.') && got.Results[i].Properties[j].Value != plain {
					t.Fatalf("property %q became %+v", p, got.Results[i].Properties[j])
				}
				r.Properties[j].Value = got.Results[i].Properties[j].Value
			}
			f.Results[i] = r
		}
		f.ServID = w.clean(f.ServID)
		if !reflect.DeepEqual(got, f) {
			t.Fatalf("%q is read as %+v, want %+v", written, got, f)
		}
		if again := string(got.Append(nil, utf)); !strings.Contains(written, "(") && again != written {
			t.Fatalf("%q becomes %q", written, again)
		}
	})
}

// checkLines checks the form of a field that was written and returns its value.
func checkLines(t interface{ Fatalf(string, ...any) }, written string, utf bool) string {
	value := strings.TrimPrefix(written, FieldName+":")
	value, ok := strings.CutSuffix(value, "\r\n")
	if !ok || len(value)+len(FieldName)+3 != len(written) || !utf8.ValidString(written) {
		t.Fatalf("%q is no field", written)
	}
	for i, line := range strings.Split(value, "\r\n") {
		switch words := strings.Fields(line); {
		case i > 0 && line[0] != ' ' && line[0] != '\t' || len(words) == 0 || strings.ContainsAny(line, "\r\n\x00"):
			t.Fatalf("%q has the line %q", written, line)
		case utf8.RuneCountInString(line) > maxLine && strings.ContainsAny(strings.Trim(line, " \t"), " ") && !strings.Contains(line, `="`) && !strings.Contains(line, "@"):
			t.Fatalf("%q has the long line %q", written, line)
		}
	}
	for i := range len(written) {
		if written[i] >= 0x80 && !utf {
			t.Fatalf("%q is not ASCII", written)
		}
	}
	return value
}

func TestClaims(t *testing.T) {
	const jp = "xn--r8jz45g.jp"
	for _, c := range []struct {
		value, id string
		want      bool
	}{
		{"example.org; spf=pass", "example.org", true},
		{" EXAMPLE.org 1; none", "example.org", true},
		{"Example.Org.; none", "example.org", true},
		{"example.org", "example.org", true},
		{"(hello) example.org (there) 2 ; whatever", "example.org", true},
		{"\r\n\texample.org\r\n\t; none", "example.org", true},
		{`"example.org"; none`, "example.org", true},
		{`"exam\ple.org" 1; none`, "example.org", true},
		{"example(a comment).org 1; none", "example.org", true},
		{"example . org; none", "example.org", true},
		{"exam\x00ple.org; none", "example.org", true},
		{"exam\u200bple.org; none", "example.org", true},
		{"example.org/mx1; none", "example.org", true},
		{"example.org:25; none", "example.org", true},
		{"=?utf-8?q?example.org?=; none", "example.org", true},
		{"(example.org; none", "example.org", true},
		{`"example.org; none`, "example.org", true},
		{"(a (b) example.org; none) other.example; none", "example.org", true},
		{`("(") example.org; none`, "example.org", true},
		{"(relay; of) other.example (for example.org); none", "example.org", true},
		{"例え.jp; none", jp, true},
		{"XN--R8JZ45G.jp; none", "例え.jp", true},
		{"例え。jp。; none", jp, true},
		{"ｅｘａｍｐｌｅ.org; none", "example.org", true},
		{"example-auth; none", "Example-Auth", true},
		{"example.org/mx1 1; none", "example.org/mx1", true},
		{`"post office"; none`, "post office", true},

		{"", "example.org", false},
		{"mx.example.org; none", "example.org", false},
		{"example.org.evil.example; none", "example.org", false},
		{"notexample.org; none", "example.org", false},
		{"example.orgx; none", "example.org", false},
		{"example.org-x; none", "example.org", false},
		{"mx1; none", "mx", false},
		{"other.example; spf=pass (example.org) smtp.mailfrom=example.org", "example.org", false},
		{"spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.org; dkim=none", "example.org", false},
		{"例え.jp; none", "example.org", false},
		{"example.org; none", "", false},
	} {
		if got := Claims([]byte(c.value), c.id); got != c.want {
			t.Errorf("%q claims %q: %v", c.value, c.id, got)
		}
	}
}

// Whatever a reader of the grammar takes for our name claims it.
func TestWhatIsReadAsOursClaims(t *testing.T) {
	piece := rapid.SampledFrom([]string{"example.org", "Example", ".", "org", " ", "(", ")", `"`, `\`, ";", "1", "none", "spf=pass", "\r\n ", "x"})
	rapid.Check(t, func(t *rapid.T) {
		value := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
		if f, err := Parse([]byte(value)); err == nil && strings.EqualFold(f.ServID, "example.org") && !Claims([]byte(value), "example.org") {
			t.Fatalf("%q is ours and does not claim it", value)
		}
	})
}

func TestTime(t *testing.T) {
	for _, piece := range []string{"(", ")", `"`, `\(`, "a ", "例", "xn--", "例え. ", "example.org/ ", ".", ";", "(a) "} {
		linear.Check(t, 1<<15, func(size int) func() {
			value := []byte(strings.Repeat(piece, size/len(piece)))
			return func() { Claims(value, "example.com") }
		})
		linear.Check(t, MaxValue/8, func(size int) func() {
			value := []byte("a; b=c " + strings.Repeat(piece, size/len(piece)))
			return func() { _, _ = Parse(value) }
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("example.org 1; spf=pass (c) reason=\"x y\" smtp.mailfrom=a@example.org"), false)
	f.Add([]byte("i=1; mx.example.org; dkim=pass header.b=q/+x= header.i=\"a b\"@例え.jp; arc=none"), true)
	f.Fuzz(func(t *testing.T, value []byte, utf bool) {
		Claims(value, "example.org")
		_, field, err := ParseARC(value)
		if err != nil {
			field, err = Parse(value)
		}
		if err != nil {
			return
		}
		written := string(field.Append(nil, utf))
		first, err := Parse([]byte(checkLines(t, written, utf)))
		if err != nil {
			t.Fatalf("%v in %q", err, written)
		}
		second, err := Parse([]byte(checkLines(t, string(first.Append(nil, utf)), utf)))
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v becomes %+v, %v", first, second, err)
		}
	})
}
