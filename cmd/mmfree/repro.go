package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train"
	"mmfree/train/repro"
)

func reproVerb() *cli.Command {
	const groupWhat = "What is checked"
	return &cli.Command{
		Name: "repro", Usage: "check the papers' claims in miniature: their figures beside ours, with verdicts",
		UsageText:   "mmfree repro [ID...] [--budget quick|full] [--corpus FILE...] [--out DIR]",
		Description: "mmfree repro --list",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "budget", Value: string(repro.Quick), Usage: "`quick`, at most an hour for all on 2 cores, or full, a night with 3 seeds", Category: groupWhat},
			&cli.StringSliceFlag{Name: "corpus", TakesFile: true, Usage: "train on these text `FILE`s and folders", DefaultText: "the built-in text", Category: groupWhat},
			&cli.BoolFlag{Name: "list", Usage: "print claims and rules, and run nothing", Category: groupWhat, DisableDefaultText: true},
			&cli.StringFlag{Name: "out", Usage: "folder `DIR` of runs and report; one of the same setting is gone on with", DefaultText: "runs/repro-BUDGET", Category: groupOutput},
			seedFlag(), threadsFlag(), forceFlag(), jsonFlag(),
		},
		Action: reproAction,
	}
}

func reproAction(c *cli.Context) error {
	r := repro.Request{
		IDs: c.Args().Slice(), Budget: repro.Budget(c.String("budget")), Dir: c.String("out"), Replace: c.Bool("force"), Seed: c.Uint64("seed"),
	}
	experiments, err := repro.Find(r.IDs)
	if err != nil {
		return err
	}
	switch r.Budget {
	case repro.Quick, repro.Full, repro.Test:
	default:
		return &usageError{problem: fmt.Sprintf("--budget is %q", r.Budget), fix: "choose " + strings.Join(repro.Budgets(), " or ")}
	}
	if c.Bool("list") {
		return listExperiments(c, experiments)
	}
	if r.Dir == "" {
		r.Dir = filepath.Join("runs", "repro-"+string(r.Budget))
	}
	for _, path := range c.StringSlice("corpus") { // runs' config.yaml must mean the same wherever it is used
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		r.Corpus = append(r.Corpus, path)
	}
	if r.Machine, err = machine(c); err != nil {
		return err
	}
	defer r.Machine.Pool.Close()
	watch := newWatcher(os.Stderr)
	r.Hooks = repro.Hooks{Begin: watch.experiment, Run: watch.run, Step: watch.miniature, Done: watch.decided}
	report, err := repro.Start(c.Context, r)
	watch.progress.Stop()
	if err != nil {
		if c.Context.Err() != nil {
			return &interruptedError{command: "the same command line again; the report is in " + r.Dir}
		}
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, report)
	}
	return printReport(c.App.Writer, report)
}

func listExperiments(c *cli.Context, list []repro.Experiment) error {
	if c.Bool("json") {
		return printJSON(c.App.Writer, struct {
			Experiments []repro.Experiment `json:"experiments"`
		}{list})
	}
	for _, e := range list {
		fmt.Fprintf(c.App.Writer, "%s  %s\n    claim: %s\n    rule: %s\n", e.ID, e.Title, e.Claim, e.Rule)
	}
	return nil
}

// experiment states the claim and the rule for its verdict, before anything of it runs.
func (x *watcher) experiment(e *repro.Experiment) {
	x.notice(fmt.Sprintf("%s  %s\nclaim   %s\nrule    %s", e.ID, e.Title, e.Claim, e.Rule))
}

// run names the run that begins, of which nothing has been seen yet.
func (x *watcher) run(name string) {
	x.valBPB, x.health = math.NaN(), ""
	x.notice(name)
}

// miniature shows a training run's progress as one among many.
func (x *watcher) miniature(p train.Progress) { x.update(p, false) }

func (x *watcher) decided(t *repro.Table) {
	x.notice(fmt.Sprintf("%s  %s: %s\n", t.ID, t.Verdict, t.Because))
}

// printReport prints every table for people, and where the report lies.
func printReport(w io.Writer, r *repro.Report) error {
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s  %s\n%s\nrule: %s\n", t.ID, t.Title, t.Claim, t.Rule)
		var rows [][]string
		for _, row := range t.Rows {
			rows = append(rows, []string{row.Setting, row.Metric, row.Paper.String(), row.Ours.String(), row.Spread.String(), row.Unit})
		}
		if err := ui.Table(w, []string{"SETTING", "METRIC", "PAPER", "OURS", "±", "UNIT"}, rows); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %s\n\n", t.Verdict, t.Because)
	}
	_, err := fmt.Fprintf(w, "report: %s\n", filepath.Join(r.Dir, repro.ReportFile))
	return err
}
