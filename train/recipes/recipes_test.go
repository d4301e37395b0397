package recipes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/ternary/spec"
	"mmfree/train"
)

func TestEveryRecipeIsValid(t *testing.T) {
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		c, err := r.Config()
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if r.About == "" || !strings.HasPrefix(string(r.YAML), "# "+r.About+"\n") {
			t.Errorf("%s: the first line is not its purpose: %q", r.Name, r.About)
		}
	}
	onDisk, err := filepath.Glob("*.yaml")
	if err != nil || len(onDisk) != len(list) {
		t.Errorf("%d files for %d recipes (%v)", len(onDisk), len(list), err)
	}
}

// The published counts are the paper's models'; those of the bench shapes are summed by hand: embedding and head V·d
// each, bounds L·d, two end norms, and a layer's d + 3(d²+d) + d + (d²+d) + d + (2I·d+d) + (d·I+I).
func TestParameters(t *testing.T) {
	for name, want := range map[string]int64{
		"370m": 374_108_160, "1.3b": 1_364_779_008, "2.7b": 2_702_357_504,
		"bench-s": 2*256*256 + 6*256 + 2*256 + 6*(256+3*65_792+256+65_792+256+393_472+197_376),
		"bench-m": 2*4096*512 + 8*512 + 2*512 + 8*(512+3*262_656+512+262_656+512+1_573_376+787_968),
	} {
		r, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Config()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := spec.Parameters(c.Model); got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
}

func TestPublishedRates(t *testing.T) {
	for name, want := range map[string]float64{"370m": 4e-3, "1.3b": 2.5e-3, "2.7b": 1.5e-3} {
		c, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Train.LR != want || c.Train.Schedule != "paper" {
			t.Errorf("%s: rate %g, schedule %s; want %g, paper", name, c.Train.LR, c.Train.Schedule, want)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("mine", []byte("train: {steps: 7}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Open("mine"); err != nil || c.Train.Steps != 7 {
		t.Errorf("a file gave steps %d, %v", c.Train.Steps, err)
	}
	for arg, want := range map[string]string{
		"quikstart":    "did you mean quickstart?",
		"something":    "the recipes are quickstart, ",
		"absent.yaml":  "check the path",
		"./quickstart": "check the path",
		"":             "the recipes are",
	} {
		_, err := Open(arg)
		var e *train.ConfigError
		if !errors.As(err, &e) || !strings.Contains(e.Hint(), want) {
			t.Errorf("Open(%q) = %v, want the hint %q", arg, err, want)
		}
	}
}
