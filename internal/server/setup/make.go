package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"yubin/deploy"
	"yubin/internal/mail"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/files"
	"yubin/internal/world/secrets"
)

// Known is a configuration that is there.
type Known struct {
	Host   mail.Domain
	Email  mail.Address
	Web    Web
	Config config.Config
	text   string
}

// Known reads the configuration that is there; nil if there is none. The error has its
// faults.
func (s *Setup) Known() (*Known, error) {
	file := s.at(ConfigFile)
	text, err := files.ReadFile(file, config.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := config.Parse(file, text)
	if err != nil {
		return nil, err
	}
	return &Known{Host: c.Hostname, Email: c.ACME.Email, Web: webOf(c), Config: c, text: string(text)}, nil
}

// webOf is the way that a configuration has.
func webOf(c config.Config) Web {
	switch {
	case c.ACME.On && c.ACME.Challenge == config.ChallengeHTTP:
		return WebPath
	case c.ACME.On && c.ACME.Challenge == config.ChallengeDNS:
		return WebDNS
	case c.ACME.On:
		return WebDirect
	}
	return WebNone
}

// Make makes what is wanted; known is what Known returned. It stops at a step that the
// later ones stand on; what it did before stays, and running it again goes on.
func (s *Setup) Make(ctx context.Context, a Answers, known *Known) (Office, error) {
	for _, step := range []func(context.Context) error{s.ownProgram, s.ownUser} {
		if err := step(ctx); err != nil {
			return Office{}, err
		}
	}
	c, err := s.configuration(a, known)
	if err != nil {
		return Office{}, err
	}
	if err := s.secrets(c); err != nil {
		return Office{}, err
	}
	if err := s.data(c); err != nil {
		return Office{}, err
	}
	if err := s.unit(); err != nil {
		return Office{}, err
	}
	o, err := s.office(ctx, a, c)
	if err != nil {
		return Office{}, err
	}
	return o, s.start(ctx)
}

// Installed is where the program is on a machine that was set up. The error is
// fs.ErrNotExist if there is none.
func Installed(root string) (string, error) {
	for _, path := range append(packaged.programs, programFile) {
		if exists(filepath.Join(root, path)) {
			return path, nil
		}
	}
	return "", fs.ErrNotExist
}

// ownProgram puts the program where the service starts it.
func (s *Setup) ownProgram(ctx context.Context) error {
	if at, err := Installed(s.o.Root); err == nil && at != programFile {
		s.program = at
		s.say("program", OK, "%s, of a package", at)
		return nil
	}
	s.program = programFile
	self, err := s.o.Machine.Program()
	if err != nil {
		return fmt.Errorf("where this program is cannot be found out: %w", err)
	}
	there := exists(s.at(programFile))
	switch {
	case there && (s.o.Files || same(self, s.at(programFile))):
		s.say("program", OK, "%s", programFile)
		return nil
	case there:
		st := Step{Name: "program", State: Differs, Text: fmt.Sprintf("%s is another yubin (%s)", programFile, s.o.Machine.Version(ctx, s.at(programFile))),
			Mend: "--replace puts this one there"}
		if !s.may("replace "+programFile, st) {
			return nil
		}
	}
	return s.make("program", fmt.Sprintf("%s, a copy of %s", programFile, self), func() error {
		f, err := os.Open(self)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.write(programFile, f, 0o755, -1)
	})
}

// ownUser makes the user of the service.
func (s *Setup) ownUser(ctx context.Context) error {
	if s.o.Files {
		s.say("user", Left, "%s is made where the folder is the root of a machine", user)
		return nil
	}
	uid, gid, found, err := s.o.Machine.User(user)
	if err != nil {
		return fmt.Errorf("the users of this machine cannot be read: %w", err)
	}
	if found {
		s.uid, s.gid = uid, gid
		s.say("user", OK, "%s", user)
		return nil
	}
	return s.make("user", user+", who cannot log in", func() error {
		if err := s.o.Machine.MakeUser(ctx, user, dataDir); err != nil {
			return err
		}
		s.uid, s.gid, found, err = s.o.Machine.User(user)
		if err == nil && !found {
			err = errors.New("it was made, and is not there")
		}
		return err
	})
}

// configuration makes the configuration, or changes keys of the one that is there.
func (s *Setup) configuration(a Answers, known *Known) (config.Config, error) {
	file := s.at(ConfigFile)
	if known == nil {
		text := configText(a)
		c, err := config.Parse(file, []byte(text))
		if err != nil {
			return c, err // The answers cannot be written so: such as the path of a key.
		}
		err = s.make("configuration", ConfigFile, func() error { return s.write(ConfigFile, strings.NewReader(text), 0o640, s.gid) })
		return s.rooted(c), err
	}
	text := known.text
	var keys []string
	set := func(differs bool, k key) {
		if differs {
			text, keys = withKey(text, k), append(keys, k.name)
		}
	}
	set(a.Host != known.Host, key{"", "hostname", strconv.Quote(string(a.Host))})
	set(!a.Email.IsZero() && known.Config.ACME.On && a.Email != known.Email, key{"acme", "email", strconv.Quote(a.Email.String())})
	set(len(a.Addresses) > 0 && !reflect.DeepEqual(a.Addresses, known.Config.Addresses), key{"", "addresses", addressList(a)})
	if a.Web != known.Web {
		s.tell(Step{Name: "configuration", State: Differs, Text: fmt.Sprintf("%s is as for --web %s, and --web %s is wanted: that is more than a line, and left to you", ConfigFile, known.Web, a.Web),
			Mend: "change [acme] and [[listener]] there; docs/certificates.md and docs/web.md"})
	}
	if len(keys) == 0 {
		s.say("configuration", OK, "%s", ConfigFile)
		return s.rooted(known.Config), nil
	}
	c, err := config.Parse(file, []byte(text))
	if err != nil || c.Hostname != a.Host {
		s.tell(Step{Name: "configuration", State: Differs, Text: fmt.Sprintf("%s has another %s, written so that it is not changed by itself", ConfigFile, strings.Join(keys, ", ")),
			Mend: "change it there by hand"})
		return s.rooted(known.Config), nil
	}
	st := Step{Name: "configuration", State: Differs, Text: fmt.Sprintf("%s has another %s", ConfigFile, strings.Join(keys, " and ")), Diff: diff(known.text, text),
		Mend: "--replace changes it; the other lines stay"}
	if !s.may("change "+ConfigFile, st) {
		return s.rooted(known.Config), nil
	}
	err = s.make("configuration", fmt.Sprintf("%s: %s", ConfigFile, strings.Join(keys, " and ")), func() error {
		return s.write(ConfigFile, strings.NewReader(text), 0o640, s.gid)
	})
	return s.rooted(c), err
}

// rooted is a configuration whose paths are where they are now.
func (s *Setup) rooted(c config.Config) config.Config {
	c.Data = s.at(c.Data)
	if c.Secrets != "" {
		c.Secrets = s.at(c.Secrets)
	}
	return c
}

// secrets makes the key that seals secrets, readable by the service and not its to change.
func (s *Setup) secrets(c config.Config) error {
	paths := c.SecretsPaths()
	switch k := secrets.Open(secrets.Options{Paths: paths}); {
	case k.Err() != nil:
		s.tell(Step{Name: "secrets", State: Wrong, Text: k.Err().Error(), Mend: "repair it; it is never made anew, as what it sealed would be lost"})
		return errors.New("without the key of secrets there is no post office; nothing more was done")
	case k.Path() != "":
		s.say("secrets", OK, "%s", s.shown(k.Path()))
		return nil
	}
	return s.make("secrets", s.shown(paths[0])+", of which you keep a copy where no backup of the database is", func() error {
		if err := secrets.Make(paths[0], rand.Reader); err != nil {
			return err
		}
		return s.give(paths[0], 0, s.gid, 0o640)
	})
}

// data makes the data folder, the service's own.
func (s *Setup) data(c config.Config) error {
	if info, err := os.Stat(c.Data); err == nil {
		uid, err := s.o.Machine.Owner(c.Data)
		switch {
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is no folder", c.Data)
		case !s.o.Files && s.uid >= 0 && uid != s.uid:
			s.tell(Step{Name: "data", State: Wrong, Text: fmt.Sprintf("%s belongs to %s, and the service runs as %s", c.Data, datadir.Named(uid), user),
				Mend: fmt.Sprintf("chown -R %s: %s", user, c.Data)})
			return errors.New("the data folder is somebody else's; nothing more was done")
		}
		s.say("data", OK, "%s", s.shown(c.Data))
		return nil
	}
	return s.make("data", s.shown(c.Data), func() error {
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return err
		}
		return s.give(c.Data, s.uid, s.gid, 0o700)
	})
}

// unit makes the service.
func (s *Setup) unit() error {
	for _, path := range packaged.units {
		if exists(s.at(path)) {
			s.say("service", OK, "%s, of a package", path)
			return nil
		}
	}
	text := strings.ReplaceAll(deploy.Unit, programFile, s.program)
	_, text, _ = strings.Cut(text, "\n\n") // How to install it.
	text = "# Made by yubin setup. Changes belong into " + unitFile + ".d/*.conf: systemctl edit yubin\n\n" + text
	was, err := os.ReadFile(s.at(unitFile))
	switch {
	case err == nil && string(was) == text:
		s.say("service", OK, "%s", unitFile)
		return nil
	case err == nil:
		st := Step{Name: "service", State: Differs, Text: unitFile + " is another one", Diff: diff(string(was), text), Mend: "--replace replaces it; what is your own belongs into " + unitFile + ".d/"}
		if !s.may("replace "+unitFile, st) {
			return nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return s.make("service", unitFile, func() error { return s.write(unitFile, strings.NewReader(text), 0o644, -1) })
}

// office makes the domain, its first account and the keys of its signatures.
func (s *Setup) office(ctx context.Context, a Answers, c config.Config) (Office, error) {
	o := Order{Domain: string(a.Domain), Account: a.Account.String(), Password: a.Password, AllowWeak: a.AllowWeak}
	if s.o.DryRun {
		s.say("domain", ToMake, "%s, with keys for its signatures, if it is not there", o.Domain)
		s.say("account", ToMake, "%s, if it is not there", o.Account)
		return Office{}, nil
	}
	made := ""
	if o.Password == "" {
		made = newPassword()
		o.Password = made
	}
	got, err := s.o.Machine.Open(ctx, c, s.at(ConfigFile), s.program, s.uid, s.gid, o)
	if err != nil {
		s.tell(Step{Name: "domain", State: Wrong, Text: err.Error(), Mend: "mend it and run yubin setup again: it goes on"})
		return got, errors.New("the post office could not be opened; what was made before stays")
	}
	there := func(name string, made bool, text string) {
		if made {
			s.say(name, Made, "%s", text)
		} else {
			s.say(name, OK, "%s", text)
		}
	}
	there("domain", got.DomainMade, o.Domain)
	st := Step{Name: "account", State: OK, Text: o.Account}
	if got.AccountMade {
		st.State, st.Password = Made, made
	}
	s.tell(st)
	return got, nil
}

// newPassword is one that nobody guesses: 100 bits in groups that can be typed.
func newPassword() string {
	text := strings.ToLower(rand.Text())[:20]
	return strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:16], text[16:20]}, "-")
}

// start starts the service.
func (s *Setup) start(ctx context.Context) error {
	by := "systemctl enable --now yubin"
	switch {
	case s.o.Files:
		return nil
	case !s.o.Machine.Systemd():
		s.say("start", Left, "systemd does not run here; yubin serve starts the post office, as the user %s", user)
		return nil
	case s.taken != "":
		s.tell(Step{Name: "start", State: Left, Text: "ports are taken: " + s.taken, Mend: "free them, then " + by})
		return nil
	case s.o.NoStart:
		s.say("start", Left, "%s starts it", by)
		return nil
	}
	verbs := []string{"enable", "--now", service}
	if s.o.Machine.Systemctl(ctx, "is-active", "--quiet", service) == nil {
		if !s.changed {
			s.say("start", OK, "it runs")
			return nil
		}
		by, verbs = "systemctl restart yubin", []string{"restart", service}
	}
	return s.make("start", by, func() error {
		if err := s.o.Machine.Systemctl(ctx, "daemon-reload"); err != nil {
			return err
		}
		if err := s.o.Machine.Systemctl(ctx, verbs...); err != nil {
			return fmt.Errorf("%w; journalctl -u yubin says why", err)
		}
		return nil
	})
}

// may asks whether what is there may be changed; if not, it tells that it differs.
func (s *Setup) may(what string, st Step) bool {
	if s.o.DryRun || !s.o.Consent(what, st) {
		s.tell(st)
		return false
	}
	return true
}

// make does something, or says that it would be done.
func (s *Setup) make(name, text string, do func() error) error {
	if s.o.DryRun {
		s.say(name, ToMake, "%s", text)
		return nil
	}
	if err := do(); err != nil {
		s.tell(Step{Name: name, State: Wrong, Text: fmt.Sprintf("%s: %v", text, err), Mend: "mend it and run yubin setup again: it goes on"})
		return fmt.Errorf("%s could not be made; what was made before stays", name)
	}
	s.changed = true
	s.say(name, Made, "%s", text)
	return nil
}

// shown is a path as the machine has it.
func (s *Setup) shown(path string) string {
	if s.o.Root == "" {
		return path
	}
	if rest, inside := strings.CutPrefix(path, filepath.Clean(s.o.Root)); inside {
		return rest
	}
	return path
}

// write makes or replaces a file, whole or not at all; gid -1 leaves the group.
func (s *Setup) write(path string, from io.Reader, mode fs.FileMode, gid int) error {
	path = s.at(path)
	folder := filepath.Dir(path)
	if err := s.folder(folder); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = s.give(f.Name(), 0, gid, mode)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// folder makes a folder; that of the configuration is not for everybody.
func (s *Setup) folder(path string) error {
	if exists(path) {
		return nil
	}
	if path != s.at(configDir) {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	return s.give(path, 0, s.gid, 0o750)
}

// give makes a path somebody's, where this is a machine and not a folder.
func (s *Setup) give(path string, uid, gid int, mode fs.FileMode) error {
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	if s.o.Files {
		return nil
	}
	return s.o.Machine.Give(path, uid, gid)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// same reports whether two files have the same octets.
func same(a, b string) bool {
	if x, err := filepath.EvalSymlinks(a); err == nil && x == b {
		return true
	}
	in, err := os.Open(a)
	if err != nil {
		return false
	}
	defer in.Close()
	other, err := os.Open(b)
	if err != nil {
		return false
	}
	defer other.Close()
	one, two := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(in, one)
		m, errB := io.ReadFull(other, two)
		switch {
		case !bytes.Equal(one[:n], two[:m]):
			return false
		case errA != nil || errB != nil:
			return errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF) && errors.Is(errB, io.ErrUnexpectedEOF)
		}
	}
}
