package repro

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mmfree/autograd"
	"mmfree/checkpoints/durable"
	"mmfree/ternary/kernel"
	"mmfree/train"
	"mmfree/train/bench"
	"mmfree/train/metrics"
)

// lab runs what experiments ask for, each thing once: what is in the folder already is read from there.
type lab struct {
	dir     string
	budget  Budget
	corpus  []string
	seed    uint64
	machine train.Machine
	hooks   Hooks
	table   *Table // of the experiment in progress
}

const (
	runsFolder = "runs"
	runFile    = "run.json" // in a run's folder, when it is finished
)

// job is a training run that an experiment asks for.
type job struct {
	arm    arm
	size   size
	tokens int
	lr     float64
	seed   int // 0, 1, …, beyond the report's own
	// variant changes what the configuration's arm is, under a name of its own.
	variant string
	change  func(c *train.Config)
	kernels func(s *kernel.Set) // changes the kernels: what config.yaml cannot say
	keep    bool                // the checkpoint, for later experiments
	from    *outcome            // a kept run whose weights the run starts from
	taught  bool                // by from
}

// outcome is a finished run.
type outcome struct {
	Name           string `json:"name"`
	Arm            string `json:"arm"`
	Size           string `json:"size"`
	Variant        string `json:"variant"`
	Seed           uint64 `json:"seed"`
	LR             Number `json:"lr"`
	Parameters     int64  `json:"parameters"`
	Tokens         int64  `json:"tokens"`
	Seconds        Number `json:"seconds"`
	TrainLoss      Number `json:"train_loss"`
	ValLoss        Number `json:"val_loss"`
	ValBitsPerByte Number `json:"val_bits_per_byte"`
	Diverged       bool   `json:"diverged"`
	Start          Number `json:"start_val_loss"`         // of the weights that it started from
	StartRounded   Number `json:"start_rounded_val_loss"` // of those rounded to trits at once
	Kept           bool   `json:"checkpoint_kept"`

	dir   string
	lines []metrics.Line
}

// unstable reports whether the run diverged, or lost again what it had learned: it ends 0.1 nats above its own best.
func (o *outcome) unstable() bool {
	if o.Diverged || math.IsNaN(float64(o.ValLoss)) {
		return true
	}
	best := math.Inf(1)
	for _, l := range o.lines {
		if l.Evaluated {
			best = math.Min(best, l.ValLoss)
		}
	}
	return float64(o.ValLoss) > best+0.1
}

// train runs a job, goes on with one that was stopped, or reads a finished one.
func (l *lab) train(ctx context.Context, j job) (*outcome, error) {
	c := l.config(j.arm, j.size, j.tokens, j.lr, l.seed+uint64(j.seed))
	if j.change != nil {
		j.change(&c)
	}
	if j.from != nil {
		c.FineTune.From, c.Data.Tokenizer = j.from.Name, train.TokenizerModel
	}
	if j.taught {
		c.Distill.Teacher = j.from.Name
	}
	what := j.arm.name
	if j.variant != "" {
		what += "-" + j.variant
	}
	sum := sha256.Sum256(append([]byte(j.variant+"\n"), c.Changes()...))
	if j.from != nil { // the name does not depend on where the report lies
		c.FineTune.From = j.from.dir
	}
	if j.taught {
		c.Distill.Teacher = j.from.dir
	}
	name := fmt.Sprintf("%s-%s-lr%g-seed%d-%s", j.size.name, what, j.lr, c.Train.Seed, hex.EncodeToString(sum[:4]))
	o := &outcome{
		Name: name, Arm: j.arm.name, Size: j.size.name, Variant: j.variant, Seed: c.Train.Seed, LR: Number(j.lr), Kept: j.keep,
		Start: none(), StartRounded: none(), dir: l.folder(name),
	}
	found, err := o.read(j.keep)
	if err != nil || found {
		return o, err
	}
	if l.hooks.Run != nil {
		l.hooks.Run(name)
	}
	machine := l.machine
	if j.kernels != nil {
		set := *machine.Set
		j.kernels(&set)
		machine.Set = &set
	}
	_, err = os.Stat(filepath.Join(o.dir, train.ConfigFile))
	r := train.Request{
		Config: c, Dir: o.dir, Machine: machine, Resume: err == nil, Bare: true, Hooks: train.Hooks{Step: l.hooks.Step},
	}
	result, err := train.Start(ctx, r)
	switch {
	case errors.Is(err, train.ErrDiverged) || errors.Is(err, autograd.ErrNotFinite):
		o.Diverged, o.TrainLoss, o.ValLoss, o.ValBitsPerByte, o.Seconds = true, none(), none(), none(), none()
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case result.Interrupted:
		return nil, ctx.Err()
	default:
		o.Parameters, o.Tokens, o.Seconds = result.Parameters, result.TokensSeen, Number(result.Seconds)
		o.TrainLoss, o.ValLoss, o.ValBitsPerByte = Number(result.TrainLoss), Number(result.ValLoss), Number(result.ValBitsPerByte)
		if f := result.FineTuned; f != nil {
			o.Start, o.StartRounded = Number(f.StartValLoss), Number(f.StartRoundedLoss)
		}
	}
	return o, o.finish(j.keep)
}

// read fills in a finished run; false where there is none, or its checkpoint is wanted and gone.
func (o *outcome) read(keep bool) (bool, error) {
	path := filepath.Join(o.dir, runFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	was := *o
	if err := json.Unmarshal(text, o); err != nil {
		return false, &train.InputError{Source: path, Problem: err.Error(), Fix: "remove the run's folder: it is made again"}
	}
	if keep && !o.Kept {
		*o = was
		return false, durable.RemoveDir(durable.OS{}, o.dir)
	}
	return true, o.readLines()
}

// readLines reads the run's losses. A figure is made of all of them or not at all.
func (o *outcome) readLines() error {
	path := filepath.Join(o.dir, train.MetricsFile)
	lines, warning, err := metrics.Read(durable.OS{}, path)
	if err == nil && warning != "" {
		err = &train.InputError{Source: path, Problem: warning, Fix: "remove the run's folder: it is made again"}
	}
	o.lines = lines
	return err
}

// finish writes what the run came to, and removes what nobody will read.
func (o *outcome) finish(keep bool) error {
	if err := o.readLines(); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(o.dir, runFile), o); err != nil {
		return err
	}
	errs := []error{os.RemoveAll(filepath.Join(o.dir, train.BoardFolder))}
	if !keep {
		errs = append(errs, os.RemoveAll(filepath.Join(o.dir, "checkpoints")))
	}
	return errors.Join(errs...)
}

// seeds trains a job with so many seeds and returns the runs with their losses.
func (l *lab) seeds(ctx context.Context, j job, n int) (runs []*outcome, losses sample, err error) {
	keep := j.keep
	for seed := range n {
		j.seed, j.keep = seed, keep && seed == 0
		o, err := l.train(ctx, j)
		if err != nil {
			return nil, nil, err
		}
		runs, losses = append(runs, o), append(losses, float64(o.ValLoss))
	}
	return runs, losses, nil
}

// folder returns where a run or a measurement of the experiment in progress lies, and names it in the experiment's table.
func (l *lab) folder(name string) string {
	if in := filepath.ToSlash(filepath.Join(runsFolder, name)); !slices.Contains(l.table.Runs, in) {
		l.table.Runs = append(l.table.Runs, in)
	}
	return filepath.Join(l.dir, runsFolder, name)
}

// measure returns the figures that f measures, or those that it measured before: they lie in the folder under the name.
func measure[T any](l *lab, name string, f func() (T, error)) (v T, err error) {
	dir := l.folder(name)
	path := filepath.Join(dir, runFile)
	text, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(text, &v); err != nil {
			return v, &train.InputError{Source: path, Problem: err.Error(), Fix: "remove the run's folder: it is made again"}
		}
		return v, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return v, err
	}
	if l.hooks.Run != nil {
		l.hooks.Run(name)
	}
	if v, err = f(); err != nil {
		return v, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return v, &durable.WriteError{Path: dir, Op: "make", Err: err}
	}
	return v, writeJSON(path, v)
}

// plot saves a picture of the experiment in progress.
func (l *lab) plot(name string, c metrics.Chart) error {
	l.table.Plots = append(l.table.Plots, name)
	return metrics.SaveChart(filepath.Join(l.dir, name), c)
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, path, durable.Bytes(append(text, '\n')))
}

// bench returns the setting of a measurement of about so many seconds.
func (l *lab) bench(seconds float64) bench.Setting {
	return bench.Setting{Set: l.machine.Set, Pool: l.machine.Pool, Budget: time.Duration(seconds * float64(time.Second))}
}
