package train

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

// tuned is a request for a run of 12 steps from the weights of base, on another text.
func tuned(t *testing.T, base Request, changes ...string) Request {
	t.Helper()
	r := tiny(t, append([]string{"data.tokenizer=model", "finetune.from=" + base.Dir, "train.lr=0.001"}, changes...)...)
	text := "Bodies act upon light at a distance, and by their action bend its rays. "
	if err := os.WriteFile(r.Config.Data.Corpus[0], []byte(strings.Repeat(text, 30)), 0o644); err != nil {
		t.Fatal(err)
	}
	return r
}

func weights(t *testing.T, r Request) *spec.Weights {
	t.Helper()
	m, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return m.Weights
}

// TestFineTune: every architecture trains on from its weights, with its tokenizer and shape whatever the configuration
// says, and what is frozen keeps its bits.
func TestFineTune(t *testing.T) {
	for _, arch := range spec.Architectures() {
		t.Run(arch, func(t *testing.T) {
			base := tiny(t, "model.arch="+arch, "model.hidden_size=20", "model.num_attention_heads=2", "data.tokenizer=bpe", "data.vocab_size=270")
			before := mustStart(t, base)
			r := tuned(t, base, "model.arch=transformer", `finetune.freeze=[model.layers.0.*, "*embed*"]`, "finetune.rates=*norm*=0.5")
			got := mustStart(t, r)
			if got.Arch != arch || !got.Verify.Identical || got.Parameters != before.Parameters {
				t.Errorf("arch %s, %d parameters, verification %+v", got.Arch, got.Parameters, got.Verify)
			}
			if f := got.FineTuned; f == nil || f.From != base.Dir || f.Teacher != nil || !(f.StartValLoss > got.ValLoss) || !math.IsNaN(f.ReplayLoss) {
				t.Errorf("%+v beside a final loss of %v", f, got.ValLoss)
			}
			was, is := weights(t, base), weights(t, r)
			for i, tensor := range was.Tensors {
				frozen := strings.HasPrefix(tensor.Name, "model.layers.0.") || strings.Contains(tensor.Name, "embed")
				if slices.Equal(was.At(i), is.At(i)) != frozen && tensor.Name != spec.LowerBoundsName {
					t.Errorf("%s: frozen %v, but the opposite happened", tensor.Name, frozen)
				}
			}
		})
	}
}

// TestFineTuneResumes: stopped, its base model gone and resumed, a run with replay ends with the bits of one that was not
// stopped; so do one that is stopped before its first step and one that is killed in the middle of its first checkpoint, while
// the base is there.
func TestFineTuneResumes(t *testing.T) {
	base := tiny(t)
	base.Bare = true
	mustStart(t, base)
	replay := base.Config.Data.Corpus[0]
	changes := []string{"finetune.replay=" + replay, "finetune.replay_share=0.4", "finetune.layer_decay=0.5"}
	whole := tuned(t, base, changes...)
	whole.Bare = true
	want := mustStart(t, whole)
	if f := want.FineTuned; !(f.StartReplayLoss > 0) || !(f.ReplayLoss > 0) {
		t.Errorf("losses on the replayed text %+v", f)
	}
	for _, c := range []struct {
		stop int64
		half bool // nothing but half a checkpoint is there
	}{{0, false}, {0, true}, {6, false}} {
		stop := c.stop
		r := tuned(t, base, changes...)
		r.Bare = true
		stopBehind(t, r, stop)
		if c.half {
			saved := filepath.Join(r.Dir, "checkpoints")
			if err := errors.Join(os.RemoveAll(saved), os.MkdirAll(filepath.Join(saved, "step-0.tmp-0123456789abcdef"), 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		r.Resume = true
		away := base.Dir + ".away"
		if stop > 0 {
			if err := os.Rename(base.Dir, away); err != nil {
				t.Fatal(err)
			}
		}
		got := mustStart(t, r)
		if stop > 0 {
			if err := os.Rename(away, base.Dir); err != nil {
				t.Fatal(err)
			}
		}
		if model(t, r, "step-12") != model(t, whole, "step-12") {
			t.Errorf("%+v: another model", c)
		}
		if got.FineTuned.StartValLoss != want.FineTuned.StartValLoss {
			t.Errorf("%+v: started at %v, want %v", c, got.FineTuned.StartValLoss, want.FineTuned.StartValLoss)
		}
	}
	plain := tuned(t, base, changes[2])
	plain.Bare = true
	mustStart(t, plain)
	if model(t, plain, "step-12") == model(t, whole, "step-12") {
		t.Error("replay changed nothing")
	}
}

// TestReplayShare counts where sequences come from.
func TestReplayShare(t *testing.T) {
	base := tiny(t)
	base.Bare = true
	mustStart(t, base)
	r := tuned(t, base, "finetune.replay="+base.Config.Data.Corpus[0], "finetune.replay_share=0.25", "data.batch_size=1", "train.steps=40")
	r.Bare = true
	mustStart(t, r)
	run := newRun(r)
	err := run.prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer run.close()
	r.Resume, run.Resume = true, true
	if err := run.open(); err != nil {
		t.Fatal(err)
	}
	drawn := func(epoch, index, windows uint64) uint64 { return epoch*windows + index } // windows: about as many in each epoch
	p, q := run.text.loader.Position(), run.text.replay.Position()
	if run.text.at.rows != 40 || q.Epoch != 0 || q.Index != 10 || drawn(p.Epoch, p.Index, run.text.loader.Windows()) < 28 {
		t.Errorf("%d sequences: at %+v of the text, %+v of the replayed one", run.text.at.rows, p, q)
	}
}

func TestFactors(t *testing.T) {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 7, 6, 3, 5
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	f := FineTuneConfig{
		LayerDecay: 0.5, Rates: []string{"model.layers.*=2", "model.layers.[12].mlp*=3"}, Freeze: []string{"model.layers.1.attn.?_proj.weight"},
	}
	list, err := f.factors(w)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		spec.EmbeddingsName: 0.125, "model.layers.0.attn_norm.weight": 0.5, "model.layers.0.mlp.gate_proj.weight": 0.5,
		"model.layers.1.mlp.gate_proj.weight": 1.5, "model.layers.2.mlp.down_proj.weight": 3, "model.layers.1.attn.i_proj.weight": 0,
		"model.layers.1.attn.i_proj.norm.weight": 1, spec.HeadName: 1, spec.FinalNormName: 1,
	} {
		if i, ok := w.Index(name); !ok || list[i] != want {
			t.Errorf("%s: factor %v, want %v", name, list[i], want)
		}
	}
	for _, f := range []FineTuneConfig{
		{LayerDecay: 1, Freeze: []string{"model.layer.0.*"}}, {LayerDecay: 1, Rates: []string{"lm_haed.weight=0.1"}}, {LayerDecay: 1, Freeze: []string{"*"}},
	} {
		if _, err := f.factors(w); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestFineTuneRefuses(t *testing.T) {
	base := tiny(t)
	mustStart(t, base)
	for change, want := range map[string]string{
		"finetune.from=" + filepath.Join(base.Dir, PackedFile): "holds codes",
		"finetune.from=" + filepath.Join(base.Dir, "absent"):   "absent",
		"data.tokenizer=./absent.json":                         "absent.json",
		"finetune.freeze=model.nothing":                        "fits",
		"finetune.freeze=[a":                                   "",
		"finetune.rates=model.*":                               "assigns no factor",
		"finetune.rates=model.*=-1":                            "is -1",
		"finetune.layer_decay=0":                               "is 0",
		"finetune.replay_share=1":                              "is 1",
	} {
		r := tuned(t, base)
		err := r.Config.Set(change)
		if err == nil {
			_, err = Start(t.Context(), r)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a part %q", change, err, want)
		}
		if _, err := os.Stat(r.Dir); err == nil {
			t.Errorf("%s: the run folder was made", change)
		}
	}
	// A model without tokenizer, as llama2.c's files are.
	folder := filepath.Join(t.TempDir(), "hf")
	m, err := Open(base.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Export(t.Context(), ExportRequest{Format: FormatHF, Out: folder}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), os.Remove(filepath.Join(folder, "tokenizer.json"))); err != nil {
		t.Fatal(err)
	}
	bare := tuned(t, Request{Dir: folder})
	if _, err := Start(t.Context(), bare); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "has no tokenizer") {
		t.Errorf("a model without tokenizer: %v", err)
	}
	r := tiny(t, "data.tokenizer=model")
	if _, err := Start(t.Context(), r); !errors.Is(err, ErrConfig) {
		t.Errorf("a model's tokenizer without a model: %v", err)
	}
}
