package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// A move fills a folder with what another one has, and then one file decides which of
// the two is the post office: movedFile in the old one.
//
//	in the new folder                    in the old folder   a server starts on
//	fillingFile: copying                 marker              the old one
//	fillingFile: ready                   marker              the old one
//	fillingFile: ready                   marker, movedFile   the new one, which gets its marker then
//	marker, fillingFile: ready           marker, movedFile   the new one, see Unsettled
//	marker                               marker, movedFile   the new one
const movedFile = "yubin-moved"

// How fillingFile begins while a move fills the folder; the old folder's path follows,
// quoted.
const (
	copyingHead = "yubin move, copying from "
	readyHead   = "yubin move, complete once it is told so by "
	maxNote     = 8 << 10
)

// MovedError says that what a data folder held is elsewhere now.
type MovedError struct{ Path, To string }

func (e *MovedError) Error() string {
	return fmt.Sprintf("the post office of %s has moved to %s; start it there", e.Path, e.To)
}

// MarkMoved says for good that what the folder held is at to: it is opened no more.
func (d *Dir) MarkMoved(to string) error {
	folder, err := files.Open(d.path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return errors.Join(folder.Replace(movedFile, fmt.Appendf(nil, "%q\n", realPath(to))), folder.Sync("."))
}

// movedTo is where what a folder held is now; "" if it is there.
func movedTo(path string) (string, error) {
	text, err := files.ReadFile(filepath.Join(path, movedFile), maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("data folder %s cannot be read: %w", path, cause(err))
	}
	return unquoted(string(text)), nil
}

// unquoted is what a note of one quoted path says.
func unquoted(text string) string {
	var path string
	if _, err := fmt.Sscanf(text, "%q", &path); err != nil {
		return strings.TrimSpace(text)
	}
	return path
}

func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if at, err := filepath.EvalSymlinks(path); err == nil {
		return at
	}
	return path
}

// Continue is Fill for a move from the folder from: what an earlier one from there left
// is kept.
func Continue(path, from string) (*Filling, error) {
	folder, err := files.Make(path)
	if err != nil {
		return nil, fmt.Errorf("data folder %s cannot be made: %w", path, cause(err))
	}
	f := &Filling{folder: folder}
	if err := f.goOn(path, realPath(from)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Filling) goOn(path, from string) error {
	if err := checkOwner(path); err != nil {
		return err
	}
	state, of, err := fillingOf(path)
	if err != nil {
		return err
	}
	if _, err := f.folder.Root().Lstat(markerFile); err == nil {
		return mail.Errorf(mail.Conflict, "%s is a data folder already; a move goes into a new one", path)
	}
	switch {
	case state == "":
		if err := f.mayFill(path); err != nil {
			return mail.Errorf(mail.Conflict, "%s is not empty; a move goes into a new folder", path)
		}
	case of != from:
		return mail.Errorf(mail.Conflict, "%v", notComplete(path, state, of))
	}
	if err := f.folder.Replace(fillingFile, fmt.Appendf(nil, "%s%q\n", copyingHead, from)); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", path, cause(err))
	}
	if f.dir, err = take(path); err != nil {
		return err
	}
	return errors.Join(tighten(path), f.sync())
}

// Ready says that the folder is complete as soon as the folder from is marked to have
// moved here. What is in it must be durable.
func (f *Filling) Ready(from string) error {
	return errors.Join(f.folder.Replace(fillingFile, fmt.Appendf(nil, "%s%q\n", readyHead, realPath(from))), f.sync())
}

// fillingOf says how far a folder is filled by a move: copyingHead or readyHead, and
// from where; fillingText if a restore fills it, "" if nobody does.
func fillingOf(path string) (state, from string, err error) {
	text, err := files.ReadFile(filepath.Join(path, fillingFile), maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("data folder %s cannot be read: %w", path, cause(err))
	}
	for _, head := range []string{copyingHead, readyHead} {
		if rest, ok := strings.CutPrefix(string(text), head); ok {
			return head, unquoted(rest), nil
		}
	}
	return fillingText, "", nil
}

// finish gives its marker to a folder that a move filled wholly, if the move was cut
// short after the old folder had been marked. The error says why the folder is not
// complete; nil too if nobody fills it.
func finish(path string) (done bool, err error) {
	state, from, err := fillingOf(path)
	if err != nil || state == "" {
		return false, err
	}
	if state == readyHead {
		to, err := movedTo(from)
		if err != nil {
			return false, err
		}
		if to == realPath(path) {
			if err := writeMarker(filepath.Join(path, markerFile)); err != nil && !errors.Is(err, fs.ErrExist) {
				return false, fmt.Errorf("data folder %s cannot be written: %w", path, cause(err))
			}
			return true, syncFolder(path)
		}
	}
	return false, notComplete(path, state, from)
}

// notComplete says what to do with a folder that is being filled.
func notComplete(path, state, from string) error {
	if state == fillingText {
		return fmt.Errorf("data folder %s is not complete: a restore writes it, or was cut short; run the restore again", path)
	}
	return fmt.Errorf("data folder %s is not complete: a move from %s writes it, or was cut short; the post office is at %s; run the move again", path, from, from)
}

// Unsettled reports whether a move was cut short after the folder had become the post
// office: what the move kept in the database goes, then Settle is called.
func (d *Dir) Unsettled() bool {
	_, err := os.Lstat(d.Path(fillingFile))
	return err == nil
}

// Settle ends the move.
func (d *Dir) Settle() error {
	return errors.Join(os.Remove(d.Path(fillingFile)), syncFolder(d.path))
}
