// Package arch checks which package of yubin imports which: the folders are
// the architecture, and this is the rule that keeps them so. It also knows methods
// that only one package may call, by their names, and that the tables of an engine
// are named in no other package's SQL. Test files are free to import, call and read
// what they need.
//
// The tiers, each importing only what its row in the table names:
//
//	words          mail scan dns message
//	languages      proto/* mailauth/*
//	world          world/*
//	engines        engine/*
//	conversations  session/*
//	installation   deploy: files that are put onto a machine
//	assembly       server, cmd/yubin; and testkit for tests
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "yubin/"

// Violation is one import, call or SQL that the tables do not allow.
type Violation struct {
	File string // slash-separated, from the root of the tree
	Line int
	What string // "imports yubin/internal/mail", "calls Deliver", "reads or writes table blob"
	Why  string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", v.File, v.Line, v.What, v.Why)
}

// Check reads every Go file below internal/ and cmd/ of tree, save tests and
// testdata, and returns what breaks the tables, in the order of the files: first
// imports and calls, then SQL.
func Check(tree fs.FS) ([]Violation, error) {
	var found []Violation
	var sql statements
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipDir(name):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		bad, err := checkFile(tree, name, &sql)
		found = append(found, bad...)
		return err
	})
	return append(found, sql.violations()...), err
}

// skipDir leaves out what is no part of the program: only internal and cmd of
// the root are looked at, and no testdata anywhere.
func skipDir(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return name != "." && top != "internal" && top != "cmd" || path.Base(name) == "testdata"
}

// checkFile checks the imports and calls of a file, and gathers its SQL.
func checkFile(tree fs.FS, name string, sql *statements) ([]Violation, error) {
	src, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []Violation
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := refusal(path.Dir(name), imported); why != "" {
			found = append(found, Violation{name, files.Position(spec.Pos()).Line, "imports " + imported, why})
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				sql.add(name, files.Position(n.Pos()).Line, text)
			}
		case *ast.SelectorExpr:
			if owner := callers[n.Sel.Name]; owner != "" && owner != path.Dir(name) && within(name, "internal") {
				found = append(found, Violation{name, files.Position(n.Sel.Pos()).Line, "calls " + n.Sel.Name, "only " + owner + " may"})
			}
		}
		return true
	})
	return found, nil
}

// refusal says why the package in folder may not import imported, or "".
func refusal(folder, imported string) string {
	from := tierOf(folder)
	if from == nil {
		return folder + " belongs to no tier"
	}
	target, ours := strings.CutPrefix(imported, module)
	if !ours {
		return from.refuseForeign(folder, imported)
	}
	to := tierOf(target)
	switch {
	case to == nil:
		return target + " belongs to no tier"
	case unit(folder) == unit(target), from.all:
		return ""
	case slices.Contains(from.imports, to.name):
		return ""
	case slices.ContainsFunc(from.also, func(p string) bool { return within(target, p) }):
		return ""
	case from.own != nil && slices.Contains(from.own[path.Base(unit(folder))], target):
		return ""
	}
	return fmt.Sprintf("%s may not import %s", from.name, to.name)
}

func (t *tier) refuseForeign(folder, imported string) string {
	for _, p := range t.refuses {
		if imported == p && !slices.Contains(t.touches[path.Base(unit(folder))], p) {
			return fmt.Sprintf("%s may not touch it; the world tier does", t.name)
		}
	}
	return ""
}

// unit is the package whose parts may import each other: the folder at the
// depth where its tier lists packages, with all below it.
func unit(folder string) string {
	parts := strings.Split(folder, "/")
	depth := 2
	if t := tierOf(folder); t != nil && t.families {
		depth = 3
	}
	return strings.Join(parts[:min(depth, len(parts))], "/")
}

func tierOf(folder string) *tier {
	for i := range tiers {
		if slices.ContainsFunc(tiers[i].folders, func(p string) bool { return within(folder, p) }) {
			return &tiers[i]
		}
	}
	return nil
}

func within(folder, parent string) bool {
	return folder == parent || strings.HasPrefix(folder, parent+"/")
}
