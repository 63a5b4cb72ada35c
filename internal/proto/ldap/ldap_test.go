package ldap

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// The octets of requests (RFC 4511 §4.2, §4.5.1, §4.14.1, §4.3).
func TestRequests(t *testing.T) {
	f, err := ParseFilter("(uid={local})", "local")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"bind":      {AppendBind(nil, 1, "cn=a", "pw"), "3012020101600d020103 0404 636e3d61 8002 7077"},
		"anonymous": {AppendAnonymous(nil, 2), "300c020102 6007 020103 0400 8000"},
		"starttls":  {AppendStartTLS(nil, 1), "301d020101 7718 8016" + hex.EncodeToString([]byte("1.3.6.1.4.1.1466.20037"))},
		"unbind":    {AppendUnbind(nil, 300), "3006 0202012c 4200"},
		"search": {AppendSearch(nil, 3, Search{Base: "o=x", Scope: Subtree, Filter: f, Variables: Variables{"local": "a*"}, Attributes: []string{"mail"}, Entries: 2, Seconds: 5}),
			"302c 020103 6327 0403 6f3d78 0a0102 0a0100 020102 020105 010100 a309 0403 756964 0402 612a 3006 0404 6d61696c"},
	} {
		if want := strings.ReplaceAll(c.want, " ", ""); hex.EncodeToString(c.got) != want {
			t.Errorf("%s: %x, want %s", name, c.got, want)
		}
	}
}

func TestEmptyPasswordIsNoBind(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bind without a password was made")
		}
	}()
	AppendBind(nil, 1, "cn=a", "")
}

// dump shows the elements of BER as text.
func dump(b []byte) string {
	var out []string
	r := reader{rest: b}
	for len(r.rest) > 0 && r.failed == "" {
		tag, content := r.next()
		if tag&0x20 != 0 {
			out = append(out, fmt.Sprintf("%x[%s]", tag, dump(content)))
			continue
		}
		out = append(out, fmt.Sprintf("%x:%s", tag, strings.Trim(fmt.Sprintf("%q", content), `"`)))
	}
	return strings.Join(out, " ") + r.failed
}

// The examples of RFC 4515 §4, and what stands in for variables.
func TestFilters(t *testing.T) {
	v := Variables{"address": "a*)(x=\x00\\@d", "domain": "d"}
	for text, want := range map[string]string{
		"(cn=Babs Jensen)":    "a3[4:cn 4:Babs Jensen]",
		"(!(cn=Tim Howes))":   "a2[a3[4:cn 4:Tim Howes]]",
		"(o=univ*of*mich*)":   "a4[4:o 30[80:univ 81:of 81:mich]]",
		"(o=*mich)":           "a4[4:o 30[82:mich]]",
		"(seeAlso=)":          "a3[4:seeAlso 4:]",
		"(objectClass=*)":     "87:objectClass",
		"(age>=3)":            "a5[4:age 4:3]",
		"(age<=3)":            "a6[4:age 4:3]",
		"(sn~=x)":             "a8[4:sn 4:x]",
		"(cn=*\\2A*)":         "a4[4:cn 30[81:*]]",
		"(bin=\\00\\00\\04)":  "a3[4:bin 4:\\x00\\x00\\x04]",
		"(filename=C:\\5cMy)": "a3[4:filename 4:C:\\\\My]",
		"(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))":         "a0[a3[4:objectClass 4:Person] a1[a3[4:sn 4:Jensen] a4[4:cn 30[80:Babs J]]]]",
		"(cn:caseExactMatch:=Fred Flintstone)":                      "a9[81:caseExactMatch 82:cn 83:Fred Flintstone]",
		"(cn:=Betty Rubble)":                                        "a9[82:cn 83:Betty Rubble]",
		"(sn:dn:2.4.6.8.10:=Barney Rubble)":                         "a9[81:2.4.6.8.10 82:sn 83:Barney Rubble 84:\\xff]",
		"(o:dn:=Ace Industry)":                                      "a9[82:o 83:Ace Industry 84:\\xff]",
		"(:1.2.3:=Wilma Flintstone)":                                "a9[81:1.2.3 83:Wilma Flintstone]",
		"(:DN:2.4.6.8.10:=Dino)":                                    "a9[81:2.4.6.8.10 83:Dino 84:\\xff]",
		"(mail={address})":                                          "a3[4:mail 4:a*)(x=\\x00\\\\@d]",
		"(mail=smtp:{address}*)":                                    "a4[4:mail 30[80:smtp:a*)(x=\\x00\\\\@d]]",
		"(userAccountControl:1.2.840.113556.1.4.803:={domain}\\2a)": "a9[81:1.2.840.113556.1.4.803 82:userAccountControl 83:d*]",
	} {
		f, err := ParseFilter(text, "address", "domain")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := dump(f.append(nil, v)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{
		"", "cn=x", "(cn=x", "(cn=x))", "(cn)", "()", "(&)", "(|)", "(!)", "(!(a=b)(c=d))", "(&(a=b)", "(a=b)(c=d)", "(=x)", "(a=**)", "(a>=*)", "(a=(b))",
		"(a={local})", "(a={address)", "(a=\\2)", "(a=\\zz)", "(a b=c)", "(a:=b", "(:=b)", "(a:dn:x:y:=b)", "(a:x=b)",
		strings.Repeat("(!", 30) + "(a=b)" + strings.Repeat(")", 30), "(a=" + strings.Repeat("x", maxFilter) + ")",
	} {
		if _, err := ParseFilter(text, "address"); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is put into a name means nothing there (RFC 4514 §2.4).
func TestNames(t *testing.T) {
	n, err := ParseName("uid={local},ou=people,dc=example", "local")
	if err != nil || n.IsZero() || !n.Uses("local") || n.Uses("address") {
		t.Fatal(n, err)
	}
	for local, want := range map[string]string{
		"alice":            "uid=alice,ou=people,dc=example",
		"a.b-c_d":          "uid=a.b-c_d,ou=people,dc=example",
		"x,ou=admins":      `uid=x\2cou\3dadmins,ou=people,dc=example`,
		" #+\"\\<>;\x00é ": `uid=\20\23\2b\22\5c\3c\3e\3b\00\c3\a9\20,ou=people,dc=example`,
	} {
		if got := n.With(Variables{"local": local}); got != want {
			t.Errorf("%q: %s, want %s", local, got, want)
		}
	}
	for _, text := range []string{"", "people", "=x", "uid=", "ou,dc=x", "uid={address},dc=x", "uid={local,dc=x"} {
		if _, err := ParseName(text, "local"); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestResponses(t *testing.T) {
	for text, want := range map[string]Response{
		"300c0201016107 0a0100 0400 0400":                                       {ID: 1, Op: BindResponse},
		"30840000000c0201016107 0a0131 0400 0400":                               {ID: 1, Op: BindResponse, Code: InvalidCredentials},
		"3013020102650e0a0104 0400 0402 6e6f a303 0401 78":                      {ID: 2, Op: SearchDone, Code: SizeLimit, Text: "no"},
		"300b0201007806 0a0134 0400 04 00":                                      {},
		"301a 020103 6415 0403 613d62 300e 300c 0401 6d 3107 0402 6f6e 0401 78": {ID: 3, Op: SearchEntry, Entry: Entry{DN: "a=b", Attributes: []Attribute{{"m", []string{"on", "x"}}}}},
		"3008 020103 7303 0401 78":                                              {ID: 3, Op: SearchReference},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(text, err)
		}
		got, err := ParseResponse(b)
		if want.Op == 0 {
			if mail.KindOf(err) != mail.Invalid {
				t.Errorf("%s: %+v, %v", text, got, err)
			}
			continue
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	e := Entry{Attributes: []Attribute{{"Mail", []string{"a"}}, {"mail", []string{"b"}}, {"x", []string{"c"}}}}
	if got := e.Values("MAIL"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

// Beyond each bound comes an error, and no memory of that size.
func TestBounds(t *testing.T) {
	entry := func(dn string, attributes, values, size int) []byte {
		var list []byte
		for range attributes {
			var set []byte
			for range values {
				set = appendString(set, tagOctets, strings.Repeat("v", size))
			}
			list = appendElement(list, tagSequence, appendElement(appendString(nil, tagOctets, "a"), tagSet, set))
		}
		return appendMessage(nil, 1, byte(SearchEntry), appendElement(appendString(nil, tagOctets, dn), tagSequence, list))
	}
	for name, c := range map[string]struct {
		message []byte
		good    bool
	}{
		"all at the bound":    {entry(strings.Repeat("d", MaxDN), MaxAttributes, MaxValues/MaxAttributes, 10), true},
		"a value at it":       {entry("d", 1, 1, MaxValue), true},
		"a name beyond":       {entry(strings.Repeat("d", MaxDN+1), 1, 1, 1), false},
		"attributes beyond":   {entry("d", MaxAttributes+1, 1, 1), false},
		"values beyond":       {entry("d", 1, MaxValues+1, 1), false},
		"a value beyond":      {entry("d", 1, 1, MaxValue+1), false},
		"more behind the end": {append(entry("d", 1, 1, 1), 0), false},
	} {
		if _, err := ParseResponse(c.message); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		begin        string
		length, more int
		kind         mail.Kind
	}{
		{"", 0, 2, 0}, {"\x30", 0, 2, 0}, {"\x30\x05", 7, 0, 0}, {"\x30\x82", 0, 4, 0}, {"\x30\x82\x01\x00", 260, 0, 0},
		{"\x30\x88\x00\x00\x00\x00\x00\x00\x00\x05", 15, 0, 0},
		{"\x31\x05", 0, 0, mail.Invalid}, {"\x30\x80", 0, 0, mail.Invalid}, {"\x30\x89", 0, 0, mail.Invalid},
		{"\x30\x88\x00\x00\x00\x01\x00\x00\x00\x05", 0, 0, mail.Invalid}, {"\x30\x84\x7f\xff\xff\xff", 0, 0, mail.TooLarge}, {"\x30\x83\x04\x00\x00", 0, 0, mail.TooLarge},
	} {
		length, more, err := HeaderOf([]byte(c.begin))
		if length != c.length || more != c.more || (err == nil) != (c.kind == 0) || err != nil && mail.KindOf(err) != c.kind {
			t.Errorf("%x: %d, %d, %v", c.begin, length, more, err)
		}
	}
}

func FuzzResponse(f *testing.F) {
	f.Add(appendMessage(nil, 1, byte(BindResponse), append(appendInt(nil, tagEnumerated, 49), 4, 0, 4, 0)))
	f.Add(appendMessage(nil, 1, byte(SearchEntry), appendElement(appendString(nil, tagOctets, "d"), tagSequence, appendElement(nil, tagSequence, appendElement(appendString(nil, tagOctets, "a"), tagSet, appendString(nil, tagOctets, "v"))))))
	f.Add([]byte("\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		length, more, err := HeaderOf(b)
		if err == nil && (length == 0) == (more == 0) || length > MaxMessage || more > 10 {
			t.Fatal(length, more, err)
		}
		r, err := ParseResponse(b)
		if err != nil {
			return
		}
		if length != len(b) {
			t.Fatalf("a message of %d octets was read of %d", length, len(b))
		}
		held := len(r.DN) + len(r.Text)
		for _, a := range r.Attributes {
			held += len(a.Name)
			for _, v := range a.Values {
				held += len(v)
			}
		}
		if held > 3*len(b) || len(r.Text) > 3*maxText {
			t.Fatalf("%d octets became %d", len(b), held)
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add("(&(objectClass=person)(|(mail={address})(alias=*{address}))(!(x:dn:1.2:=\\2a)))", "a")
	f.Add("(o=univ*of*mich*)", ")(*")
	f.Fuzz(func(t *testing.T, text, value string) {
		parsed, err := ParseFilter(text, "address")
		if err != nil {
			return
		}
		with, without := parsed.append(nil, Variables{"address": value}), parsed.append(nil, Variables{"address": "v"})
		if shape(with) != shape(without) && value != "" {
			t.Fatalf("%q with %q is another filter: %s, %s", text, value, dump(with), dump(without))
		}
		if !parsed.Uses("address") && !bytes.Equal(with, without) {
			t.Fatalf("%q differs without a variable", text)
		}
	})
}

// shape is BER without what is in it that is made of nothing else.
func shape(b []byte) string {
	var out strings.Builder
	for r := (reader{rest: b}); len(r.rest) > 0 && r.failed == ""; {
		tag, content := r.next()
		fmt.Fprintf(&out, "%x", tag)
		if tag&0x20 != 0 {
			out.WriteString("[" + shape(content) + "]")
		}
	}
	return out.String()
}
