package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train"
	"mmfree/train/metrics"
	"mmfree/train/recipes"
	"mmfree/train/verify"
)

func trainVerb() *cli.Command {
	const groupRun, groupText = "Run", "Text and model"
	return &cli.Command{
		Name: "train", Usage: "train a model on text, export it packed, and prove that both paths agree",
		UsageText:   "mmfree train [CONFIG] [--corpus FILE...] [--out DIR] [--set KEY=VALUE...] [--resume DIR] [--steps N]",
		Description: "mmfree train quickstart --steps 20 --out runs/example",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "corpus", TakesFile: true, Usage: "train on these text `FILE`s and folders", DefaultText: "the built-in text", Category: groupText},
			&cli.StringSliceFlag{Name: "set", Usage: "set one configuration key, as `KEY=VALUE`", Category: groupText},
			&cli.StringFlag{Name: "out", Usage: "run folder `DIR`", DefaultText: "the next free runs/NAME-N", Category: groupRun},
			&cli.StringFlag{Name: "resume", Usage: "go on with the run in `DIR`", Category: groupRun},
			&cli.IntFlag{Name: "steps", Usage: "stop after `N` optimiser steps", DefaultText: "as configured", Category: groupRun},
			seedFlag(), threadsFlag(), forceFlag(), jsonFlag(),
		},
		Action: trainAction,
	}
}

func trainAction(c *cli.Context) error {
	request, err := trainRequest(c)
	if err != nil {
		return err
	}
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
		err = printJSON(c.App.Writer, result)
	} else {
		err = printTrained(c.App.Writer, result)
	}
	switch {
	case err != nil:
		return err
	case result.Interrupted:
		return errInterrupted
	case result.Verify != nil && !result.Verify.Identical:
		return verify.ErrDifferent
	}
	return nil
}

// trainRequest reads CONFIG and the flags: the configuration of a recipe, a file, or the run to go on with, and over it
// what the command line says.
func trainRequest(c *cli.Context) (r train.Request, err error) {
	args, err := arguments(c, 0, "CONFIG")
	if err != nil {
		return r, err
	}
	name := recipes.Default
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
	for i, path := range r.Config.Data.Corpus { // config.yaml must mean the same wherever it is used
		if r.Config.Data.Corpus[i], err = filepath.Abs(path); err != nil {
			return r, err
		}
	}
	return r, nil
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

// watcher shows a run's course on stderr.
type watcher struct {
	w        io.Writer
	progress *ui.Progress
	began    time.Time
	first    int64
	valBPB   float64
}

func newWatcher(stderr *os.File) *watcher {
	return &watcher{
		w: stderr, began: time.Now(), valBPB: math.NaN(),
		progress: ui.NewProgress(stderr, func() int { return ui.Width(stderr) }, time.Now),
	}
}

func (x *watcher) start(p train.Plan) {
	m := p.Config.Model
	fmt.Fprintf(x.w, "model   %s, %s parameters, %s of them ternary: d %d, %d layers, vocabulary %d\n",
		m.Arch, ui.Count(float64(p.Parameters)), ui.Count(float64(p.Ternary)), m.HiddenSize, m.NumHiddenLayers, m.VocabSize)
	fmt.Fprintf(x.w, "text    %s: %s tokens to train on, %s held out\n",
		p.Corpus, ui.Count(float64(p.TrainTokens)), ui.Count(float64(p.ValTokens)))
	fmt.Fprintf(x.w, "run     %s, from step %d\n", p.Dir, p.FirstStep)
	x.first = p.FirstStep
}

func (x *watcher) step(p train.Progress) {
	if p.Evaluated {
		x.valBPB = p.ValBitsPerByte
	}
	s := ui.Status{
		Step: p.Step, Steps: p.Steps, Loss: p.Loss, ValBPB: x.valBPB, TokensPerSecond: p.TokensPerSecond,
		RSSBytes: p.RSSBytes, LR: p.LR, Elapsed: time.Duration(p.Seconds * float64(time.Second)),
	}
	if p.Share > 0 {
		s.ETA = time.Duration(p.Seconds * (1 - p.Share) / p.Share * float64(time.Second))
	}
	if p.Share >= 1 {
		x.progress.Finish(s)
		fmt.Fprintln(x.w, "trained; now evaluating, exporting and verifying")
		return
	}
	x.progress.Update(s)
}

func (x *watcher) notice(text string) { x.progress.Println(text) }

// printTrained prints the result for people.
func printTrained(w io.Writer, r *train.Result) error {
	if !r.Interrupted {
		lines, err := metrics.Read(filepath.Join(r.RunDir, train.MetricsFile))
		if err != nil {
			return err
		}
		var loss, val ui.Series
		for _, l := range lines {
			loss.Steps, loss.Values = append(loss.Steps, l.Step), append(loss.Values, r.BitsPerByte(l.Loss))
			if l.Evaluated {
				val.Steps, val.Values = append(val.Steps, l.Step), append(val.Values, l.ValBitsPerByte)
			}
		}
		style := ui.CurveStyle{Unit: "bits per byte"}
		if f, ok := w.(*os.File); ok {
			style.Width, style.Color = ui.Width(f), ui.Color(f)
		}
		if err := ui.Curve(w, loss, val, style); err != nil {
			return err
		}
	}
	rows := [][]string{
		{"steps", fmt.Sprintf("%d, %s tokens in %s, %s tokens/s", r.Steps, ui.Count(float64(r.TokensSeen)),
			ui.Duration(time.Duration(r.Seconds*float64(time.Second))), ui.Count(r.TokensPerSecond))},
		{"memory", ui.Bytes(r.PeakRSSBytes) + " at most"},
		{"run", r.RunDir},
	}
	if r.SkippedSteps > 0 {
		rows = append(rows, []string{"skipped", fmt.Sprintf("%d steps whose loss or gradient was not finite", r.SkippedSteps)})
	}
	if !math.IsNaN(r.ValBitsPerByte) {
		rows = append(rows, []string{"validation", fmt.Sprintf("%.4f bits per byte", r.ValBitsPerByte)})
	}
	if r.Packed != nil {
		rows = append(rows, []string{"packed", fmt.Sprintf("%s, %s, %.3f bits a ternary weight", r.Packed.Path, ui.Bytes(r.Packed.Bytes), r.Packed.BitsPerWeight)})
	}
	if r.Verify != nil {
		rows = append(rows, []string{"verified", verdict(r.Verify)})
	}
	if err := ui.Table(w, nil, rows); err != nil || r.Sample == "" {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Sample)
	return err
}

// verdict says in one line what a verification found.
func verdict(v *verify.Report) string {
	if !v.Identical {
		return fmt.Sprintf("DIFFERENT: %d of %d values, the first in %s at %d", v.Mismatches, v.ValuesCompared, v.First.Tensor, v.First.Index)
	}
	return fmt.Sprintf("%d logits, %d values in all, identical in every bit; %s weight adds, %d weight multiplies",
		v.LogitsCompared, v.ValuesCompared, ui.Count(float64(v.Operations.WeightAdds)), v.Operations.WeightMultiplies)
}
