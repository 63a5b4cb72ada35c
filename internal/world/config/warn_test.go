package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/world/certs"
)

// parsed is a configuration of that text in a folder of its own, with a certificate
// for mail.example.org.
func parsed(t *testing.T, text string) (Config, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := certs.SelfSigned(dir, "mail.example.org", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(filepath.Join(dir, "yubin.toml"), []byte(strings.ReplaceAll(text, "CERT", f.Cert)))
	if err != nil {
		t.Fatal(err)
	}
	return c, f.Cert
}

func TestWarnings(t *testing.T) {
	const rest = "\ndata = \"d\"\n[[certificate]]\ncert = \"CERT\"\nkey = \"CERT\"\n"
	for text, want := range map[string]string{
		`hostname = "mail.example.org"`: "",
		`hostname = "192.0.2.1"`:        "hostname 192.0.2.1 is an address: other servers may refuse mail from it",
		`hostname = "localhost"`:        "hostname localhost is what every machine calls itself",
		`hostname = "mail"`:             "hostname mail has no dot",
		`hostname = "mx.example.net"`:   "and none is for the host name mx.example.net",
	} {
		c, _ := parsed(t, text+rest)
		list := c.Warnings(time.Now())
		switch {
		case want == "" && len(list) == 0:
		case want != "" && len(list) == 1 && strings.Contains(list[0].Text, want) && list[0].Line > 0:
		default:
			t.Errorf("%s: %+v, want %q", text, list, want)
		}
	}
	c, file := parsed(t, `hostname = "mail.example.org"`+rest)
	list := c.Warnings(time.Now().AddDate(30, 0, 0))
	if len(list) != 1 || !strings.HasPrefix(list[0].Text, "certificate "+file+" has expired") || list[0].Line != 3 {
		t.Errorf("%+v", list)
	}
}

// TestUnreadableForTheServer: root hears of files that the owner of the data folder
// cannot read, for their mode or that of a folder above.
func TestUnreadableForTheServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can find out what another user may read")
	}
	const uid = 65533
	c, file := parsed(t, "hostname = \"mail.example.org\"\ndata = \"d\"\n[[certificate]]\ncert = \"CERT\"\nkey = \"CERT\"\n")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(c.Data, 0o700))
	must(os.Chown(c.Data, uid, uid))
	for dir := filepath.Dir(file); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(os.Chmod(dir, 0o755))
	}
	warned := func(want bool) {
		t.Helper()
		list := c.Warnings(time.Now())
		if want != (len(list) == 1 && strings.Contains(list[0].Text, "may not read "+file) && strings.Contains(list[0].Text, "uid 65533")) {
			t.Errorf("%+v, want a warning: %v", list, want)
		}
	}
	warned(true) // 0600 of root
	must(os.Chown(file, 0, uid))
	must(os.Chmod(file, 0o640))
	warned(false) // by its group
	must(os.Chmod(filepath.Dir(file), 0o700))
	warned(true)
	if os.Geteuid() != 0 {
		t.Error("this process became somebody else")
	}
}

// TestChangedKnowsEveryField: what a file can say has a name among what a reload tells of.
func TestChangedKnowsEveryField(t *testing.T) {
	inNoFile := []string{"Folder", "Open", "Capture", "DeliverPort"}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if f.IsExported() && len(f.Index) == 1 && !slices.Contains(inNoFile, f.Name) && keyNames[f.Name] == nil {
			t.Errorf("a changed %s is not told at a reload", f.Name)
		}
	}
	a, b := Default(), Default()
	b.Sendmail.Rate, b.Watch.QueueLength = 7, 7
	if got := Changed(a, b); !slices.Equal(got, []string{"sendmail", "watch"}) {
		t.Errorf("%q", got)
	}
}

// TestChanged: each key and table is named when it changes, and nothing for the place
// where it stands.
func TestChanged(t *testing.T) {
	const text = "hostname = \"mail.example.org\"\n[[certificate]]\ncert = \"CERT\"\nkey = \"CERT\"\n[[listener]]\nprotocol = \"imap\"\naddress = \":143\"\n"
	a, _ := parsed(t, text)
	b, err := Parse(filepath.Join(a.Folder, "yubin.toml"), []byte("\n# moved\n"+strings.ReplaceAll(text, "CERT", a.TLS.Certificates[0].Cert)))
	if err != nil {
		t.Fatal(err)
	}
	if got := Changed(a, b); len(got) > 0 {
		t.Errorf("%q", got)
	}
	b.Limits.Recipients, b.TLS.ChannelBinding, b.Listeners, b.TLS.Certificates = 200, true, nil, nil
	if got := Changed(a, b); !slices.Equal(got, []string{"certificate", "limits", "listener", "tls"}) {
		t.Errorf("%q", got)
	}
}
