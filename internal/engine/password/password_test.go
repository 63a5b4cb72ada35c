package password

import (
	"strings"
	"testing"

	"yubin/internal/mail"
)

// The test of the reference implementation (phc-winner-argon2, test.c).
const referenceHash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestNew(t *testing.T) {
	h, err := Parse(referenceHash)
	if err != nil || !h.Fits("password") || h.Fits("passwore") || h.Fits("") || !h.IsOurs() || h.Memory() != 64<<10 {
		t.Errorf("%s, %v", h, err)
	}
	if got := New("password", []byte("somesalt"), Cost{Memory: 64 << 10, Time: 2, Threads: 1}).String(); got != referenceHash {
		t.Errorf("%s, want %s", got, referenceHash)
	}
	if (Hash{}).Fits("") || (Hash{}).IsOurs() || (Hash{}).Memory() != 0 || (Hash{}).Weak() || (Hash{}).Scheme() != "" {
		t.Error("the zero hash is of something")
	}
}

// What Dovecot 2.3.19's doveadm pw, libxcrypt 4.4.33's crypt(3), Drepper's SHA-crypt.txt and
// crypt_blowfish's tests have.
var vectors = []struct{ password, text, scheme string }{
	{"correct horse", "{SSHA512}zoEO96RQA10nAzxxd1pA4qcd9dNmnnOcFbfd/0e0mCkIloMiju2d9M7PNygTXuJ+Hp1aQH+Zlrk9ocx8MwmO97a8jjY=", "SSHA512"},
	{"correct horse", "{ssha512.hex}103b7fe70ab30729fca17e1540dd8bd5841d63ef23590b218f0339760d14940135d0bdfc65254fb58cc7f3a8a90c3e68e50aaa1204654ba06dd733f0417c0e9ae623e796", "SSHA512"},
	{"correct horse", "{SSHA256}pLfJhcHvUzSz1uB3haKwJk1bXBtas7Alaut8jMZmh3BGAiOO", "SSHA256"},
	{"correct horse", "{SSHA256.B64}BKVoPcsbNH6yxMmw+r0t0gHmGGo3TBWSlzjhpt12grD5ZEPV", "SSHA256"},
	{"correct horse", "{SSHA}47yrgxf0Gpdhio6ZE23N4bF7/bTFVClF", "SSHA"},
	{"correct horse", "{SMD5}lY/05KNfik0eNfvfCqI+rZBrxcI=", "SMD5"},
	{"correct horse", "{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew==", "SHA512"},
	{"correct horse", "{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=", "SHA256"},
	{"correct horse", "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", "SHA"},
	{"correct horse", "{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=", "SHA"},
	{"correct horse", "{LDAP-MD5}PLTnMmMfR+brlh80VUt83g==", "LDAP-MD5"},
	{"correct horse", "{PLAIN-MD5}3cb4e732631f47e6eb961f34554b7cde", "LDAP-MD5"},
	{"correct horse", "{MD5}3cb4e732631f47e6eb961f34554b7cde", "LDAP-MD5"},
	{"correct horse", "{MD5}$1$E3kUIq0B$tDVoZXo5.BKd0mbCR6NRX0", "MD5-CRYPT"},
	{"correct horse", "{MD5-CRYPT}$1$0bTw03XP$Q428pwApnwucaXzPE0Xln/", "MD5-CRYPT"},
	{"correct horse", "{DES-CRYPT}4bLCMcsLXPoAc", "DES-CRYPT"},
	{"correct horse", "{CRYPT}4bLCMcsLXPoAc", "DES-CRYPT"},
	{"correct horse", "{CRYPT}$2y$05$w/kcXK7I5YdVLN/LkFV0UuzK7OkQZgufMcQ87/j6evmEsovR0SV8C", "BLF-CRYPT"},
	{"correct horse", "{BLF-CRYPT}$2y$05$NDC5OyEaNZmudwny4h8IxupPcw1XGSJkxg9XjtWCCj6TfBLAuY3/u", "BLF-CRYPT"},
	{"correct horse", "{SHA256-CRYPT}$5$p5CTSa5bdh6znE6P$ATNUrU1e6JJmZ29NAj282ZWTaUQM8Ujzs3ZC9SCjH6C", "SHA256-CRYPT"},
	{"correct horse", "{SHA512-CRYPT}$6$emY7A.KgNBf31SGw$XDXcYruOzjS5dkOJqaJRZZJolqlvPQGlFGKFgzKsHDpp6Ea.jSJi/kDpv6YgoHyHqBYBZ5zqndcwdGJXTBCn0.", "SHA512-CRYPT"},
	{"correct horse", "{SHA512-CRYPT.B64}JDYkdFh2TjlJZHVXelFpSVcvMCQzeVlOZHRreFNNRW1JaG1BMEtIQVNkdVJCZ0YwcmFLZUxmLlR1ZDZpek1BT0dJalFENzI5bmNMYmhFZnh1N05WQS94L0RhSVN2UkJ4Q0t3R2pmYklOLg==", "SHA512-CRYPT"},
	{"pässwörd", "{SHA512-CRYPT}$6$rounds=20000$FIGzhRv//4EnP3v0$fwjtCfpJfqP73sDeasgaPqBztSNEoulzD0h.wPx9Gu0XetlZe6NBodYMxQ40cqlY9RRUn.KPBBhXB4j8hHaf20", "SHA512-CRYPT"},
	{"correct horse", "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$YwkWeGd8zeOmvCEx9K4qdw$ZfwO2abGKqYDiUpOsA4zYXXi3rBCYT6pG2134e7gXi0", "ARGON2I"},
	{"correct horse", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$NBPxsCvY2eSE1KA8ODcJfA$E2SoI/geh7IAhYykE6eRM16rKMtSAnDJ41nIjRh9RVI", "ARGON2ID"},
	{"correct horse", "{PBKDF2}$1$IUjvqZk.rje/kJft$5000$ec412247d07977be41771cfadef140117784e17c", "PBKDF2"},
	{"correct horse", "{SCRAM-SHA-256}4096,LBpDKF1BJl+8jE9bnBvbRg==,J8Nik7KktnWaBmfvLLf5i9GBb9DSkDjoQsUF8MfHTxE=,nG5AeMwcNTVg1492leQcDuVJoCRBkuiAYrclJEevDxk=", "SCRAM-SHA-256"},
	{"pencil", "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "SCRAM-SHA-256"}, // RFC 7677 §3
	{"Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "SHA256-CRYPT"},
	{"Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", "SHA256-CRYPT"},
	{"Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "SHA512-CRYPT"},
	{"Hello world!", "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "SHA512-CRYPT"},
	{"", "$6$rounds=1000$a$q/ZSdy9IBSzcpbaIjdRTOu569QiYiP4n7Ab08Oq1Ir6J.GD1xR3BAwRIYHnavtE1Wzodknd9BxknlHhFBP/az1", "SHA512-CRYPT"},
	{strings.Repeat("x", 100), "$5$rounds=1000$0123456789abcdef$czdOQCsA/VDhZcMjIK.oUKHWtOuofNpsEoUzu7ha619", "SHA256-CRYPT"},
	{"password", "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a.", "MD5-CRYPT"},
	{"", "$1$a$8CfZSfErbeskipdhZHtvu.", "MD5-CRYPT"},
	{"foob", "arlEKn0OzVJn.", "DES-CRYPT"},
	{"pw", "abzlUXK5ed5rs", "DES-CRYPT"},
	{"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "BLF-CRYPT"},
	{"correct horse", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79", "YESCRYPT"},
	{"pleaseletmein", "$y$j9T$abcdefgh$pdYUsK9IwPRnxRYSjL5jadiBBbvZu1EqU08XI1GYfv6", "YESCRYPT"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		h, err := Parse(v.text)
		if err != nil {
			t.Errorf("%s: %v", v.text, err)
			continue
		}
		if h.Scheme() != v.scheme || !h.Fits(v.password) {
			t.Errorf("%s: scheme %s, fits %v", v.text, h.Scheme(), h.Fits(v.password))
		}
		if h.Fits("X"+v.password) || v.password != "" && h.Fits("") {
			t.Errorf("%s fits another password", v.text)
		}
		if back, err := Parse(h.String()); err != nil || back.String() != h.String() || !back.Fits(v.password) || back.Scheme() != v.scheme {
			t.Errorf("%s came back as %s, %v", h, back, err)
		}
		if h.IsOurs() != (v.scheme == "ARGON2ID") {
			t.Errorf("%s: ours %v", v.scheme, h.IsOurs())
		}
	}
}

func TestWeak(t *testing.T) {
	strong := " SSHA512 SSHA256 BLF-CRYPT SHA256-CRYPT SHA512-CRYPT ARGON2I ARGON2ID PBKDF2 SCRAM-SHA-256 YESCRYPT "
	for _, v := range vectors {
		h, err := Parse(v.text)
		if err != nil {
			t.Fatal(err)
		}
		if h.Weak() == strings.Contains(strong, " "+v.scheme+" ") {
			t.Errorf("%s: weak %v", v.scheme, h.Weak())
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{"{PLAIN}correct horse": "correct horse", "{clear}}x": "}x", "{PLAIN.B64}c2VjcmV0": "secret", "{CLEARTEXT}": ""} {
		if got, ok, err := Plain(text); got != want || !ok || err != nil {
			t.Errorf("%s: %q, %v, %v", text, got, ok, err)
		}
	}
	for _, v := range vectors {
		if _, ok, err := Plain(v.text); ok || err != nil {
			t.Errorf("%s is plain: %v", v.text, err)
		}
	}
	if _, _, err := Plain("{PLAIN"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("%v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	sha512 := strings.Repeat("a", 86)
	for _, c := range [][2]string{
		{"", "in no form"}, {"secret", "in no form"}, {"$apr1$salt$hash", "in no form"}, {"$2x$05$" + strings.Repeat("a", 53), "none of bcrypt"},
		{"$2y$03$" + strings.Repeat("a", 53), "none of bcrypt"}, {"$2y$15$" + strings.Repeat("a", 53), "2^15 rounds"}, {"$2y$31$" + strings.Repeat("a", 53), "at most 2^14"},
		{"$6$rounds=1000001$salt$" + sha512, "takes 1000001 rounds, and at most 1000000"}, {"$6$rounds=999$salt$" + sha512, "none of SHA-crypt"},
		{"$6$rounds=9999999999$salt$" + sha512, "none of SHA-crypt"}, {"$6$salt$" + sha512[1:], "none of SHA-crypt"}, {"$6$saltsaltsaltsalt1$" + sha512, "none of SHA-crypt"},
		{"$6$sa\nlt$" + sha512, "none of SHA-crypt"}, {"$6$salt$" + sha512 + "\n", "none of SHA-crypt"},
		{"$5$salt$" + sha512, "none of SHA-crypt"}, {"$1$saltsalt1$" + strings.Repeat("a", 22), "none of MD5-crypt"},
		{"$y$jJT$abcdefgh$" + strings.Repeat("a", 43), "cost of yescrypt"}, {"$y$jET$abcdefgh$" + strings.Repeat("a", 43), "takes 524288 KiB"},
		{"$y$k9T$abcdefgh$" + strings.Repeat("a", 43), "none of yescrypt"},
		{"{PBKDF2}$1$salt$1000001$" + strings.Repeat("a", 40), "takes 1000001 iterations"}, {"{PBKDF2}$1$salt$0$" + strings.Repeat("a", 40), "number of its iterations"},
		{"{PBKDF2}$1$salt$5000$" + strings.Repeat("a", 38), "none of PBKDF2"}, {"{PBKDF2}$2$salt$5000$" + strings.Repeat("a", 40), "none of PBKDF2"},
		{"{SCRAM-SHA-256}1000001,c2FsdA==,aa,aa", "takes 1000001 iterations"}, {"{SCRAM-SHA-256}4096,c2FsdA==,YQ==,YQ==", "sizes"}, {"{SCRAM-SHA-256}4096,c2FsdA==,!,YQ==", "not base64"},
		{"{SCRAM-SHA-256}4096", "none of SCRAM"},
		{"{SHA512}aaaa", "has 3 octets; its scheme has 64"}, {"{SSHA}" + encodeDigest(make([]byte, 20)), "has no salt"}, {"{SSHA}" + encodeDigest(make([]byte, 90)), "more than 64 octets"},
		{"{SHA}" + encodeDigest(make([]byte, 21)), "has 21 octets"}, {"{SSHA}!", "not written in base64"}, {"{SSHA.HEX}xx", "not written in hexadecimal"}, {"{SSHA.B85}xx", "known are"},
		{"{NTLM}aaaa", "{NTLM} is not known here"}, {"{CRAM-MD5}aaaa", "{CRAM-MD5} is not known"}, {"{SSHA", "has no }"}, {"{ARGON2ID}secret", "no hash of that scheme"},
		{"{CRYPT}$3$x", "no hash of that scheme"}, {"{DES-CRYPT}short", "none of DES-crypt"}, {"{SHA512-CRYPT}secret", "none of DES-crypt"},
		{"{SSHA512}" + strings.Repeat("A", MaxText), "more than 512 octets"},
	} {
		_, err := Parse(c[0])
		if mail.KindOf(err) != mail.Invalid || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%q: %v", c[0], err)
		}
	}
}

func TestParseArgonRefuses(t *testing.T) {
	good := New("x", []byte("0123456789abcdef"), Cost{Memory: 64, Time: 2, Threads: 1}).String()
	for _, r := range [][2]string{
		{"argon2id", "argon2d"}, {"v=19", "v=16"}, {"m=64", "m=7"}, {"m=64", "m=9999999"}, {"m=64", "m=064"}, {"m=64", "m=-1"},
		{"t=2", "t=0"}, {"t=2", "t=99"}, {"p=1", "p=0"}, {"p=1", "p=9"}, {"p=1", "p=1,x=1"}, {",p=1", ""}, {"m=64,t=2", "t=2,m=64"},
		{"$MDEy", "$MDEy\n"}, {"MDEyMzQ1Njc4OWFiY2RlZg", "MDEy"}, {"MDEyMzQ1Njc4OWFiY2RlZg", "MDEyMzQ1Njc4OWFiY2RlZg=="}, {"$argon", "argon"},
		{"MDEyMzQ1Njc4OWFiY2RlZg", strings.Repeat("MDEy", 30)},
	} {
		bad := strings.Replace(good, r[0], r[1], 1)
		if bad == good {
			t.Fatalf("%q is not in %s", r[0], good)
		}
		if _, err := Parse(bad); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A password longer than crypt(3) is asked about fits nothing, and costs nothing.
func TestLongPasswords(t *testing.T) {
	for _, text := range []string{"$6$rounds=1000000$a$" + strings.Repeat("a", 86), "$2y$14$" + strings.Repeat("a", 53), "$y$j9T$abcdefgh$" + strings.Repeat("a", 43)} {
		h, err := Parse(text)
		if err != nil || h.Fits(strings.Repeat("x", MaxCrypt+1)) {
			t.Errorf("%s, %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.text)
	}
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		_, _, _ = Plain(s)
		h, err := Parse(s)
		if err != nil {
			return
		}
		if back, err := Parse(h.String()); err != nil || back.String() != h.String() || back.Scheme() != h.Scheme() {
			t.Fatalf("%q is kept as %q, which is %q, %v", s, h, back, err)
		}
		if h.Memory() > MaxMemory {
			t.Fatalf("%q takes %d KiB", s, h.Memory())
		}
	})
}

func TestCheckFloor(t *testing.T) {
	alice := mail.Address{Local: "Alice", Domain: "mail.example.org"}
	for _, c := range []struct{ password, want string }{
		{"", "has 0 characters, and needs at least 8"}, {"x7#Kp2!", "has 7 characters"}, {"郵便郵便", "has 4 characters"}, {"Password", "many people have"},
		{"password", "many people have"}, {"PassWord1", "many people have"}, {"Summer2024!", "many people have"}, {"iloveyou", "many people have"},
		{"qwertyuiop", "many people have"}, {"1qaz2wsx", "many people have"}, {"123456789", "many people have"},
		{"alice123", "the account's own address"}, {"ALICE-example", "the account's own address"}, {"alice@mail.example.org", "the account's own address"}, {"example.org!", "the account's own address"},
		{"zzzzzzzzz", "one pattern"}, {"xyzxyzxyz", "one pattern"}, {"pqrstuvwx", "one pattern"}, {"3210/.-,", "one pattern"},
		{"correct horse", ""}, {"yubin-local", ""}, {"alice in chains 9", ""}, {"summer in Kyoto", ""}, {"郵便局の猫は三匹", ""}, {"x7#Kp2!q", ""}, {"dragonfly-at-noon", ""},
	} {
		err := CheckFloor(c.password, alice)
		switch {
		case c.want == "" && err != nil, c.want != "" && err == nil:
			t.Errorf("%q: %v", c.password, err)
		case err != nil && (mail.KindOf(err) != mail.Invalid || !strings.Contains(err.Error(), c.want) || c.password != "" && c.password != "password" && strings.Contains(err.Error(), c.password)):
			t.Errorf("%q: %v", c.password, err)
		}
	}
}

// The list is as CheckFloor reads it: small letters, sorted, each once.
func TestCommon(t *testing.T) {
	last := ""
	for word := range strings.Lines(commonText) {
		if word = strings.TrimSuffix(word, "\n"); word <= last || word != strings.ToLower(word) || len(word) < 5 {
			t.Errorf("%q stands after %q", word, last)
		}
		last = word
	}
	if n := len(common()); n < 3000 {
		t.Errorf("%d words", n)
	}
}
