package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/term"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
)

// maxDeclaration is how long a file for apply may be: a request has room for it.
const maxDeclaration = admin.MaxRequest / 2

type applyCmd struct {
	place
	File  string `arg:"" help:"The file, as yubin dump writes it; - is the standard input."`
	Prune bool   `help:"Remove what the file does not name: accounts with their mail, too."`
	Most  bool   `name:"prune-most" help:"With --prune: also if that is every domain, or more than half of the accounts."`
	Yes   bool   `help:"Do not ask." xor:"ask"`
	Plan  bool   `help:"Only say what would be changed." xor:"ask"`
}

func (c *applyCmd) Run(e *env) error {
	if c.Most && !c.Prune {
		return usagef("--prune-most goes with --prune")
	}
	declared, err := c.read(e)
	if err != nil {
		return err
	}
	return e.adminMaking(c.place, func(ctx context.Context, client *admin.Client) error {
		want := admin.Apply{Declaration: declared, Prune: c.Prune, PruneMost: c.Most}
		plan, err := client.Plan(ctx, want)
		switch {
		case err != nil:
			return err
		case len(plan.Steps) == 0:
			return e.did(plan, "nothing to do")
		case c.Plan:
			return e.show(plan, func(w io.Writer) { writeSteps(w, plan.Steps) })
		case !e.json:
			writeSteps(e.stdout, plan.Steps)
		}
		if !c.Yes {
			if err := c.agreed(e, len(plan.Steps)); err != nil {
				return err
			}
		}
		want.Steps = plan.Steps
		done, err := client.Apply(ctx, want)
		if err != nil {
			return err
		}
		return e.did(done, "%s done", count(len(done.Steps), "change", "changes"))
	})
}

func (c *applyCmd) read(e *env) (d admin.Declaration, err error) {
	in := io.NopCloser(e.stdin)
	if c.File != "-" {
		if in, err = e.input(c.place, c.File); err != nil {
			return d, err
		}
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxDeclaration+1))
	if err != nil {
		return d, err
	}
	if len(text) > maxDeclaration {
		return d, fmt.Errorf("%s is over %s", c.File, octets(maxDeclaration))
	}
	read := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	err = read.Decode(&d)
	var at *toml.DecodeError
	var unknown *toml.StrictMissingError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		line, _ := unknown.Errors[0].Position()
		return d, mail.Errorf(mail.Invalid, "%s, line %d: there is nothing called %s here", c.File, line, strings.Join(unknown.Errors[0].Key(), "."))
	case errors.As(err, &at):
		line, _ := at.Position()
		return d, mail.Errorf(mail.Invalid, "%s, line %d: %s", c.File, line, tomlFault(at))
	case err != nil:
		return d, mail.Errorf(mail.Invalid, "%s: %v", c.File, err)
	case reflect.DeepEqual(d, admin.Declaration{}):
		return d, mail.Errorf(mail.Invalid, "%s declares nothing: no domain, no account; did what wrote it fail?", c.File)
	}
	return d, nil
}

// wrongType is how the reader of TOML says that a value is of another kind than its key.
var wrongType = regexp.MustCompile(`cannot decode TOML ([a-z -]+) into struct field \S+ of type (\S+)`)

// tomlFault says what is wrong with a text in TOML, in the words of TOML.
func tomlFault(at *toml.DecodeError) string {
	m := wrongType.FindStringSubmatch(at.Error())
	if m == nil {
		return strings.TrimPrefix(at.Error(), "toml: ")
	}
	want := "a table"
	switch kind := strings.TrimLeft(m[2], "*"); {
	case kind == "bool":
		want = "true or false"
	case kind == "string":
		want = "a text"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		want = "a number"
	case strings.HasPrefix(kind, "[]"):
		want = "a list"
	}
	return fmt.Sprintf("%s must be %s, not %s %s", cmp.Or(strings.Join(at.Key(), "."), "this"), want, article(m[1]), m[1])
}

func article(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) {
		return "an"
	}
	return "a"
}

// agreed asks whether to go on.
func (c *applyCmd) agreed(e *env, steps int) error {
	in, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || c.File == "-" {
		return errors.New("nothing was changed: there is no terminal to ask; say --yes to make these changes")
	}
	fmt.Fprintf(e.stderr, "%s. Make them? [y/N] ", count(steps, "change", "changes"))
	answer, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

// writeSteps writes a plan, a line each.
func writeSteps(w io.Writer, steps []admin.Step) {
	signs := map[string]string{directory.StepAdd: "+", directory.StepChange: "~", directory.StepRemove: "-"}
	for _, s := range steps {
		text := signs[s.Verb] + " " + s.What
		switch {
		case s.From != "" && s.To != "":
			text += ": " + s.From + " -> " + s.To
		case s.From+s.To != "":
			text += ": " + s.From + s.To
		}
		writeLine(w, "%s", text)
	}
}

type dumpCmd struct {
	place
	Secrets bool `help:"With the hashes of passwords and the passwords of routes: keep the file safe."`
}

func (c *dumpCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		d, err := client.Dump(ctx, c.Secrets)
		if err != nil {
			return err
		}
		text, err := toml.Marshal(d)
		if err != nil {
			return err
		}
		return e.show(d, func(w io.Writer) { _, _ = w.Write(text) })
	})
}
