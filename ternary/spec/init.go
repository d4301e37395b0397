package spec

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"mmfree/ternary/f32"
)

// Init draws every tensor's initial values by its law (spec §6). Each tensor has a generator of its own, keyed by seed
// and name, so that adding a tensor or reordering the list changes no other tensor's values. The row of pad_token_id is
// zeroed.
func (w *Weights) Init(seed uint64) {
	for i := range w.Tensors {
		t := &w.Tensors[i]
		h := fnv.New64a()
		h.Write([]byte(t.Name))
		rng := rand.New(rand.NewPCG(seed, h.Sum64()))
		fill(w.At(i), t.Init, rng)
	}
	if pad := w.Config.PadTokenID; pad != nil && *pad < w.Config.VocabSize {
		clear(w.Get(EmbeddingName(w.Config))[*pad*w.Config.HiddenSize:][:w.Config.HiddenSize])
	}
}

func fill(dst []float32, law Law, rng *rand.Rand) {
	switch law.Dist {
	case Constant:
		for j := range dst {
			dst[j] = float32(law.Value)
		}
	case Uniform:
		b := float32(law.Value)
		for j := range dst {
			dst[j] = b * (2*rng.Float32() - 1)
		}
	case Ramp:
		for j := range dst {
			dst[j] = float32(law.Value)
			if j > 0 {
				dst[j] = float32(law.Value + float64(law.Span*f32.Power(float64(j)/float64(len(dst)-1), law.Power)))
			}
		}
	case Zigzag:
		for j := range dst {
			dst[j] = float32(law.Value + float64(law.Span*float64((j+1)%3-1)))
		}
	case Normal:
		for j := 0; j < len(dst); j += 2 {
			a, b := normalPair(rng)
			dst[j] = float32(law.Value * a)
			if j+1 < len(dst) {
				dst[j+1] = float32(law.Value * b)
			}
		}
	}
}

// normalPair draws two independent N(0,1) values by Marsaglia's polar method. rand.NormFloat64 would do, but it calls
// math.Exp and math.Log, whose bits differ between machines.
func normalPair(rng *rand.Rand) (a, b float64) {
	for {
		u, v := 2*rng.Float64()-1, 2*rng.Float64()-1
		s := float64(u*u) + float64(v*v)
		if s > 0 && s < 1 {
			f := math.Sqrt(-2 * f32.Log(s) / s)
			return u * f, v * f
		}
	}
}
