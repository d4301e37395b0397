package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/train"
)

// withModel opens the verb's MODEL, warns of what is odd about it, and calls use with it and a machine.
func withModel(c *cli.Context, path string, use func(*train.Model, train.Machine) error) (err error) {
	how, err := machine(c)
	if err != nil {
		return err
	}
	defer how.Pool.Close()
	m, err := train.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	warn(c.App.ErrWriter, m.Warnings)
	return use(m, how)
}

func warn(w io.Writer, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintln(w, "warning: "+oneLine(text))
	}
}

// outPath returns --out, which must be given and free.
func outPath(c *cli.Context) (string, error) {
	if c.Path("out") == "" {
		return "", &usageError{problem: "--out is missing", fix: "say where the result belongs: --out PATH"}
	}
	return c.Path("out"), free(c, "out")
}

// free returns an error unless the path of a flag lies in a folder that exists and, without --force, does not exist
// itself. It is asked before the work begins, which would otherwise be lost.
func free(c *cli.Context, flag string) error {
	path := c.Path(flag)
	switch _, err := os.Lstat(path); {
	case err == nil && !c.Bool("force"):
		return &fs.PathError{Op: "write", Path: path, Err: fs.ErrExist}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &fs.PathError{Op: "write", Path: path, Err: errors.Unwrap(err)}
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return &usageError{problem: fmt.Sprintf("--%s: there is no folder %s", flag, filepath.Dir(path)), fix: "make it first, or choose another path"}
	}
	return nil
}

func outFlag(what string) cli.Flag {
	return &cli.PathFlag{Name: "out", Usage: "write " + what + " to `PATH`", Category: groupOutput}
}

// stopped returns err, but where the context was cancelled says so plainly.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return errStopped
	}
	return err
}

// dimensions writes a shape for people: 256x96.
func dimensions(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "x")
}
