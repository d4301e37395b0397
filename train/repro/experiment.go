package repro

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"mmfree/train"
)

// Budget says how much is run.
type Budget string

// The budgets.
const (
	Quick Budget = "quick" // the reduced form: all experiments together within 60 minutes on 2 cores
	Full  Budget = "full"  // the miniature as written, with 3 seeds: overnight
	Test  Budget = "test"  // seconds, too small to show anything: that everything runs
)

// Budgets returns the budgets that people choose from.
func Budgets() []string { return []string{string(Quick), string(Full)} }

// of returns the amount that belongs to the budget.
func of[T any](b Budget, test, quick, full T) T {
	switch b {
	case Test:
		return test
	case Full:
		return full
	}
	return quick
}

// Verdict is what an experiment says of the claim.
type Verdict string

// The verdicts, each by the experiment's rule.
const (
	Confirmed    Verdict = "confirmed"
	Contradicted Verdict = "contradicted"
	Inconclusive Verdict = "inconclusive"
)

// Number is a figure of a report; NaN, null in JSON, where there is none.
type Number float64

// MarshalJSON writes NaN and infinities as null.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads null as NaN.
func (n *Number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = none()
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

func none() Number { return Number(math.NaN()) }

// Row is one figure beside the paper's.
type Row struct {
	Setting string `json:"setting"`
	Metric  string `json:"metric"`
	Paper   Number `json:"paper"`
	Ours    Number `json:"ours"`
	Unit    string `json:"unit"`
	Spread  Number `json:"spread"` // sample standard deviation over seeds
	Seeds   int    `json:"seeds"`  // that Ours is the mean of; 0: no random number is in it
}

// Table is an experiment's outcome.
type Table struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Claim   string   `json:"claim"`
	Rule    string   `json:"rule"` // for the verdict; stated before the run
	Rows    []Row    `json:"rows"`
	Verdict Verdict  `json:"verdict"`
	Because string   `json:"because"` // how the rule led there
	Notes   []string `json:"notes"`
	Plots   []string `json:"plots"` // files in the report's folder
	Runs    []string `json:"runs"`  // folders in the report's folder
	Seconds float64  `json:"seconds"`
}

func (t *Table) row(setting, metric, unit string, paper, ours Number) {
	t.Rows = append(t.Rows, Row{Setting: setting, Metric: metric, Unit: unit, Paper: paper, Ours: ours, Spread: none()})
}

// sampled adds a row over seeds.
func (t *Table) sampled(setting, metric, unit string, paper Number, s sample) {
	t.Rows = append(t.Rows, Row{
		Setting: setting, Metric: metric, Unit: unit, Paper: paper, Ours: Number(s.mean()), Spread: Number(s.deviation()), Seeds: len(s),
	})
}

func (t *Table) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

func (t *Table) decide(v Verdict, because string, args ...any) {
	t.Verdict, t.Because = v, fmt.Sprintf(because, args...)
}

// Experiment is one claim and how it is checked.
type Experiment struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Claim string `json:"claim"`
	Rule  string `json:"rule"` // for the verdict
	do    func(ctx context.Context, l *lab, t *Table) error
}

// Experiments returns all of them in the order of their numbers.
func Experiments() []Experiment {
	return []Experiment{quality(), scaling(), ternaryMap(), learningRates(), schedules(), mixers(), fusedSteps(), inferenceCosts(), constantCost(), postTraining(), integerKernels(), conversion()}
}

// Find returns the experiments of these names, in the order of their numbers; all where none is named.
func Find(ids []string) ([]Experiment, error) {
	all := Experiments()
	if len(ids) == 0 {
		return all, nil
	}
	var found []Experiment
	for _, e := range all {
		if slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, e.ID) }) {
			found = append(found, e)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(e Experiment) bool { return strings.EqualFold(id, e.ID) }) {
			var names []string
			for _, e := range all {
				names = append(names, e.ID)
			}
			return nil, &train.ConfigError{Problem: fmt.Sprintf("no experiment %q", id), Fix: "the experiments are " + strings.Join(names, ", ")}
		}
	}
	return found, nil
}
