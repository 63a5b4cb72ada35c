package proc

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestTree: a child belongs to the tree, and its memory to the sum.
func TestTree(t *testing.T) {
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	tree := Tree(os.Getpid())
	if !slices.Contains(tree, os.Getpid()) || !slices.Contains(tree, child.Process.Pid) {
		t.Errorf("tree %v lacks %d or %d", tree, os.Getpid(), child.Process.Pid)
	}
	if u := Memory(os.Getpid()); u.PSS <= 0 || u.RSS < u.PSS || u.Processes < 2 {
		t.Errorf("%+v", u)
	}
	_ = in.Close()
	_ = child.Wait()
	if slices.Contains(Tree(os.Getpid()), child.Process.Pid) {
		t.Error("a child that ended is in the tree")
	}
}

// TestSpent: work is seen.
func TestSpent(t *testing.T) {
	before := Spent(os.Getpid())
	x := 0
	for SelfCPU() < before.CPU+100_000_000 {
		x++
	}
	if u := Spent(os.Getpid()).Sub(before); u.CPU <= 0 {
		t.Errorf("%+v after %d turns", u, x)
	}
}

func TestFolderSize(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := FolderSize(dir); err != nil || n < 100_000 || n > 200_000 {
		t.Error(n, err)
	}
}
