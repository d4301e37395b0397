package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mmfree/ternary/infer"
	"mmfree/ternary/spec"
)

// TestGenerateCorpus: text i is what Generate writes with seed + i, in every architecture, however many are written side by
// side, end tokens and the model's last position included.
func TestGenerateCorpus(t *testing.T) {
	for _, arch := range spec.Architectures() {
		r := tiny(t, "model.arch="+arch, "model.hidden_size=20", "model.num_attention_heads=2", "model.max_position_embeddings=30", "model.eos_token_id=101")
		r.Bare = true
		mustStart(t, r)
		m, err := Open(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ask := GenerateRequest{Prompt: "The rays", MaxTokens: 40, Sampling: infer.Sampling{Temperature: 0.9, Seed: 5}, Machine: r.Machine}
		path := filepath.Join(t.TempDir(), "texts.jsonl")
		const count = together + 3
		got, err := m.GenerateCorpus(t.Context(), ask, count, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		var tokens int64
		lengths := map[int]bool{}
		for i := range count {
			var line struct{ Text string }
			if !lines.Scan() {
				t.Fatalf("%s: %d lines", arch, i)
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			one := ask
			one.Sampling.Seed += uint64(i)
			one.Emit = func([]byte) error { return nil }
			want, err := m.Generate(t.Context(), one)
			if err != nil {
				t.Fatal(err)
			}
			text := string([]rune(ask.Prompt + want.Text)) // JSON replaces what is not UTF-8
			if line.Text != text {
				t.Errorf("%s, text %d: %q, want %q", arch, i, line.Text, text)
			}
			tokens += int64(len(want.IDs))
			lengths[len(want.IDs)] = true
		}
		if lines.Scan() || got.Tokens != tokens || got.Count != count || arch != spec.ArchMatMulFree && len(lengths) < 2 {
			t.Errorf("%s: %+v, want %d tokens; lengths %v", arch, got, tokens, lengths)
		}
	}
}

// A stopped generation leaves no file.
func TestGenerateCorpusStops(t *testing.T) {
	r := tiny(t)
	r.Bare = true
	mustStart(t, r)
	m, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err = m.GenerateCorpus(ctx, GenerateRequest{Prompt: "a", MaxTokens: 9, Machine: r.Machine}, 100, filepath.Join(dir, "x"), func(int, float64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v was left behind (%v)", left, err)
	}
}
