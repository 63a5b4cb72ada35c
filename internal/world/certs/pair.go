package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// pair is one certificate from its files.
type pair struct {
	files Files
	now   atomic.Pointer[loaded]
	tried stamps // of the files as last read, whether they loaded or not
	fault error  // why the files as they are now do not load; nil if they did
}

// loaded is a certificate in use; never changed.
type loaded struct {
	cert  *tls.Certificate
	names []string
}

// stamp tells whether a file was replaced or written to.
type stamp struct {
	size int64
	time time.Time
	info os.FileInfo // for os.SameFile: a replacement may have kept the time
}

type stamps struct{ cert, key stamp }

func (p *pair) current() *loaded { return p.now.Load() }

// MaxFile is how many octets the file of a certificate or a key may have.
const MaxFile = 1 << 20

// Load reads a certificate and its key, which are regular files.
func Load(f Files) (tls.Certificate, error) {
	cert, err := files.ReadFile(f.Cert, MaxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := files.ReadFile(f.Key, MaxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// load reads the files for the first time.
func (p *pair) load() error {
	_, err := p.reload()
	return err
}

// reload reads the files if they changed since the last try. err is the fault
// that stands; news says whether it, or a certificate, is new.
func (p *pair) reload() (news bool, err error) {
	st, err := p.stat()
	if err != nil {
		news = p.fault == nil || p.fault.Error() != err.Error()
		p.tried, p.fault = stamps{}, err
		return news, err
	}
	if st.same(p.tried) {
		return false, p.fault
	}
	p.tried, p.fault = st, nil
	cert, err := Load(p.files)
	if err != nil {
		p.fault = p.explain(err)
		return true, p.fault
	}
	p.now.Store(&loaded{cert: &cert, names: names(cert.Leaf)})
	return true, nil
}

func (p *pair) stat() (st stamps, err error) {
	if st.cert, err = statFile(p.files.Cert); err == nil {
		st.key, err = statFile(p.files.Key)
	}
	if err != nil {
		return stamps{}, p.explain(err)
	}
	return st, nil
}

func statFile(name string) (stamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	return stamp{size: info.Size(), time: info.ModTime(), info: info}, nil
}

func (a stamps) same(b stamps) bool { return a.cert.same(b.cert) && a.key.same(b.key) }

func (a stamp) same(b stamp) bool {
	return b.info != nil && a.size == b.size && a.time.Equal(b.time) && os.SameFile(a.info, b.info)
}

// explain says which file is at fault and what to do.
func (p *pair) explain(err error) error {
	var path *fs.PathError
	switch {
	case errors.As(err, &path) && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("certificate file %s does not exist: correct the path in the configuration or put the file there", path.Path)
	case errors.As(err, &path) && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("certificate file %s may not be read: give the user that runs yubin the right to read it and to enter its folders", path.Path)
	case errors.As(err, &path):
		return fmt.Errorf("certificate file %s cannot be read: %w", path.Path, err)
	}
	if kind := mail.KindOf(err); kind == mail.Forbidden || kind == mail.TooLarge {
		return fmt.Errorf("certificate file %w: name a file with a certificate or a key in PEM", err)
	}
	if strings.Contains(err.Error(), "private key does not match public key") || strings.Contains(err.Error(), "private key type does not match") {
		return fmt.Errorf("key %s belongs to another certificate than %s: both must be PEM and belong together; name the key that this one was made with", p.files.Key, p.files.Cert)
	}
	return fmt.Errorf("certificate %s with key %s does not load: both must be PEM and belong together: %w", p.files.Cert, p.files.Key, err)
}
