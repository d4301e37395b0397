package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"mmfree/autograd"
	"mmfree/ternary/infer"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// StepCost is what one training step takes.
type StepCost struct {
	Seconds float64 `json:"seconds"` // the fastest of the rounds
	Bytes   int64   `json:"bytes"`   // that the compiled graph holds
}

// FusedCosts holds the costs of a step with and without float copies of the activations, and how far the results of the
// two lie apart, which they should not: relative to the largest gradient.
type FusedCosts struct {
	Fused, Unfused StepCost
	LossApart      float64 `json:"loss_apart"`
	GradientApart  float64 `json:"gradient_apart"`
}

// Fused measures full training steps of a recipe, with float32 weight gradients, fused and not, in turn.
func Fused(ctx context.Context, s Setting, r Recipe, rounds int) (c FusedCosts, err error) {
	all, _ := spec.Parameters(r.Model)
	// An unfused activation is held about ten times a layer, as floats; half a model's width more in its MLP's.
	width := int64(r.Model.HiddenSize)*10 + int64(r.Model.MLPWidth())*6
	need := all*bytesPerValue + 4*width*int64(r.Model.NumHiddenLayers)*int64(r.B*r.T)
	if free := freeMemory(); free > 0 && need > free {
		return c, fmt.Errorf("%w: a step of %s takes about %d MB, %d MB are free", ErrMemory, r.Name, need>>20, free>>20)
	}
	w, err := spec.NewWeights(r.Model)
	if err != nil {
		return c, err
	}
	w.Init(1)
	fused, err := newTrainer(&s, &r, w, autograd.Options{Set: s.Set}, nil)
	if err != nil {
		return c, err
	}
	defer fused.session.Close()
	unfused, err := newTrainer(&s, &r, w, autograd.Options{Set: s.Set, Unfused: true}, fused.optimizer)
	if err != nil {
		return c, err
	}
	defer unfused.session.Close()
	for _, t := range []struct {
		*trainer
		cost *StepCost
	}{{fused, &c.Fused}, {unfused, &c.Unfused}} {
		t.cost.Seconds, t.cost.Bytes = math.Inf(1), t.activations
	}
	for range rounds {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		for _, t := range []struct {
			*trainer
			cost *StepCost
		}{{fused, &c.Fused}, {unfused, &c.Unfused}} {
			took, err := t.step(false)
			if err != nil {
				return c, err
			}
			t.cost.Seconds = math.Min(t.cost.Seconds, took.whole().Seconds())
		}
	}
	c.LossApart, c.GradientApart, err = apartOf(fused, unfused)
	return c, err
}

// apartOf runs both passes on the same weights and returns how far their results lie apart.
func apartOf(a, b *trainer) (loss, gradient float64, err error) {
	var losses [2]float64
	for i, t := range []*trainer{a, b} {
		t.session.WeightsChanged()
		t.session.ZeroGrads()
		if losses[i], err = t.session.Backward(t.ids, t.labels, t.recipe.B, 1/float64(len(t.ids))); err != nil {
			return 0, 0, err
		}
	}
	var most, far float64
	other := b.session.Grads().Flat()
	for i, g := range a.session.Grads().Flat() {
		most = math.Max(most, math.Abs(float64(g)))
		far = math.Max(far, math.Abs(float64(g)-float64(other[i])))
	}
	return math.Abs(losses[0]-losses[1]) / losses[0], far / most, nil
}

// DecodeCost is what a model takes that reads a prompt and then one token after another.
type DecodeCost struct {
	Prompt        int     `json:"prompt"`
	PromptSeconds float64 `json:"prompt_seconds"`
	TokenSeconds  float64 `json:"token_seconds"` // of the fastest tenth of the tokens decoded behind the prompt
	StateBytes    int64   `json:"state_bytes"`   // behind the last of them
}

// ModelCost is what holding a model takes.
type ModelCost struct {
	Packed  int64 `json:"packed_bytes"`
	Dense   int64 `json:"dense_bytes"` // of float32
	Ternary int64 `json:"ternary_weights"`
	All     int64 `json:"parameters"`
}

// Sizes returns what holding a model of a shape takes, without making it.
func Sizes(c spec.Config) (m ModelCost) {
	for _, t := range spec.PackedTensors(c) {
		if t.Kind == spec.Ternary {
			m.Packed += 2 * int64(pack.Words(t.Shape[0], t.Shape[1]))
			continue
		}
		m.Dense += 4 * int64(t.Elements())
	}
	m.All, m.Ternary = spec.Parameters(c)
	return m
}

// Decode measures a model of a shape with random weights: behind prompts of the given lengths, tokens one by one, the
// lengths in turn, until each has had so many or the setting's budget is over; each has at least four.
func Decode(ctx context.Context, s Setting, shape Shape, prompts []int, tokens int) ([]DecodeCost, error) {
	size := Sizes(shape.Model)
	if need, free := size.Packed+size.Dense, freeMemory(); free > 0 && need > free*9/10 {
		return nil, fmt.Errorf("%w: %s takes about %d MB, %d MB are free", ErrMemory, shape.Name, need>>20, free>>20)
	}
	p, err := randomModel(&s, shape.Model)
	if err != nil {
		return nil, err
	}
	m := infer.New(p, s.Set, s.Pool, infer.DefaultChunk)
	rng := rand.New(rand.NewPCG(1, 2))
	ids := func(n int) []int32 {
		list := make([]int32, n)
		for i := range list {
			list[i] = rng.Int32N(int32(min(shape.Model.VocabSize, tokensUsed)))
		}
		return list
	}
	logits := make([]float32, shape.Model.VocabSize)
	costs, states, rates := make([]DecodeCost, len(prompts)), make([]*infer.State, len(prompts)), make([][]float64, len(prompts))
	if err := m.Forward(m.NewState(1), infer.Call{IDs: ids(1), Which: infer.Last, Logits: logits}); err != nil { // pages weights in
		return nil, err
	}
	for i, n := range prompts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		states[i] = m.NewState(1)
		text, begun := ids(n), time.Now()
		if err := m.Forward(states[i], infer.Call{IDs: text, Which: infer.Last, Logits: logits}); err != nil {
			return nil, err
		}
		costs[i].Prompt, costs[i].PromptSeconds = n, time.Since(begun).Seconds()
	}
	const least = 4
	begun := time.Now()
	for round := 0; round < tokens && (round < least || time.Since(begun) < s.Budget); round++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range prompts {
			one, at := ids(1), time.Now()
			if err := m.Forward(states[i], infer.Call{IDs: one, Which: infer.Last, Logits: logits}); err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], 1/time.Since(at).Seconds())
		}
	}
	for i := range costs {
		costs[i].TokenSeconds = 1 / typical(rates[i])
		costs[i].StateBytes = stateBytes(states[i])
	}
	return costs, nil
}

// stateBytes returns the bytes of what one sequence carries from token to token.
func stateBytes(s *infer.State) (n int64) {
	for _, part := range s.Parts {
		switch part := part.(type) {
		case layer.Recurrent:
			n += 4 * int64(len(part))
		case *layer.KeyValues:
			n += part.Bytes()
		}
	}
	return n
}

// MatVecCost is the time of one token's product with a square matrix.
type MatVecCost struct {
	Width   int     `json:"width"`
	Float   float64 `json:"float_seconds"`   // float32 weights
	Ternary float64 `json:"ternary_seconds"` // packed weights, with quantising the input
}

// MatVec measures one token's product with a width × width matrix, of float32 and of packed trits, in turn: the fastest
// tenth of the rounds. The matrices are several, so that they do not all stay in cache, as a model's do not.
func MatVec(ctx context.Context, s Setting, width, rounds int) (c MatVecCost, err error) {
	const copies = 8
	config := spec.Default()
	config.HiddenSize, config.NumHiddenLayers, config.VocabSize = width, 1, 256
	e := layer.NewEnv(s.Set, s.Pool, config)
	k := newBed(&s, config)
	x, dst := k.floats(width), make([]float32, width)
	gain := make([]float32, width)
	for i := range gain {
		gain[i] = 1
	}
	codes := layer.NewCodes(1, width, false)
	var dense [][]float32
	var packed []layer.BitLinear
	for i := range copies {
		dense = append(dense, k.floats(width*width))
		m := pack.New(width, width)
		m.Scale = 0.02
		randomize(&s, m, uint64(i+1))
		packed = append(packed, layer.BitLinear{W: m, Gain: gain, Eps: 1e-6})
	}
	var rates [2][]float64
	for range rounds {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		for i := range copies {
			at := time.Now()
			e.Dense(dst, dense[i], x, width, width, 1)
			rates[0] = append(rates[0], 1/time.Since(at).Seconds())
			at = time.Now()
			packed[i].Quantize(e, &codes, 0, x)
			e.MatMul(dst, packed[i].W, &codes, 1)
			rates[1] = append(rates[1], 1/time.Since(at).Seconds())
		}
	}
	return MatVecCost{Width: width, Float: 1 / typical(rates[0]), Ternary: 1 / typical(rates[1])}, nil
}
