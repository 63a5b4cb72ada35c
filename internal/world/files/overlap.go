package files

import (
	"os"
	"path/filepath"
)

// Overlap reports whether two paths are the same or one is in the other, under
// whatever names: links and mounts are looked through.
func Overlap(a, b string) bool {
	a, b = realPath(a), realPath(b)
	return within(a, b) || within(b, a)
}

// realPath resolves links as far as the path is there.
func realPath(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(realPath(parent), filepath.Base(path))
	}
	return path
}

func within(path, folder string) bool {
	if rest, err := filepath.Rel(folder, path); err == nil && (rest == "." || filepath.IsLocal(rest)) {
		return true
	}
	is, err := os.Stat(folder)
	for err == nil {
		if at, err := os.Stat(path); err == nil && os.SameFile(at, is) {
			return true
		}
		parent := filepath.Dir(path)
		if parent == path {
			break
		}
		path = parent
	}
	return false
}
