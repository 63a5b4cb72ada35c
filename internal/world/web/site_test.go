package web

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"yubin/internal/mail"
)

func TestSite(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	var got []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("Accept"), r.Header.Get("Content-Type"), r.UserAgent(), user, password, string(body)}, " "))
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/in", http.StatusFound)
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", most+1))
		case "/no":
			http.Error(w, "no", http.StatusForbidden)
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", most))
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	site, err := NewSite(SiteOptions{URL: s.URL + "/realm", Roots: roots, Agent: "yubin"})
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	if b, err := site.Get(t.Context(), s.URL+"/in?x=1", most); err != nil || len(b) != most {
		t.Errorf("%d octets, %v", len(b), err)
	}
	if b, err := site.PostForm(t.Context(), s.URL+"/in", url.Values{"a": {"b c"}}, "me", "secret", most); err != nil || len(b) != most {
		t.Errorf("%d octets, %v", len(b), err)
	}
	if strings.Join(got, "\n") != "GET /in?x=1 application/json  yubin   \nPOST /in application/json application/x-www-form-urlencoded yubin me secret a=b+c" {
		t.Errorf("%q", got)
	}
	host := strings.TrimPrefix(s.URL, "https://")
	for place, want := range map[string]string{
		s.URL + "/away":           host + "/away answers 302 Found",
		s.URL + "/no":             host + "/no answers 403 Forbidden",
		s.URL + "/large":          host + "/large answers more than 1000 octets",
		"http://" + host:          "is no place that is spoken to by HTTPS",
		"https://a:b@" + host:     "is no place that is spoken to by HTTPS",
		"https://" + host + "/#x": "is no place that is spoken to by HTTPS",
		"https:///x":              "is no place that is spoken to by HTTPS",
		"https://x/" + strings.Repeat("x", maxPlace): "is no place that is spoken to by HTTPS",
		"https://127.0.0.1:1/":                       "127.0.0.1:1 could not be asked",
	} {
		if _, err := site.Get(t.Context(), place, most); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.60s: %v", place, err)
		}
	}
	stranger, err := NewSite(SiteOptions{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Get(t.Context(), s.URL, most); !errors.Is(err, ErrCertificate) || mail.KindOf(err) != mail.Forbidden {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := site.Get(gone, s.URL, most); mail.KindOf(err) != mail.Unavailable {
		t.Error(err)
	}
	if _, err := NewSite(SiteOptions{URL: "id.example"}); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
}

// What is not allowed is not connected to, whatever its name.
func TestDialAllowed(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	at := strings.TrimPrefix(s.URL, "http://")
	if _, err := dialAllowed(t.Context(), "tcp", at, IsPublic); err == nil || !strings.Contains(err.Error(), "is at 127.0.0.1, which is not connected to") {
		t.Error(err)
	}
	conn, err := dialAllowed(t.Context(), "tcp", at, func(a netip.Addr) bool { return a.IsLoopback() })
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
