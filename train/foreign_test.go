package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
)

// goldenModel is what lies beside a model of the shared data.
type goldenModel struct {
	Greedy []struct {
		IDs    []int32 `json:"ids"`
		Next   []int32 `json:"greedy_ids"`
		MinGap float64 `json:"min_top2_gap"`
	} `json:"greedy"`
	Logits struct {
		IDs  []int32     `json:"ids"`
		Rows [][]float64 `json:"rows"`
	} `json:"logits"`
	NLL []struct {
		IDs      []int32   `json:"ids"`
		LogProbs []float64 `json:"token_logprobs"`
		Sum      float64   `json:"nll_sum"`
	} `json:"nll"`
}

// tolerance is what the note of a golden asks for.
type tolerance struct {
	logit, logProb, sum float64 // absolute, absolute, relative
	gap                 float64 // greedy choices by less may differ
}

var (
	floatTolerance = tolerance{logit: 1e-3, logProb: 1e-3, sum: 1e-5, gap: 1e-3}
	// An activation that falls on the other side of a rounding step moves logits by much: the note tells how much.
	codeTolerance = tolerance{logit: 0.15, logProb: math.Inf(1), sum: 0.005, gap: 0.02}
)

// TestSharedModels runs the real models of the shared data from every form they are given in, and
// compares greedy ids, logits and log-probabilities with the goldens beside them.
func TestSharedModels(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; checkpoints/llama2c tests the formats on files of its own")
	}
	for _, c := range []struct {
		model, form, golden string
		tolerance           tolerance
	}{
		{"stories260K", "stories260K.bin", "golden.json", floatTolerance},
		{"stories260K", "model-f32.safetensors", "golden.json", floatTolerance},
		{"stories260K", "model-bf16.safetensors", "golden-bf16.json", floatTolerance},
		{"stories260K", "sharded-bf16", "golden-bf16.json", floatTolerance},
		{"stories260K", "model-f16.safetensors", "golden-f16.json", floatTolerance},
		{"bitnet-1M", "bit_model.bin", "golden.json", codeTolerance},
		{"bitnet-1M", "unpacked.safetensors", "golden.json", codeTolerance},
		{"bitnet-1M", "", "golden.json", codeTolerance},
	} {
		t.Run(c.model+" "+c.form, func(t *testing.T) {
			dir := filepath.Join(shared, "data", "models", c.model)
			text, err := os.ReadFile(filepath.Join(dir, c.golden))
			if err != nil {
				t.Fatal(err)
			}
			var g goldenModel
			if err := json.Unmarshal(text, &g); err != nil || len(g.Logits.Rows) == 0 || len(g.NLL) == 0 || len(g.Greedy) == 0 {
				t.Fatalf("the golden is not as expected: %v", err)
			}
			m := open(t, filepath.Join(dir, c.form))
			checkGolden(t, m, &g, c.tolerance)
		})
	}
}

func checkGolden(t *testing.T, m *Model, g *goldenModel, tol tolerance) {
	t.Helper()
	p, err := m.Packed()
	if err != nil {
		t.Fatal(err)
	}
	set, pool := kernel.Available()[0], par.New(2)
	defer pool.Close()
	run := infer.New(p, set, pool, infer.DefaultChunk)
	V := p.Config.VocabSize
	logits := func(ids []int32) []float32 {
		out := make([]float32, len(ids)*V)
		if err := run.Forward(run.NewState(1), infer.Call{IDs: ids, Which: infer.All, Logits: out}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := logits(g.Logits.IDs)
	for i, row := range g.Logits.Rows {
		for j, want := range row {
			if d := math.Abs(float64(got[i*V+j]) - want); !(d <= tol.logit) {
				t.Fatalf("logit [%d, %d] is %v, the golden's %v", i, j, got[i*V+j], want)
			}
		}
	}
	for n, text := range g.NLL {
		got, sum := logits(text.IDs), 0.0
		for i, next := range text.IDs[1:] {
			row := got[i*V:][:V]
			_, _, lse := set.LogSumExp(row)
			logProb := float64(row[next]) - lse
			sum -= logProb
			if d := math.Abs(logProb - text.LogProbs[i]); !(d <= tol.logProb) {
				t.Fatalf("text %d, token %d: log-probability %v, the golden's %v", n, i, logProb, text.LogProbs[i])
			}
		}
		if !(math.Abs(sum-text.Sum) <= tol.sum*text.Sum) {
			t.Errorf("text %d: NLL %v, the golden's %v", n, sum, text.Sum)
		}
	}
	for n, text := range g.Greedy {
		greedy := infer.NewSampler(infer.Sampling{}, V)
		out, err := run.Generate(text.IDs, len(text.Next), greedy, -1, func(int32) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out.IDs, text.Next) && text.MinGap > tol.gap {
			t.Errorf("text %d: ids %v, the golden's %v", n, out.IDs, text.Next)
		}
	}
}

// TestSharedModelsComeBack writes the real models in every format and opens that: values, codes and scales are the same bits.
func TestSharedModelsComeBack(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; checkpoints tests the same on models of its own")
	}
	for _, c := range []struct {
		form    string
		formats []string
	}{
		{"stories260K/stories260K.bin", []string{FormatHF, FormatPacked, FormatGGUF}},
		{"bitnet-1M/bit_model.bin", []string{FormatHF, FormatHFBitNet, FormatPacked}},
	} {
		first := open(t, filepath.Join(shared, "data", "models", c.form))
		want, err := first.Packed()
		fatal(t, err)
		dir := t.TempDir()
		last := first
		for round := range 2 { // once from the original, and once in a chain, each format from the one before
			for _, format := range c.formats {
				from := first
				if round == 1 {
					from = last
				}
				out := filepath.Join(dir, fmt.Sprint(round, format))
				_, err := from.Export(t.Context(), ExportRequest{Format: format, Out: out})
				fatal(t, err)
				last = open(t, out)
				got, err := last.Packed()
				fatal(t, err)
				for _, x := range want.Tensors {
					a, b := want.Matrix(x.Name), got.Matrix(x.Name)
					if a == nil {
						if !sameBits32(want.Dense(x.Name), got.Dense(x.Name)) {
							t.Errorf("%s, round %d, %s: %s differs", c.form, round, format, x.Name)
						}
						continue
					}
					if math.Float32bits(a.Scale) != math.Float32bits(b.Scale) || !slices.Equal(a.Words, b.Words) {
						t.Errorf("%s, round %d, %s: %s: scale %v, was %v, or other codes", c.form, round, format, x.Name, b.Scale, a.Scale)
					}
				}
			}
		}
	}
}

func sameBits32(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// TestStoppedExport: a cancelled conversion is an error and leaves nothing, in every format.
func TestStoppedExport(t *testing.T) {
	dir, _ := smallFolder(t)
	for _, format := range []string{FormatHF, FormatHFBitNet, FormatPacked} {
		ctx, stop := context.WithCancel(t.Context())
		parent := t.TempDir()
		m, err := OpenToConvert(dir)
		fatal(t, err)
		_, err = m.Export(ctx, ExportRequest{Format: format, Out: filepath.Join(parent, "x"), MaxShard: 2000, Progress: func(done, all int64) {
			if done > all/2 {
				stop()
			}
		}})
		entries, readErr := os.ReadDir(parent)
		fatal(t, readErr)
		if !errors.Is(err, context.Canceled) || len(entries) > 0 {
			t.Errorf("%s: %v, and %v is left", format, err, entries)
		}
		fatal(t, m.Close())
		stop()
	}
}

// TestSharedModelsGenerate: imported with their tokenizer, the real models continue the golden prompts with the golden ids,
// which begin with BOS.
func TestSharedModelsGenerate(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	for model, form := range map[string]string{"stories260K": "stories260K.bin", "bitnet-1M": "bit_model.bin"} {
		dir := filepath.Join(shared, "data", "models", model)
		text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
		fatal(t, err)
		var g struct {
			Greedy []struct {
				Prompt string  `json:"prompt"`
				IDs    []int32 `json:"ids"`
				Next   []int32 `json:"greedy_ids"`
				MinGap float64 `json:"min_top2_gap"`
			} `json:"greedy"`
		}
		fatal(t, json.Unmarshal(text, &g))
		m := open(t, filepath.Join(dir, form))
		tok, err := LoadTokenizer(filepath.Join(shared, "data", "tokenizers", "tok512", "tokenizer.model"))
		fatal(t, err)
		m.tokenizerJSON, err = tok.JSON()
		fatal(t, err)
		pool := par.New(1)
		for _, c := range g.Greedy {
			out, err := m.Generate(t.Context(), GenerateRequest{
				Prompt: c.Prompt, MaxTokens: len(c.Next), Emit: func([]byte) error { return nil }, Machine: Machine{Set: kernel.Available()[0], Pool: pool},
			})
			fatal(t, err)
			if !slices.Equal(out.PromptIDs, c.IDs) {
				t.Errorf("%s: %q becomes %v, the golden's %v", model, c.Prompt, out.PromptIDs, c.IDs)
			}
			if !slices.Equal(out.IDs, c.Next) && c.MinGap > 0.02 {
				t.Errorf("%s: %q goes on as %v, the golden's %v", model, c.Prompt, out.IDs, c.Next)
			}
		}
		pool.Close()
	}
}
