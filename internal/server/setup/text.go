package setup

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// configText is the configuration of a new post office.
func configText(a Answers) string {
	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	line("# Made by yubin setup. Every key: docs/configuration.md.")
	line("# After a change: yubin check-config, then systemctl reload yubin.")
	line("")
	line("hostname = %q", a.Host)
	line("data = %q", dataDir)
	if len(a.Addresses) > 0 {
		line("%-31s # at which others reach this machine", "addresses = "+addressList(a))
	}
	line("")
	if a.Web == WebNone {
		line("[tls]")
		line("self_signed = true              # mail programs have to be told to believe it; docs/certificates.md has better ones")
	} else {
		acmeText(line, a)
	}
	if a.Web == WebDNS {
		line("")
		line("[dns_update]                    # the records of these zones are kept up, and proofs for certificates put there")
		line("server = %q", a.DNSServer)
		line("zones = [%q]", a.Domain)
		line("key_file = %q", a.DNSKey)
	}
	line("")
	line("[watch]")
	line("selftest = \"05:10\"              # a look at everything, every day; what changed is mailed to postmaster")
	if a.Web != WebDirect {
		listenersText(line, a.Web == WebPath)
	}
	return b.String()
}

func addressList(a Answers) string {
	var list []string
	for _, one := range a.Addresses {
		list = append(list, strconv.Quote(one.String()))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// acmeText is the table of the authority.
func acmeText(line func(string, ...any), a Answers) {
	line("[acme]                          # certificates that renew themselves")
	line("agree_to_terms = true")
	line("email = %q", a.Email)
	switch a.Web {
	case WebPath:
		line("challenge = \"http-01\"")
	case WebDNS:
		line("challenge = \"dns-01\"")
	}
	if a.Authority != "" {
		line("directory = %q", a.Authority)
	}
	if a.AuthorityRoot != "" {
		line("root = %q", a.AuthorityRoot)
	}
}

// listenersText names the listeners for mail, and those of the web behind another server.
func listenersText(line func(string, ...any), web bool) {
	one := func(protocol, profile, address, tls string) {
		line("")
		line("[[listener]]")
		line("protocol = %q", protocol)
		if profile != "" {
			line("profile = %q", profile)
		}
		line("address = %q", address)
		if tls != "" {
			line("tls = %q", tls)
		}
	}
	one("smtp", "mx", ":25", "starttls")
	one("smtp", "submission", ":465", "implicit")
	one("smtp", "submission", ":587", "starttls")
	one("imap", "", ":993", "implicit")
	one("imap", "", ":143", "starttls")
	one("pop3", "", ":995", "implicit")
	one("pop3", "", ":110", "starttls")
	if web {
		one("http", "", behindHTTP, "")
		one("https", "", behindHTTPS, "")
	}
}

// key is one of a configuration that is to have a value, as it is written there.
type key struct{ table, name, value string }

// header is a line that begins a table.
var header = regexp.MustCompile(`^\s*\[`)

// withKey sets one key in the text of a configuration and leaves the rest as it is. The
// caller sees whether that came to what was meant: of forms that nobody writes, such as
// dotted keys, nothing is known here.
func withKey(text string, k key) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	lines := strings.SplitAfter(text, "\n")
	begin, end := 0, len(lines)
	if k.table != "" {
		table := regexp.MustCompile(`^\s*\[\s*` + regexp.QuoteMeta(k.table) + `\s*\]`)
		for begin = 0; begin < len(lines) && !table.MatchString(lines[begin]); begin++ {
		}
		if begin == len(lines) {
			return strings.TrimRight(text, "\n") + fmt.Sprintf("\n\n[%s]\n%s = %s\n", k.table, k.name, k.value)
		}
		begin++
	}
	for i := begin; i < len(lines); i++ {
		if header.MatchString(lines[i]) {
			end = i
			break
		}
	}
	new := k.name + " = " + k.value + "\n"
	assignment := regexp.MustCompile(`^\s*` + regexp.QuoteMeta(k.name) + `\s*=`)
	for i := begin; i < end; i++ {
		if assignment.MatchString(lines[i]) {
			lines[i] = new
			return strings.Join(lines, "")
		}
	}
	lines[begin] = new + lines[begin]
	return strings.Join(lines, "")
}

// maxDiff bounds the lines that are compared.
const maxDiff = 2000

// diff lists the lines that go (-) and come (+), in their order, by the longest common
// sequence of lines.
func diff(from, to string) (list []string) {
	a, b := strings.Split(strings.TrimSuffix(from, "\n"), "\n"), strings.Split(strings.TrimSuffix(to, "\n"), "\n")
	if len(a) > maxDiff || len(b) > maxDiff {
		return []string{fmt.Sprintf("- %d lines", len(a)), fmt.Sprintf("+ %d lines", len(b))}
	}
	common := make([][]int, len(a)+1) // of what is left of both
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			list = append(list, "- "+a[i])
			i++
		default:
			list = append(list, "+ "+b[j])
			j++
		}
	}
	return list
}
