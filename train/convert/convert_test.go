package convert

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// llama returns weights of a small transformer, and text for it.
func llama(t *testing.T, heads, keys, headDim int) (*spec.Weights, Text) {
	t.Helper()
	c := spec.Default()
	c.Arch, c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = spec.ArchTransformer, 31, 24, 3, 40
	c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim, c.TieWordEmbeddings, c.InitializerRange = heads, keys, headDim, true, 0.3
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(3)
	for i, tensor := range w.Tensors {
		if tensor.Kind == spec.Gain {
			for j := range w.At(i) {
				w.At(i)[j] = 0.5 + 0.1*float32(j%7)
			}
		}
	}
	text := Text{B: 2, IDs: make([]int32, 2*19)}
	for i := range text.IDs {
		text.IDs[i] = int32(i*i%29 + i%3)
	}
	return w, text
}

func converted(t *testing.T, src *spec.Weights, text Text, to string) *spec.Weights {
	t.Helper()
	c, err := Config(src.Config, Shape{}, to)
	if err != nil {
		t.Fatal(err)
	}
	dst, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(2)
	defer pool.Close()
	if err := Weights(dst, src, text, 1, kernel.Generic(), pool); err != nil {
		t.Fatal(err)
	}
	if err := dst.CheckFinite(); err != nil {
		t.Fatal(err)
	}
	return dst
}

// norm is the length of what a half adds to the residual stream.
func norm(out, h []float32) (n float64) {
	for i, v := range out {
		n += (float64(v) - float64(h[i])) * (float64(v) - float64(h[i]))
	}
	return math.Sqrt(n)
}

// TestScaleIsPreserved: on the transformer's residual stream each MLP of the converted model adds about as much as the
// transformer's, although norms stand between; and of a BitNet whose norms are in fully, each half does.
func TestScaleIsPreserved(t *testing.T) {
	src, text := llama(t, 4, 2, 6)
	pool := par.New(1)
	defer pool.Close()
	p, err := pack.Build(src)
	if err != nil {
		t.Fatal(err)
	}
	teacher, plain := layer.New(p), layer.NewEnv(kernel.Generic(), pool, src.Config)
	N, T, d := len(text.IDs), len(text.IDs)/text.B, src.Config.HiddenSize
	mmf, mmfEnv, err := full(converted(t, src, text, spec.ArchMatMulFree), kernel.Generic(), pool)
	if err != nil {
		t.Fatal(err)
	}
	bit, bitEnv, err := full(converted(t, src, text, spec.ArchBitNet), kernel.Generic(), pool)
	if err != nil {
		t.Fatal(err)
	}
	h, next, scratch := make([]float32, N*d), make([]float32, N*d), make([]float32, N*d)
	out := make([]float32, N*d)
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got/want-1) > 0.2 {
			t.Errorf("%s adds %v, the transformer's %v", what, got, want)
		}
	}
	teacher.Embed(h, text.IDs)
	for i, part := range teacher.Parts {
		part.Run(plain, next, h, &layer.Batch{B: text.B, T: T}, part.NewState(text.B), part.NewBuffers(N, scratch))
		want := norm(next, h)
		if own, ok := mmf.Parts[i].(*layer.ChannelMixer); ok {
			own.Forward(mmfEnv, out, h, N, own.NewMLPBuffers(N, scratch, true))
			near("an MLP of the MatMul-free model", norm(out, h), want)
		}
		bitEnv.Blend.Weights = 0
		switch own := bit.Parts[i].(type) {
		case *layer.Attention:
			own.Out.Inserted = false // the norm in fully, weights in full precision
			own.Forward(bitEnv, out, h, text.B, T, own.NewPass(text.B, T), nil, nil, own.NewAttentionBuffers(N, scratch, true))
		case *layer.GatedMLP:
			own.Down.Inserted = false
			own.Forward(bitEnv, out, h, N, own.NewGatedBuffers(N, scratch, true))
		}
		near("half "+part.Name()+" of the BitNet", norm(out, h), want)
		h, next = next, h
	}
}

// TestMatMulFreeTakesOver: tensors of the transformer stand where the MatMul-free model has them, values of shared heads once
// for each query head; heads that are wider than the model make a wider recurrence, without bounds.
func TestMatMulFreeTakesOver(t *testing.T) {
	src, text := llama(t, 4, 2, 8)
	dst := converted(t, src, text, spec.ArchMatMulFree)
	c := dst.Config
	if c.UseLowerBound || c.RecurrenceWidth() != 32 || c.TieWordEmbeddings {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(dst.Get(spec.HeadName), src.Get(spec.EmbedTokensName)) {
		t.Error("the head is not the tied embeddings")
	}
	values, enter := src.Get("model.layers.1.self_attn.v_proj.weight"), dst.Get("model.layers.1.attn.i_proj.weight")
	for head := range 4 {
		if !slices.Equal(enter[head*8*24:][:8*24], values[head/2*8*24:][:8*24]) {
			t.Errorf("head %d has other values", head)
		}
	}
	gate := dst.Get("model.layers.2.mlp.gate_proj.weight")
	if !slices.Equal(gate[:40*24], src.Get("model.layers.2.mlp.gate_proj.weight")) || !slices.Equal(gate[40*24:], src.Get("model.layers.2.mlp.up_proj.weight")) {
		t.Error("gate and up are not the halves of gate_proj")
	}
	square, _ := llama(t, 4, 2, 6)
	if c, err := Config(square.Config, Shape{}, spec.ArchMatMulFree); err != nil || !c.UseLowerBound || c.ExpandRatio != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConfigRefuses(t *testing.T) {
	src, _ := llama(t, 4, 2, 6)
	for _, to := range []string{"lstm", "Bitnet"} {
		if _, err := Config(src.Config, Shape{}, to); !errors.Is(err, ErrConvert) {
			t.Errorf("%s: %v", to, err)
		}
	}
	c := spec.Default()
	if _, err := Config(c, Shape{}, spec.ArchTransformer); !errors.Is(err, ErrConvert) {
		t.Errorf("matmulfree to transformer: %v", err)
	}
}

// TestWiden: a wider transformer has the logits of the one it was made of, heads shared or not, embeddings tied or not; its
// copies differ, so that training can tell them apart; and wider models become other architectures like any.
func TestWiden(t *testing.T) {
	pool := par.New(1)
	defer pool.Close()
	for _, n := range []int{1, 2, 3} {
		for _, tied := range []bool{true, false} {
			src, text := llama(t, 4, 2, 8)
			if !tied {
				c := src.Config
				c.TieWordEmbeddings = false
				w, err := spec.NewWeights(c)
				if err != nil {
					t.Fatal(err)
				}
				w.Init(4)
				src = w
			}
			dst, err := Shape{Widen: n}.Weights(src, 1)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Config(src.Config, Shape{Widen: n}, "")
			if err != nil || !reflect.DeepEqual(c, dst.Config) || c.HiddenSize != n*src.Config.HiddenSize {
				t.Fatalf("%+v is not %+v (%v)", c, dst.Config, err)
			}
			want, got := logits(t, src, text, pool), logits(t, dst, text, pool)
			worst, largest := 0.0, 0.0
			for i, v := range want {
				worst, largest = max(worst, math.Abs(float64(got[i]-v))), max(largest, math.Abs(float64(v)))
			}
			if worst > 5e-6*largest || largest < 0.1 {
				t.Errorf("%d times as wide, tied %v: logits are off by %v, the largest is %v", n, tied, worst, largest)
			}
			if n == 1 {
				continue
			}
			q, rows := dst.Get("model.layers.0.self_attn.q_proj.weight"), src.Get("model.layers.0.self_attn.q_proj.weight")
			if a, b := q[:len(rows)], q[len(q)-len(rows):]; slices.Equal(a, b) || a[0] == a[src.Config.HiddenSize] {
				t.Error("copies are equal")
			}
			for _, to := range []string{spec.ArchBitNet, spec.ArchMatMulFree} {
				if bit := converted(t, dst, text, to); bit.Config.HiddenSize != c.HiddenSize {
					t.Errorf("%s: %+v", to, bit.Config)
				}
			}
		}
	}
	bit, _ := llama(t, 4, 2, 6)
	if _, err := Config(converted(t, bit, Text{B: 1, IDs: []int32{1, 2, 3}}, spec.ArchBitNet).Config, Shape{Widen: 2}, ""); !errors.Is(err, ErrConvert) {
		t.Errorf("a wider bitnet: %v", err)
	}
}

func logits(t *testing.T, w *spec.Weights, text Text, pool *par.Pool) []float32 {
	t.Helper()
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	m, env := layer.New(p), layer.NewEnv(kernel.Generic(), pool, w.Config)
	N, T, d := len(text.IDs), len(text.IDs)/text.B, w.Config.HiddenSize
	h, scratch, out := make([]float32, N*d), make([]float32, N*d), make([]float32, N*w.Config.VocabSize)
	m.Embed(h, text.IDs)
	for _, part := range m.Parts {
		part.Run(env, h, h, &layer.Batch{B: text.B, T: T}, part.NewState(text.B), part.NewBuffers(N, scratch))
	}
	buf := m.Head.NewHeadBuffers(N, true)
	m.Head.Quantize(env, h, N, buf)
	m.Head.Logits(env, out, 0, N, buf)
	return out
}

// TestPrune: of an MLP some of whose values nothing makes, or nothing reads, the others are kept, and the logits with them; more
// than there are cannot be kept.
func TestPrune(t *testing.T) {
	src, text := llama(t, 4, 2, 6)
	pool := par.New(1)
	defer pool.Close()
	d, I := src.Config.HiddenSize, src.Config.MLPWidth()
	kept := 0
	for l := range src.Config.NumHiddenLayers {
		p := spec.Layer(l) + "mlp."
		kept = I
		for j := 0; j < I; j += 3 {
			switch kept--; j % 2 {
			case 0:
				clear(src.Get(p + "up_proj.weight")[j*d:][:d])
			default:
				for o := range d {
					src.Get(p + "down_proj.weight")[o*I+j] = 0
				}
			}
		}
	}
	dst, err := Shape{MLP: kept}.Weights(src, 1)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Config(src.Config, Shape{MLP: kept}, ""); err != nil || !reflect.DeepEqual(c, dst.Config) || c.MLPWidth() != kept {
		t.Errorf("%+v is not %+v (%v)", c, dst.Config, err)
	}
	want, got := logits(t, src, text, pool), logits(t, dst, text, pool)
	for i, v := range want {
		if math.Abs(float64(got[i]-v)) > 1e-5 {
			t.Fatalf("logit %d is %v, want %v", i, got[i], v)
		}
	}
	if wider, err := (Shape{Widen: 2, MLP: 7}).Weights(src, 1); err != nil || wider.Config.MLPWidth() != 14 || wider.Config.HiddenSize != 2*d {
		t.Errorf("%v", err)
	}
	if _, err := (Shape{MLP: I + 1}).Weights(src, 1); !errors.Is(err, ErrConvert) {
		t.Errorf("more than all: %v", err)
	}
}
