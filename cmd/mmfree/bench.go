package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/urfave/cli/v2"

	"mmfree/autograd"
	"mmfree/train/bench"
	"mmfree/train/optim"
	"mmfree/train/recipes"
)

const (
	benchKernels, benchTrain, benchInfer = "kernels", "train", "infer"
	maxBenchSeconds                      = 86400
)

func benchVerb() *cli.Command {
	const groupWhat = "What is measured"
	return &cli.Command{
		Name: "bench", Usage: "measure kernels, training or inference beside what the machine can do at most",
		UsageText:   "mmfree bench kernels|train|infer [--recipe NAME | --shape 370m|1.3b|2.7b|13b] [--seconds S]",
		Description: "mmfree bench kernels --seconds 2",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "recipe", Usage: "train: the recipe `NAME`, or a YAML file", DefaultText: "bench-s", Category: groupWhat},
			&cli.StringFlag{Name: "shape", Usage: "infer, kernels: the published `SHAPE`, 370m, 1.3b, 2.7b or 13b", DefaultText: "infer 370m; kernels tiny, 370m, 1.3b", Category: groupWhat},
			&cli.Float64Flag{Name: "seconds", Value: 20, Usage: "take about `S` seconds", Category: groupWhat},
			threadsFlag(), jsonFlag(),
		},
		Action: benchAction,
	}
}

func benchAction(c *cli.Context) error {
	args, err := arguments(c, 1, "kernels|train|infer")
	if err != nil {
		return err
	}
	seconds := c.Float64("seconds")
	if !(seconds > 0 && seconds <= maxBenchSeconds) { // NaN too
		return &usageError{problem: fmt.Sprintf("--seconds is %g", seconds), fix: fmt.Sprintf("choose a number above 0, at most %d", maxBenchSeconds)}
	}
	what := args[0]
	for flag, fits := range map[string]bool{"recipe": what == benchTrain, "shape": what != benchTrain} {
		if c.IsSet(flag) && !fits {
			return &usageError{problem: fmt.Sprintf("--%s says nothing to bench %s", flag, what), fix: "usage: " + c.Command.UsageText}
		}
	}
	measure, err := benchOf(c, what)
	if err != nil {
		return err
	}
	how, err := machine(c)
	if err != nil {
		return err
	}
	defer how.Pool.Close()
	report, err := measure(c.Context, bench.Setting{Set: how.Set, Pool: how.Pool, Budget: duration(seconds), Start: startAnew(how.Pool.Threads())})
	if err != nil {
		return stopped(c.Context, err)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, report)
	}
	return printBench(c.App.Writer, report)
}

// startAnew returns what runs this program once more, with so many threads, to decode one token of a packed model.
func startAnew(threads int) func(ctx context.Context, model string) error {
	return func(ctx context.Context, model string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		logits := exec.CommandContext(ctx, self, "logits", model, "--ids", "0", "--out", model+".logits", "--force", "--threads", strconv.Itoa(threads))
		logits.Args[0] = os.Args[0]
		if said, err := logits.CombinedOutput(); err != nil {
			return fmt.Errorf("%s logits %s: %w: %s", os.Args[0], model, err, bytes.TrimSpace(said))
		}
		return nil
	}
}

// benchOf returns what the command line asks to be measured.
func benchOf(c *cli.Context, what string) (func(context.Context, bench.Setting) (*bench.Report, error), error) {
	switch what {
	case benchKernels:
		shapes, err := benchShapes(c)
		return func(ctx context.Context, s bench.Setting) (*bench.Report, error) {
			return bench.Kernels(ctx, s, shapes)
		}, err
	case benchTrain:
		r, err := benchRecipe(c.String("recipe"))
		return func(ctx context.Context, s bench.Setting) (*bench.Report, error) { return bench.Train(ctx, s, r) }, err
	case benchInfer:
		shape, err := benchShape(c.String("shape"))
		return func(ctx context.Context, s bench.Setting) (*bench.Report, error) { return bench.Infer(ctx, s, shape) }, err
	}
	return nil, &usageError{problem: fmt.Sprintf("%q cannot be measured", what), fix: "choose kernels, train or infer"}
}

func benchShape(name string) (bench.Shape, error) {
	shape, ok := bench.Published(name)
	if name == "" {
		shape, ok = bench.Published("370m")
	}
	if !ok {
		return shape, &usageError{problem: fmt.Sprintf("no published shape %q", name), fix: "choose 370m, 1.3b, 2.7b or 13b"}
	}
	return shape, nil
}

// benchShapes returns the shape that was asked for, or a small, a middle and a large one.
func benchShapes(c *cli.Context) ([]bench.Shape, error) {
	if c.IsSet("shape") {
		shape, err := benchShape(c.String("shape"))
		return []bench.Shape{shape}, err
	}
	const name = "tiny"
	small, err := recipes.Open(name)
	middle, _ := bench.Published("370m")
	large, _ := bench.Published("1.3b")
	return []bench.Shape{{Name: name, Model: small.Model}, middle, large}, err
}

// benchRecipe returns a recipe's step. Tokens are random, so a recipe whose vocabulary is its text's gets that of bytes.
func benchRecipe(name string) (bench.Recipe, error) {
	if name == "" {
		name = "bench-s"
	}
	config, err := recipes.Open(name)
	if err != nil {
		return bench.Recipe{}, err
	}
	if config.Model.VocabSize == 0 {
		config.Model.VocabSize = 256
	}
	h := config.Train
	r := bench.Recipe{
		Name: name, Model: config.Model, B: config.Data.BatchSize, T: config.Data.SeqLen, LR: h.LR,
		Hyper: optim.Hyper{Beta1: h.Beta1, Beta2: h.Beta2, Epsilon: h.Eps, WeightDecay: h.WeightDecay, Clip: h.Clip},
	}
	if h.WeightGradient == "int16" {
		r.WeightGradient = autograd.Int16
	}
	return r, config.Validate()
}
