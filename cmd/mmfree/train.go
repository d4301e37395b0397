package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/data/corpus"
	"mmfree/train"
	"mmfree/train/recipes"
	"mmfree/train/verify"
)

func trainVerb() *cli.Command {
	return &cli.Command{
		Name: "train", Usage: "train a model on text, export it packed, and prove that both paths agree",
		UsageText:   "mmfree train [CONFIG] [--corpus FILE...] [--out DIR] [--set KEY=VALUE...] [--resume DIR] [--steps N]",
		Description: "mmfree train tiny --steps 20 --out runs/example",
		Flags:       runFlags(),
		Action: func(c *cli.Context) error {
			request, err := trainRequest(c, recipes.Default, nil)
			if err != nil {
				return err
			}
			return trainAction(c, request)
		},
	}
}

// Groups of the flags of a run.
const groupRun, groupText = "Run", "Text and model"

// runFlags are the flags of every verb that trains.
func runFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "corpus", TakesFile: true, Usage: "train on these `FILE`s and folders, or on one folder of shards", DefaultText: "the built-in text", Category: groupText},
		&cli.StringSliceFlag{Name: "set", Usage: "set one configuration key, as `KEY=VALUE`", Category: groupText},
		&cli.StringFlag{Name: "out", Usage: "run folder `DIR`", DefaultText: "the next free runs/NAME-N", Category: groupRun},
		&cli.StringFlag{Name: "resume", Usage: "go on with the run in `DIR`", Category: groupRun},
		&cli.IntFlag{Name: "steps", Usage: "stop after `N` optimiser steps", DefaultText: "as configured", Category: groupRun},
		seedFlag(), threadsFlag(), forceFlag(), jsonFlag(),
	}
}

func trainAction(c *cli.Context, request train.Request) (err error) {
	if request.Machine, err = machine(c); err != nil {
		return err
	}
	defer request.Machine.Pool.Close()

	watch := newWatcher(os.Stderr)
	request.Hooks = train.Hooks{Start: watch.start, Step: watch.step, Notice: watch.notice}
	result, err := train.Start(c.Context, request)
	watch.progress.Stop()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = printRun(c.App.Writer, result)
	} else {
		err = printTrained(c.App.Writer, result)
	}
	switch {
	case err != nil:
		return err
	case result.Interrupted:
		return &interruptedError{command: "mmfree train --resume " + result.RunDir}
	case result.Verify != nil && !result.Verify.Identical:
		return verify.ErrDifferent
	}
	return nil
}

// printRun prints the result as JSON, of a run from weights with what it has beside.
func printRun(w io.Writer, r *train.Result) error {
	if r.FineTuned == nil {
		return printJSON(w, r)
	}
	return printJSON(w, struct {
		train.Result
		train.FineTuned
	}{*r, *r.FineTuned})
}

// trainRequest reads CONFIG (by default the recipe of that name) and the flags: the configuration of a recipe, a file, or
// the run to go on with, over it what begin says, where the run is a new one, and over that what --set and its like say.
func trainRequest(c *cli.Context, name string, begin func(*train.Config) error) (r train.Request, err error) {
	args, err := arguments(c, 0, "CONFIG")
	if err != nil {
		return r, err
	}
	if len(args) == 1 {
		name = args[0]
	}
	r = train.Request{Dir: c.String("out"), Replace: c.Bool("force")}
	if r.Dir == "" {
		r.Dir = freeFolder("runs", strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)))
	}
	if c.IsSet("resume") {
		if len(args) > 0 || c.IsSet("out") || c.IsSet("corpus") {
			return r, &usageError{problem: "--resume takes configuration, folder and text from the run", fix: "leave out CONFIG, --out and --corpus"}
		}
		r.Dir, r.Resume = c.String("resume"), true
		name = filepath.Join(r.Dir, train.ConfigFile)
	}
	if r.Config, err = recipes.Open(name); err != nil {
		return r, err
	}
	if begin != nil && !r.Resume {
		if err := begin(&r.Config); err != nil {
			return r, err
		}
	}
	overrides := c.StringSlice("set")
	if c.IsSet("steps") {
		overrides = append(overrides, fmt.Sprintf("train.steps=%d", c.Int("steps")))
	}
	if c.IsSet("seed") {
		overrides = append(overrides, fmt.Sprintf("train.seed=%d", c.Uint64("seed")))
	}
	if err := r.Config.Set(overrides...); err != nil {
		return r, err
	}
	if c.IsSet("corpus") {
		r.Config.Data.Corpus = c.StringSlice("corpus")
	}
	return r, absolute(&r.Config)
}

// absolute makes the paths of a configuration absolute: config.yaml must mean the same wherever it is used.
func absolute(c *train.Config) (err error) {
	for _, list := range [][]string{c.Data.Corpus, c.FineTune.Replay} {
		for i := range list {
			if list[i] == corpus.Stdin {
				continue // no path; what reads it says what to do
			}
			if list[i], err = filepath.Abs(list[i]); err != nil {
				return err
			}
		}
	}
	for _, path := range []*string{&c.FineTune.From, &c.Distill.Teacher, &c.Distill.Cache} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	return nil
}

// freeFolder returns the first of dir/name-1, dir/name-2 … that does not exist.
func freeFolder(dir, name string) string {
	for n := 1; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d", name, n))
		if _, err := os.Lstat(path); err != nil {
			return path
		}
	}
}
