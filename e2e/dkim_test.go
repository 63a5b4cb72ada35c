package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/mailauth/dkim"
	"yubin/internal/testkit/dnstest"
)

// signing is a domain with two keys in the DNS, and mail.
type signing struct {
	t        *testing.T
	resolver string // of a name server that knows the keys
	records  map[string]string
	rsa      string // files
	ed25519  string
	seed     string // of the Ed25519 key, in base64
	mail     map[string]string
	signed   map[string]string // the mail with two signatures of ours
}

func newSigning(t *testing.T) *signing {
	s := &signing{t: t, records: map[string]string{}, signed: map[string]string{}}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.seed = base64.StdEncoding.EncodeToString(e.Seed())
	inPEM := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	s.rsa = write(t, "rsa.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)}))
	s.ed25519 = write(t, "ed25519.pem", inPEM(e))
	s.mail = letters8bit()
	for selector, key := range map[string]string{"r": s.rsa, "e": s.ed25519} {
		_, s.records[selector+"._domainkey.example.test"] = s.sign(key, selector, s.mail["plain"])
	}
	return s
}

// letters8bit are messages that canonicalization could get wrong, with CRLF.
func letters8bit() map[string]string {
	header := "From: Anna <anna@example.test>\nTo: bob@example.net\nSubject: Hello\nDate: Mon, 01 Jan 2024 10:00:00 +0100\nMessage-ID: <1@example.test>\n"
	all := map[string]string{
		"plain":  header + "\nHello Bob.\n",
		"empty":  header + "\n",
		"blank":  header + "\n\n\n\n",
		"folded": strings.Replace(header, "Hello", "Hello\n\tfolded  line\n and\t another ", 1) + "\nHello  Bob,\t\n\n   indented \t text\t.\n \t\n\n\n",
		"utf8":   strings.NewReplacer("Hello", "Gr\u00fc\u00dfe", "Anna <anna", "\u90f5\u4fbf <anna").Replace(header) + "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\u00e4\u00f6\u00fc  \u90f5\u4fbf\n",
		"list": "Received: from a.example.test by b.example.test; Mon, 01 Jan 2024 10:00:00 +0100\n" + header +
			"Sender: list@example.test\nList-Id: <list.example.test>\nList-Unsubscribe: <https://example.test/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nX-Two: a\nX-Two: b\n\nBody\n-- \nsignature\n",
		"colons": strings.Replace(header, "Hello", "a : b:c", 1) + "X-Empty:\nX-Blank: \t\n\n.\n..\n",
		"long":   header + "\n" + strings.Repeat(strings.Repeat("a long line ", 70)+"\n\n", 300),
	}
	for name, text := range all {
		all[name] = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return all
}

// sign returns the field that yubin makes, and the record of the key.
func (s *signing) sign(key, selector, message string) (field, record string) {
	out := run(s.t, message, binary, "dkim", "sign", "-", "--domain", "example.test", "--selector", selector, "--key", key, "--json")
	var answer struct{ Field, Record string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return answer.Field, answer.Record
}

// verified is what yubin says of each signature of a message.
func (s *signing) verified(message string) string {
	return run(s.t, message, binary, "dkim", "verify", "-", "--resolver", s.resolver)
}

// TestDKIMPeers: what we sign verifies with Debian's python3-dkim, libmail-dkim-perl and
// opendkim, what they sign verifies here, and what was changed does neither.
func TestDKIMPeers(t *testing.T) {
	s := newSigning(t)
	var zone strings.Builder
	for name, record := range s.records {
		fmt.Fprintf(&zone, "%s. TXT", name)
		for len(record) > 0 { // As strings of at most 255 octets (RFC 6376 §3.6.2.2).
			n := min(len(record), 100)
			fmt.Fprintf(&zone, " %q", record[:n])
			record = record[n:]
		}
		zone.WriteString("\n")
	}
	server, err := dnstest.Listen(dnstest.NewZone(zone.String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s.resolver = server.Addr().String()
	for name, message := range s.mail {
		r, _ := s.sign(s.rsa, "r", message)
		e, _ := s.sign(s.ed25519, "e", message)
		s.signed[name] = e + r + message
	}
	for name, message := range s.signed {
		if got := s.verified(message); !strings.HasPrefix(got, "pass ") || strings.Count(got, "\npass ") != 2 {
			t.Errorf("%s: we say %sof our own\n%s", name, got, message)
		}
	}
	changed := strings.Replace(s.signed["plain"], "Hello Bob", "Hello Rob", 1)
	if got := s.verified(changed); !strings.HasPrefix(got, "fail ") {
		t.Fatalf("a changed message: %s", got)
	}
	s.signed["changed"] = changed
	for name, peer := range map[string]func(*signing) peerAnswer{
		"python3-dkim": (*signing).python, "libmail-dkim-perl": (*signing).perl, "opendkim": (*signing).opendkim,
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			answer := peer(&s)
			if len(answer.Verified) != len(s.signed) || len(answer.Signed) < 4*len(s.mail) {
				t.Errorf("it verifies %d messages and signs %d", len(answer.Verified), len(answer.Signed))
			}
			for letter, results := range answer.Verified {
				want := "pass"
				if letter == "changed" {
					want = "fail"
				}
				if len(results) != 2 || results[1] != want || results[0] != want && results[0] != "unknown" {
					t.Errorf("%s: it says %v of\n%s", letter, results, s.signed[letter])
				}
			}
			for letter, message := range answer.Signed {
				verdicts, err := dkim.Verify(t.Context(), dnstest.NewFake(zone.String()), strings.NewReader(message), dkim.Options{Now: time.Now()})
				if best := dkim.Best(verdicts); err != nil || best.Result != dkim.Pass {
					t.Errorf("%s: we say %s (%s), %v, of\n%s", letter, best.Result, best.Reason, err, message)
				}
			}
		})
	}
}

// peerAnswer is what another program says: of each signature of each message of
// signing.signed, and signing.mail as it signs it, in some ways.
type peerAnswer struct {
	Verified map[string][]string
	Signed   map[string]string
}

func (s *signing) ask(program string, args ...string) (answer peerAnswer) {
	s.t.Helper()
	host, port, _ := strings.Cut(s.resolver, ":")
	in, err := json.Marshal(map[string]any{"host": host, "port": port, "signed": s.signed, "mail": s.mail, "rsa": s.rsa, "seed": s.seed})
	if err != nil {
		s.t.Fatal(err)
	}
	out := run(s.t, string(in), program, args...)
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		s.t.Fatalf("%v: %s", err, tail(out, 3000))
	}
	return answer
}

func (s *signing) python() peerAnswer {
	return s.ask("/usr/bin/python3", "-c", `
import sys, json, dkim, dns.resolver
ask = json.load(sys.stdin)
names = dns.resolver.Resolver(configure=False)
names.nameservers, names.port = [ask['host']], int(ask['port'])
def txt(name, timeout=5):
    answer = names.resolve(name.decode(), 'TXT', lifetime=30)
    return b''.join(answer[0].strings)
verified, signed = {}, {}
for name, text in ask['signed'].items():
    d = dkim.DKIM(text.encode())
    verified[name] = []
    for i in range(2):
        try:
            verified[name].append('pass' if d.verify(idx=i, dnsfunc=txt) else 'fail')
        except dkim.DKIMException as e:
            verified[name].append('fail' if 'body hash mismatch' in str(e) else str(e))
rsa, seed = open(ask['rsa'], 'rb').read(), ask['seed'].encode()
for name, text in ask['mail'].items():
    for header in b'simple', b'relaxed':
        for body in b'simple', b'relaxed':
            for kind in 'rsa', 'ed25519', 'length':
                d = dkim.DKIM(text.encode(), signature_algorithm=b'ed25519-sha256' if kind == 'ed25519' else b'rsa-sha256')
                f = d.sign(b'e' if kind == 'ed25519' else b'r', b'example.test', seed if kind == 'ed25519' else rsa,
                    canonicalize=(header, body), length=kind == 'length')
                signed[' '.join((name, header.decode(), body.decode(), kind))] = f.decode() + text
json.dump({'Verified': verified, 'Signed': signed}, sys.stdout)
`)
}

func (s *signing) perl() peerAnswer {
	return s.ask("perl", "-MMail::DKIM::Verifier", "-MMail::DKIM::Signer", "-MMail::DKIM::DNS", "-MNet::DNS::Resolver", "-MJSON::PP", "-MEncode", "-e", `
my $ask = do { local $/; decode_json(<STDIN>) }; my (%verified, %signed);
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => [$ask->{host}], port => $ask->{port}));
while (my ($name, $text) = each %{$ask->{signed}}) {
	my $v = Mail::DKIM::Verifier->new();
	$v->PRINT(encode_utf8($text)); $v->CLOSE;
	for my $f ($v->signatures) {
		# Debian's version knows no Ed25519.
		push @{$verified{$name}}, $f->result eq 'invalid' && $f->algorithm =~ /^ed25519/ ? 'unknown' : $f->result;
	}
}
while (my ($name, $text) = each %{$ask->{mail}}) {
	for my $method ('simple/simple', 'simple/relaxed', 'relaxed/simple', 'relaxed/relaxed') {
		my $s = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $method, Domain => 'example.test', Selector => 'r', KeyFile => $ask->{rsa});
		$s->PRINT(encode_utf8($text)); $s->CLOSE;
		my $field = $s->signature->as_string; $field =~ s/\r?\n/\r\n/g;
		$signed{"$name $method"} = decode_utf8($field) . "\r\n" . $text;
	}
}
print encode_json({Verified => \%verified, Signed => \%signed});
`)
}

// opendkim runs over one message at a time, and says what it would add as a filter.
func (s *signing) opendkim() peerAnswer {
	answer := peerAnswer{map[string][]string{}, map[string]string{}}
	filter := func(conf, message string) string {
		conf += "TemporaryDirectory " + s.t.TempDir() + "\n"
		return run(s.t, "", "/usr/sbin/opendkim", "-x", write(s.t, "conf", []byte(conf)), "-t", write(s.t, "mail", []byte(message)), "-v", "-v")
	}
	var keys bytes.Buffer
	for name, record := range s.records {
		fmt.Fprintln(&keys, name, record)
	}
	conf := "Mode v\nAuthservID x\nTestPublicKeys " + write(s.t, "keys", keys.Bytes()) + "\n"
	for name, message := range s.signed {
		for _, word := range strings.Fields(filter(conf, message)) {
			if result, ok := strings.CutPrefix(word, "dkim="); ok {
				answer.Verified[name] = append(answer.Verified[name], result)
			}
		}
	}
	for name, message := range s.mail {
		for i, c := range []string{"simple/simple", "relaxed/relaxed", "simple/relaxed", "relaxed/simple"} {
			key := "Selector r\nSignatureAlgorithm rsa-sha256\nKeyFile " + s.rsa
			if i%2 == 1 {
				key = "Selector e\nSignatureAlgorithm ed25519-sha256\nKeyFile " + s.ed25519
			}
			out := filter("Mode s\nDomain example.test\nInternalHosts 0.0.0.0/0\nRequireSafeKeys no\nCanonicalization "+c+"\n"+key+"\n", message)
			_, field, ok := strings.Cut(strings.ReplaceAll(out, "\r", ""), "hname='DKIM-Signature' hvalue='")
			field, _, closed := strings.Cut(field, "'\n")
			if !ok || !closed {
				s.t.Errorf("%s %s is not signed: %s", name, c, out)
				continue
			}
			answer.Signed[name+" "+c] = "DKIM-Signature: " + strings.ReplaceAll(field, "\n", "\r\n") + "\r\n" + message
		}
	}
	return answer
}

// TestDKIMCorpus verifies what python3-dkim brings for its own tests: messages that others
// signed, and records of keys.
func TestDKIMCorpus(t *testing.T) {
	const folder = "/usr/lib/python3/dist-packages/dkim/tests/data/"
	zone := dnstest.NewZone("")
	for name, file := range map[string]string{"test._domainkey.football.example.com": "test.txt", "sed._domainkey.test.ex": "eximtest.dns"} {
		if err := zone.Add(fmt.Sprintf("%s. TXT %q", name, strings.TrimSpace(read(t, folder+file)))); err != nil {
			t.Fatal(err)
		}
	}
	// The key of RFC 8463, and one that Gmail had.
	if err := zone.Add(`brisbane._domainkey.football.example.com. TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
20120113._domainkey.gmail.com. TXT "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1Kd87/UeJjenpabgbFwh+eBCsSTrqmwIYYvywlbhbqoo2DymndFkbjOVIPIldNs/m40KF+yzMn1skyoxcTUGCQ" "s8g3FgD2Ap3ZB5DekAo5wMmk4wimDO+U8QzI3SD07y2+07wlNWwIt8svnxgdxGkVbbhzY8i+RQ9DpSVpPbF7ykQxtKXkv/ahW3KjViiAH+ghvvIhkx4xYSIc9oSwVmAl5Oct" "MEeWUwg8Istjqz8BZeTWbf41fbNhte7Y+YqZOwq1Sd0DbvYAD9NOZK9vlfuac0598HY+vtSBczUiKERHv1yRbcaQtZFh5wtiRrN04BLUTD21MycBX5jYchHjPY/wIDAQAB"`); err != nil {
		t.Fatal(err)
	}
	resolver := dnstest.NewFake("")
	resolver.Zone = zone
	for file, want := range map[string]string{
		"rfc6376.signed.msg": "pass pass", "rfc6376.signed.rsa.msg": "pass", "ed25519test2.msg": "pass", "test2.message": "pass",
		"test.message.baddomain": "permerror", "message.mbox": "permerror",
	} {
		text := strings.ReplaceAll(strings.ReplaceAll(read(t, folder+file), "\r\n", "\n"), "\n", "\r\n")
		verdicts, err := dkim.Verify(t.Context(), resolver, strings.NewReader(text), dkim.Options{})
		var got []string
		for _, v := range verdicts {
			got = append(got, v.Result.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v, want %s; %+v", file, got, err, want, verdicts)
		}
	}
	for file, bits := range map[string]int{
		"1024_testkey_wo_markers.pub.rsa.txt": 1024, "1024_testkey_wo_markers.pub.txt": 1024,
		"2048_testkey_wo_markers.pub.rsa.txt": 2048, "2048_testkey_wo_markers.pub.txt": 2048, "2048_testkey_PKCS8.key.pub.txt": 2048,
		"test.txt": 1024, "test2.txt": 1024, "badk.txt": 0, "badversion.txt": 0, "test_bad.txt": 0, "test_tlsrpt.txt": 1024,
	} {
		k, why := dkim.ParseKey(read(t, folder+file))
		reports := file == "test_tlsrpt.txt"
		if bits == 0 && k != nil || bits > 0 && (k == nil || k.Bits != bits || k.Reports != reports) {
			t.Errorf("%s: %+v, %s", file, k, why)
		}
	}
	for file, algorithm := range map[string]dkim.Algorithm{
		"1024_testkey.key": dkim.RSASHA256, "2048_testkey.key": dkim.RSASHA256, "2048_testkey_PKCS8.key": dkim.RSASHA256, "test.private": dkim.RSASHA256,
	} {
		if k, err := dkim.ParsePrivateKey([]byte(read(t, folder+file))); err != nil || k.Algorithm() != algorithm {
			t.Errorf("%s: %v", file, err)
		}
	}
}
