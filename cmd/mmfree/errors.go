package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"mmfree/autograd"
	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/hf"
	"mmfree/data"
	"mmfree/data/corpus"
	"mmfree/data/shard"
	"mmfree/data/tasks"
	"mmfree/data/tokenizer"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
	"mmfree/train"
	"mmfree/train/bench"
	"mmfree/train/convert"
	"mmfree/train/eval"
	"mmfree/train/metrics"
	"mmfree/train/verify"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1   // the run failed
	exitRequest     = 2   // the request is wrong: usage, configuration, input file
	exitDifferent   = 3   // a verification found a difference
	exitInterrupted = 130 // stopped by a signal, after saving
)

var (
	errUsage       = errors.New("usage")
	errInterrupted = errors.New("stopped by a signal, everything so far is saved")
	errStopped     = errors.New("stopped by a signal")
	errHurried     = errors.New("stopped by a second signal, what was under way is not saved")
)

// outcome is one row of the table that decides what an error means to the caller.
type outcome struct {
	class error
	code  int
	fix   string // what to do, where no error in the chain knows better
}

// outcomes is the one table from class of error to exit code; the first row that fits decides. An error of no class is
// exitFailed.
func outcomes() []outcome {
	const request = "mend the request; mmfree VERB --help shows the usage"
	return []outcome{
		{errInterrupted, exitInterrupted, "to go on: mmfree train --resume DIR"},
		{errStopped, exitInterrupted, "nothing was left half-written; run it again"},
		{errHurried, exitInterrupted, "what was saved before is whole; run it again"},
		{context.Canceled, exitInterrupted, "it was stopped from outside; run it again"},
		{verify.ErrDifferent, exitDifferent, "the packed file was not made from these weights, or one of them is damaged: export it again"},
		{errUnwell, exitDifferent, "see what to do beside each check"},
		{errUsage, exitRequest, request},
		{train.ErrConfig, exitRequest, request},
		{spec.ErrConfig, exitRequest, request},
		{corpus.ErrCorpus, exitRequest, "check the files named by data.corpus or --corpus"},
		{shard.ErrFormat, exitRequest, "copy the folder again, or prepare the corpus again"},
		{data.ErrData, exitRequest, "give more text, or lower data.seq_len"},
		{tokenizer.ErrTokenizer, exitRequest, request},
		{tasks.ErrTask, exitRequest, request},
		{eval.ErrInput, exitRequest, request},
		{checkpoints.ErrCheckpoint, exitRequest, "check the path; a damaged checkpoint is passed over when the run folder is named"},
		{hf.ErrFolder, exitRequest, "config.json and weights do not belong together: get the folder again"},
		{format.ErrFormat, exitRequest, "the file is damaged: copy it again"},
		{pack.ErrPacked, exitRequest, "the packed file is damaged: export it again"},
		{metrics.ErrMetrics, exitRequest, "lines behind the last checkpoint are not needed: remove the damaged one"},
		{train.ErrInput, exitRequest, request},
		{convert.ErrConvert, exitRequest, request},
		{infer.ErrInput, exitRequest, request},
		{autograd.ErrInput, exitRequest, request},
		{kernel.ErrISA, exitRequest, "choose another MMFREE_ISA, or unset it"},
		{bench.ErrMemory, exitRequest, "choose a smaller shape or recipe, or free memory"},
		// What already stands at the target is the request's fault; every other failed write is the run's.
		{fs.ErrExist, exitRequest, "choose another name, or replace it with --force"},
		{train.ErrDiverged, exitFailed, "resume from a checkpoint before it with a lower train.lr, or a smaller train.clip"},
		{autograd.ErrNotFinite, exitFailed, "lower train.lr and begin again, or resume from an earlier checkpoint"},
		{durable.ErrGone, exitFailed, "put the file there again, and run again"},
		{durable.ErrLocked, exitRequest, "wait for it to end, or train in another folder"},
		{durable.ErrWrite, exitFailed, "check the disk; what was saved before is whole"},
		{syscall.ENOSPC, exitFailed, "make room on the disk; what was saved before is whole"},
		{syscall.EDQUOT, exitFailed, "make room on the disk; what was saved before is whole"},
		{syscall.EFBIG, exitFailed, "raise the limit on the size of files; what was saved before is whole"},
		{fs.ErrNotExist, exitRequest, "check the path"},
		{fs.ErrPermission, exitRequest, "check who may read it"},
	}
}

// hinter is an error that says what to do about it.
type hinter interface{ Hint() string }

// report prints err, if any, in two lines (each fault of a joined error in two of its own) and returns the exit code.
func report(w io.Writer, verb string, err error) int {
	if err == nil {
		return exitDone
	}
	for _, fault := range faults(err) {
		row := classify(fault)
		fix := row.fix
		if h := hinter(nil); errors.As(fault, &h) && h.Hint() != "" {
			fix = h.Hint()
		}
		if verb != "" {
			fmt.Fprintf(w, "mmfree: %s: %s\n", verb, oneLine(fault.Error()))
		} else {
			fmt.Fprintf(w, "mmfree: %s\n", oneLine(fault.Error()))
		}
		fmt.Fprintln(w, oneLine(fix))
	}
	return classify(err).code
}

func classify(err error) outcome {
	for _, row := range outcomes() {
		if errors.Is(err, row.class) {
			return row
		}
	}
	return outcome{err, exitFailed, "if it happens again, report it with the whole command line"}
}

// faults takes apart what errors.Join made: an error that says no more than its parts do, a line each. One that adds
// words of its own, or wraps a class beside a cause, is one fault.
func faults(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	var lines []string
	for _, e := range joined.Unwrap() {
		list = append(list, faults(e)...)
		lines = append(lines, e.Error())
	}
	if strings.Join(lines, "\n") != err.Error() {
		return []error{err}
	}
	return list
}

// oneLine keeps the promise of two lines an error, whatever a library put into its message.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// interruptedError is a run that was stopped and saved.
type interruptedError struct{ command string } // that goes on

func (e *interruptedError) Error() string { return errInterrupted.Error() }
func (e *interruptedError) Unwrap() error { return errInterrupted }
func (e *interruptedError) Hint() string  { return "to go on: " + e.command }

// usageError is a command line that cannot be understood.
type usageError struct{ problem, fix string }

func (e *usageError) Error() string { return e.problem }
func (e *usageError) Unwrap() error { return errUsage }
func (e *usageError) Hint() string  { return e.fix }

// usageFault turns what urfave/cli finds wrong into a usageError; it is the cli's OnUsageError.
func usageFault(c *cli.Context, err error, _ bool) error {
	problem := strings.NewReplacer("for flag -", "for flag --", "for -", "for --").Replace(err.Error())
	fix := "mmfree --help shows the usage"
	if c != nil && c.Command != nil && c.Command.UsageText != "" {
		fix = "usage: " + c.Command.UsageText
	}
	return &usageError{problem: problem, fix: fix}
}

// internalError is a panic that reached the top: a bug of ours, told without a stack trace.
type internalError struct{ cause string }

func (e *internalError) Error() string { return "internal error: " + e.cause }
func (e *internalError) Hint() string {
	return "this is a bug of mmfree: report it with the whole command line"
}
