package repro

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"mmfree/checkpoints/durable"
	"mmfree/data/corpus"
	"mmfree/train"
	"mmfree/train/bench"
	"mmfree/train/metrics"
)

// Request says which claims are checked, how thoroughly, on which text, and where to.
type Request struct {
	IDs     []string // none: all
	Budget  Budget
	Corpus  []string // none: the built-in text
	Dir     string   // of the report; one that holds a report of the same setting is gone on with
	Replace bool     // a report of another setting is removed
	Seed    uint64
	Machine train.Machine
	Hooks   Hooks
}

// Hooks let a caller watch; nil ones are left out.
type Hooks struct {
	Begin func(e *Experiment)    // before an experiment runs
	Run   func(name string)      // before a run that is not there yet
	Step  func(p train.Progress) // of a training run
	Done  func(t *Table)         // behind an experiment
}

// Report is all that a folder's experiments came to.
type Report struct {
	Dir     string  `json:"report"` // the folder
	Setting         // what the figures depend on
	Seconds float64 `json:"seconds"`
	Tables  []Table `json:"tables"`
}

// Setting is what a report's figures depend on; a folder has one.
type Setting struct {
	Budget       Budget   `json:"budget"`
	Corpus       []string `json:"corpus"` // as named; empty: the built-in text
	CorpusSHA256 string   `json:"corpus_sha256"`
	CorpusName   string   `json:"corpus_name"`
	Seed         uint64   `json:"seed"`
	CPU          string   `json:"cpu"`
	ISA          string   `json:"isa"`
	Cores        int      `json:"cores"`
	Threads      int      `json:"threads"`
}

// Names in a report's folder.
const (
	ReportFile  = "report.md"
	RulesFile   = "rules.md" // every claim and rule, from before the first run
	reportJSON  = "report.json"
	settingFile = "setting.json"
)

// Start runs experiments and writes the report behind each of them. A cancelled ctx stops between steps with ctx's error;
// called again with the same request, it goes on where it stopped.
func Start(ctx context.Context, r Request) (*Report, error) {
	experiments, err := Find(r.IDs)
	if err != nil {
		return nil, err
	}
	setting, err := r.setting()
	if err != nil {
		return nil, err
	}
	report, lock, err := openReport(&r, setting)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	l := &lab{dir: r.Dir, budget: r.Budget, corpus: r.Corpus, seed: r.Seed, machine: r.Machine, hooks: r.Hooks}
	for i := range experiments {
		e := &experiments[i]
		if r.Hooks.Begin != nil {
			r.Hooks.Begin(e)
		}
		begun := time.Now()
		t := Table{ID: e.ID, Title: e.Title, Claim: e.Claim, Rule: e.Rule, Verdict: Inconclusive}
		l.table = &t
		if err := e.do(ctx, l, &t); err != nil {
			return nil, fmt.Errorf("%s: %w", e.ID, err)
		}
		t.Seconds = time.Since(begun).Seconds()
		report.add(t)
		if err := report.write(); err != nil {
			return nil, err
		}
		if r.Hooks.Done != nil {
			r.Hooks.Done(&t)
		}
	}
	return report, nil
}

// setting reads the text, so that a report cannot go on with another one.
func (r *Request) setting() (s Setting, err error) {
	var text *corpus.Corpus
	if len(r.Corpus) == 0 {
		text, s.CorpusName, err = corpus.Builtin(corpus.GoRoot())
	} else {
		text, err = corpus.Load(r.Corpus)
		var names []string
		for _, path := range r.Corpus {
			names = append(names, filepath.Base(path))
		}
		s.CorpusName = strings.Join(names, ", ")
	}
	if err != nil {
		return s, err
	}
	s.Budget, s.Corpus, s.CorpusSHA256, s.Seed = r.Budget, r.Corpus, text.SHA256, r.Seed
	s.CPU, s.ISA, s.Cores, s.Threads = bench.CPUName(), r.Machine.Set.Name, runtime.NumCPU(), r.Machine.Pool.Threads()
	return s, nil
}

// openReport makes the folder, or opens the report that is there, and states the rules.
func openReport(r *Request, s Setting) (*Report, *os.File, error) {
	report := &Report{Dir: r.Dir, Setting: s}
	path := filepath.Join(r.Dir, settingFile)
	text, err := os.ReadFile(path)
	if err == nil && r.Replace {
		lock, locked := durable.Lock(r.Dir) // not while somebody writes in it
		if locked != nil {
			return nil, nil, locked
		}
		if err := errors.Join(durable.RemoveDir(durable.OS{}, r.Dir), lock.Close()); err != nil {
			return nil, nil, err
		}
		err = os.ErrNotExist
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		if entries, _ := os.ReadDir(r.Dir); len(entries) > 0 {
			return nil, nil, &train.FolderError{Path: r.Dir, Problem: "the folder holds " + entries[0].Name() + ", which is no report's", Fix: "choose a folder that is empty or does not exist"}
		}
	case err != nil:
		return nil, nil, err
	default:
		var was Setting
		if err := json.Unmarshal(text, &was); err != nil {
			return nil, nil, &train.InputError{Source: path, Problem: err.Error(), Fix: "choose another --out, or --force"}
		}
		if was.Budget != s.Budget || was.CorpusSHA256 != s.CorpusSHA256 || was.Seed != s.Seed || !slices.Equal(was.Corpus, s.Corpus) {
			return nil, nil, &train.FolderError{
				Path:    r.Dir,
				Problem: fmt.Sprintf("a report with budget %s, seed %d, on %s is there already", was.Budget, was.Seed, was.CorpusName),
				Fix:     "choose another --out, or replace it with --force",
			}
		}
		if text, err := os.ReadFile(filepath.Join(r.Dir, reportJSON)); err == nil {
			if err := json.Unmarshal(text, report); err != nil {
				return nil, nil, &train.InputError{Source: filepath.Join(r.Dir, reportJSON), Problem: err.Error(), Fix: "remove the file: it is made again from the runs"}
			}
			report.Dir, report.Setting = r.Dir, s
		}
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return nil, nil, &durable.WriteError{Path: r.Dir, Op: "make", Err: err}
	}
	lock, err := durable.Lock(r.Dir)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(writeJSON(path, s), writeRules(filepath.Join(r.Dir, RulesFile))); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return report, lock, nil
}

// add puts a table in its place, instead of an older one.
func (r *Report) add(t Table) {
	order := func(id string) int {
		return slices.IndexFunc(Experiments(), func(e Experiment) bool { return e.ID == id })
	}
	r.Tables = slices.DeleteFunc(r.Tables, func(old Table) bool { return old.ID == t.ID })
	r.Tables = append(r.Tables, t)
	slices.SortStableFunc(r.Tables, func(a, b Table) int { return order(a.ID) - order(b.ID) })
	r.Seconds = 0
	for _, t := range r.Tables {
		r.Seconds += t.Seconds
	}
}

// curve returns the evaluations of a run: tokens and losses.
func curve(lines []metrics.Line) (tokens, losses []float64) {
	for _, l := range lines {
		if l.Evaluated {
			tokens, losses = append(tokens, float64(l.Tokens)), append(losses, l.ValLoss)
		}
	}
	return tokens, losses
}
