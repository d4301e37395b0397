package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/spec"
	"mmfree/train"
	"mmfree/train/verify"
)

// TestVerbsAreComplete holds what every verb owes its help.
func TestVerbsAreComplete(t *testing.T) {
	var check func(path string, commands []*cli.Command)
	check = func(path string, commands []*cli.Command) {
		for _, c := range commands {
			name := path + " " + c.Name
			if c.Usage == "" || strings.Contains(c.Usage, "\n") || !strings.HasPrefix(c.UsageText, name) {
				t.Errorf("%s: purpose %q, usage %q", name, c.Usage, c.UsageText)
			}
			if len(c.Subcommands) == 0 && !strings.HasPrefix(c.Description, name) {
				t.Errorf("%s: the example is %q", name, c.Description)
			}
			for _, f := range c.Flags {
				if g, ok := f.(cli.CategorizableFlag); !ok || g.GetCategory() == "" {
					t.Errorf("%s: --%s is in no group", name, f.Names()[0])
				}
			}
			check(name, c.Subcommands)
		}
	}
	check("mmfree", verbs())
}

func testApp() *cli.App {
	flags := []cli.Flag{
		jsonFlag(), seedFlag(), threadsFlag(), forceFlag(),
		&cli.StringFlag{Name: "prompt"},
		&cli.Float64Flag{Name: "temperature"},
		&cli.StringSliceFlag{Name: "corpus", TakesFile: true},
		&cli.StringSliceFlag{Name: "set"},
	}
	return &cli.App{Name: "mmfree", Commands: []*cli.Command{
		{Name: "generate", Flags: flags},
		{Name: "eval", Subcommands: []*cli.Command{{Name: "ppl", Flags: flags}, {Name: "task"}}},
	}}
}

func TestArrange(t *testing.T) {
	tests := []struct{ in, verb, want, fault string }{
		{"", "", "mmfree", ""},
		{"--help", "", "mmfree --help", ""},
		{"help", "", "mmfree --help", ""},
		{"help generate", "generate", "mmfree generate --help", ""},
		{"generate M --prompt x", "generate", "mmfree generate --prompt=x -- M", ""},
		{"generate --prompt x M", "generate", "mmfree generate --prompt=x -- M", ""},
		{"generate --prompt=x=y M", "generate", "mmfree generate --prompt=x=y -- M", ""},
		{"generate M -json --force N", "generate", "mmfree generate --json --force -- M N", ""},
		{"generate --json=false M", "generate", "mmfree generate --json=false -- M", ""},
		{"generate --temperature -1 M", "generate", "mmfree generate --temperature=-1 -- M", ""},
		{"generate --prompt --json", "generate", "mmfree generate --prompt=--json", ""},
		{"generate M -- --prompt x", "generate", "mmfree generate -- M --prompt x", ""},
		{"generate -", "generate", "mmfree generate -- -", ""},
		{"generate --corpus a b --corpus c --json d", "generate", "mmfree generate --corpus=a --corpus=b --corpus=c --json -- d", ""},
		{"generate --set a=1 b=2 M", "generate", "mmfree generate --set=a=1 --set=b=2 -- M", ""},
		{"generate M --prompt x --help", "generate", "mmfree generate --help", ""},
		{"eval ppl M --json", "eval ppl", "mmfree eval ppl --json -- M", ""},
		{"eval --help", "eval", "mmfree eval --help", ""},
		{"eval", "eval", "", "the verbs are ppl, task"},
		{"eval ppp", "eval ppp", "", "did you mean ppl?"},
		{"genrate", "genrate", "", "did you mean generate?"},
		{"--seed 1 generate", "--seed", "", "write mmfree VERB"},
		{"generate --promt x", "generate", "", "did you mean --prompt?"},
		{"generate --prompt", "generate", "", "write --prompt VALUE"},
		{"generate --corpus", "generate", "", "write --corpus VALUE"},
		{"generate --corpus --json", "generate", "", "write --corpus VALUE"},
		{"generate --corpus -- a", "generate", "", "write --corpus VALUE"},
		{"generate ---x", "generate", "", "the flags are"},
	}
	for _, tt := range tests {
		verb, got, err := arrange(testApp(), strings.Fields(tt.in))
		if verb != tt.verb {
			t.Errorf("%q: verb %q, want %q", tt.in, verb, tt.verb)
		}
		if tt.fault != "" {
			var u *usageError
			if !errors.As(err, &u) || !strings.Contains(u.fix, tt.fault) {
				t.Errorf("%q: error %v, want the hint %q", tt.in, err, tt.fault)
			}
			continue
		}
		if err != nil || !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%q: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestThreadsAndSeed(t *testing.T) {
	app := testApp()
	app.Writer = &bytes.Buffer{}
	app.ExitErrHandler = func(*cli.Context, error) {}
	for args, want := range map[string]string{
		"":              fmt.Sprintf("%d 1 <nil>", runtime.GOMAXPROCS(0)),
		"--threads=3":   "3 1 <nil>",
		"--threads=0":   "0 1 --threads is 0",
		"--threads=-1":  "0 1 --threads is -1",
		"--threads=1e3": "",
		"--seed=18446744073709551615": fmt.Sprintf("%d 18446744073709551615 <nil>",
			runtime.GOMAXPROCS(0)),
	} {
		got := ""
		app.Commands[0].OnUsageError = usageFault
		app.Commands[0].Action = func(c *cli.Context) error {
			n, err := threads(c)
			got = fmt.Sprint(n, c.Uint64("seed"), err)
			return nil
		}
		_ = app.Run(append([]string{"mmfree", "generate"}, strings.Fields(args)...))
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("%q gives %q, want %q", args, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	config := &train.ConfigError{File: "c.yaml", Line: 3, Key: "train.lr", Problem: "is 0", Fix: "raise it"}
	model := &spec.ConfigError{Key: "num_heads", Problem: "is 0", Fix: "choose 1"}
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"none", nil, 0, ""},
		{"usage", &usageError{problem: "MODEL is missing", fix: "usage: x"}, 2, "mmfree: train: MODEL is missing\nusage: x\n"},
		{"configuration", config, 2, "mmfree: train: c.yaml:3: train.lr: is 0\nraise it\n"},
		{"wrapped", fmt.Errorf("run: %w", config), 2, "mmfree: train: run: c.yaml:3: train.lr: is 0\nraise it\n"},
		{
			"joined", errors.Join(config, errors.Join(model)), 2,
			"mmfree: train: c.yaml:3: train.lr: is 0\nraise it\nmmfree: train: model.num_heads: is 0\nchoose 1\n",
		},
		{"difference", fmt.Errorf("layer 3: %w", verify.ErrDifferent), 3, "mmfree: train: layer 3: the packed path differs from the training path\n"},
		{"signal", errInterrupted, 130, "mmfree: train: stopped by a signal"},
		{"cancelled", fmt.Errorf("step 3: %w", context.Canceled), 130, "mmfree: train: step 3: context canceled\n"},
		{"missing file", &fs.PathError{Op: "open", Path: "f", Err: fs.ErrNotExist}, 2, "mmfree: train: open f: file does not exist\ncheck the path\n"},
		{"full disk", &durable.WriteError{Path: "f", Op: "write", Err: syscall.ENOSPC}, 1, "mmfree: train: f: write: no space left on device\nthe disk is full"},
		{"target exists", &durable.WriteError{Path: "f", Op: "rename", Err: fs.ErrExist}, 2, "mmfree: train: f: rename: file already exists\n"},
		{"unknown", errors.New("a\n\tb"), 1, "mmfree: train: a b\nif it happens again, report it"},
		{"panic", &internalError{cause: "boom"}, 1, "mmfree: train: internal error: boom\nthis is a bug"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			code := report(&b, "train", tt.err)
			if code != tt.code || !strings.HasPrefix(b.String(), tt.want) || strings.Count(b.String(), "\n")%2 != 0 {
				t.Errorf("code %d, printed:\n%swant code %d and:\n%s", code, b.String(), tt.code, tt.want)
			}
		})
	}
}

// brokenWriter fails every write.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// A closed pipe is success; a full device is not, even for output whose writer looks at no error.
func TestStdoutFails(t *testing.T) {
	for _, args := range [][]string{{"recipes"}, {"recipes", "--json"}, {"recipes", "370m"}, {"--help"}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, brokenWriter{syscall.EPIPE}, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("%v into a closed pipe: code %d, stderr %q", args, code, &stderr)
		}
		stderr.Reset()
		code := run(t.Context(), args, brokenWriter{syscall.ENOSPC}, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "writing the result: no space left on device\nmake room") {
			t.Errorf("%v to a full disk: code %d, stderr %q", args, code, &stderr)
		}
	}
}

// panickyWriter is a bug that shows while a verb runs.
type panickyWriter struct{}

func (panickyWriter) Write([]byte) (int, error) { panic("boom") }

func TestPanicHasNoStackTrace(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"recipes", "--json"}, panickyWriter{}, &stderr)
	want := "mmfree: recipes: internal error: boom\nthis is a bug of mmfree: report it with the whole command line\n"
	if code != 1 || stderr.String() != want {
		t.Errorf("code %d, stderr %q, want 1, %q", code, &stderr, want)
	}
}

func TestPrintJSON(t *testing.T) {
	type inner struct {
		Loss float64 `json:"loss"`
	}
	three, tenth := 3, 0.1
	type shared struct {
		Arch string `json:"arch"`
	}
	v := struct {
		shared
		Name   string             `json:"name"`
		NaN    float64            `json:"nan"`
		Inf    float32            `json:"inf"`
		Exact  float64            `json:"exact"`
		Single float32            `json:"single"`
		Nested *inner             `json:"nested"`
		None   *inner             `json:"none"`
		N      *int               `json:"n"`
		List   []inner            `json:"list"`
		Empty  []string           `json:"empty"`
		Map    map[string]float64 `json:"map"`
		Any    any                `json:"any"`
		Hidden int                `json:"-"`
		Omit   string             `json:"omit,omitempty"`
		Raw    []byte             `json:"raw"`
		Plain  bool
	}{
		shared: shared{"a"},
		Name:   "<a & b>\n\"", NaN: math.NaN(), Inf: float32(math.Inf(-1)), Exact: tenth + 0.2, Single: 0.1,
		Nested: &inner{math.Inf(1)}, N: &three, List: []inner{{1}, {math.NaN()}}, Map: map[string]float64{"b": math.NaN(), "a": 1e-300},
		Any: map[string]any{"x": []any{math.Inf(1), "y", nil}}, Hidden: 1, Raw: []byte("ab"),
	}
	const want = `{"arch":"a","name":"<a & b>\n\"","nan":null,"inf":null,"exact":0.30000000000000004,"single":0.1,"nested":{"loss":null},` +
		`"none":null,"n":3,"list":[{"loss":1},{"loss":null}],"empty":[],"map":{"a":1e-300,"b":null},` +
		`"any":{"x":[null,"y",null]},"raw":"YWI=","Plain":false}` + "\n"
	var b bytes.Buffer
	if err := printJSON(&b, v); err != nil || b.String() != want {
		t.Errorf("got  %swant %serror %v", b.String(), want, err)
	}
	if err := printJSON(&b, struct{ C chan int }{make(chan int)}); err == nil {
		t.Error("a channel was printed")
	}
	if err := printJSON(brokenWriter{syscall.EPIPE}, v); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a closed pipe gave %v", err)
	}
}
