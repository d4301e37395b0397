package autograd

import (
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/spec"
)

// smallConfig is a model in which every width is another odd number, so that no block, lane or word comes out even.
func smallConfig() spec.Config {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 11, 7, 2, 5
	return c
}

// variant is a configuration that takes another way through the ops.
type variant struct {
	name string
	spec.Config
}

func variants() []variant {
	list := []variant{{"bounds", smallConfig()}}
	add := func(name string, change func(c *spec.Config)) {
		c := smallConfig()
		change(&c)
		list = append(list, variant{name, c})
	}
	add("no bounds, D above d", func(c *spec.Config) { c.UseLowerBound, c.ExpandRatio = false, 1.6 })
	add("no bounds, D below d", func(c *spec.Config) { c.UseLowerBound, c.ExpandRatio = false, 0.6 })
	add("dense down projection", func(c *spec.Config) { c.DownProj = spec.DownDenseUnnormed })
	add("tied embeddings", func(c *spec.Config) { c.TieWordEmbeddings = true })
	add("pad token, fused profile, 3 layers", func(c *spec.Config) {
		pad := 3
		c.PadTokenID, c.NumHiddenLayers = &pad, 3
		c.BitLinearEps, c.ActivationRounding = spec.BitLinearEpsFused, spec.HalfAway
	})
	add("rwkv4", func(c *spec.Config) { c.Arch = spec.ArchRWKV4 })
	add("rwkv4, 3 layers, tied", func(c *spec.Config) { c.Arch, c.NumHiddenLayers, c.TieWordEmbeddings = spec.ArchRWKV4, 3, true })
	attention := func(name, arch string, change func(c *spec.Config)) {
		add(name, func(c *spec.Config) {
			c.Arch, c.HiddenSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = arch, 7, 4, 2, 6
			change(c)
		})
	}
	attention("transformer", spec.ArchTransformer, func(*spec.Config) {})
	attention("transformer, tied", spec.ArchTransformer, func(c *spec.Config) { c.TieWordEmbeddings, c.NumKeyValueHeads = true, 1 })
	attention("bitnet", spec.ArchBitNet, func(*spec.Config) {})
	attention("bitnet, ternary attention", spec.ArchBitNet, func(c *spec.Config) { c.TernaryAttention = true })
	attention("bitnet, integer attention", spec.ArchBitNet, func(c *spec.Config) { c.TernaryAttention, c.IntegerAttention = true, true })
	attention("bitnet, relu2, tied ternary head", spec.ArchBitNet, func(c *spec.Config) {
		c.HiddenAct, c.TieWordEmbeddings, c.LMHead = spec.ActReLU2, true, spec.HeadBitLinear
	})
	attention("bitnet, inner norms, ternary head", spec.ArchBitNet, func(c *spec.Config) {
		c.NormPlacement, c.LMHead, c.ActivationRounding, c.NumKeyValueHeads = spec.NormBitLinear, spec.HeadBitLinear, spec.HalfAway, 4
	})
	return list
}

// smallModel makes weights of a size that makes every part of the model matter: gains round 1, bounds round 0, matrices
// whose products have about the size of their inputs.
func smallModel(t testing.TB, c spec.Config, seed uint64) *spec.Weights {
	t.Helper()
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range w.Tensors {
		mean, deviation := 0.0, 1.0
		switch tensor := w.Tensors[i]; tensor.Kind {
		case spec.Gain:
			mean, deviation = 1, 0.2
		case spec.Ternary, spec.Dense:
			deviation = 1 / math.Sqrt(float64(tensor.Shape[1]))
		}
		for j := range w.At(i) {
			w.At(i)[j] = float32(mean + deviation*rng.NormFloat64())
		}
	}
	return w
}

// smallBatch returns ids [B, T], their labels and how many of these count.
func smallBatch(c spec.Config, B, T int) (ids, labels []int32, count int) {
	rng := rand.New(rand.NewPCG(9, uint64(B*T)))
	ids = make([]int32, B*T)
	for i := range ids {
		ids[i] = rng.Int32N(int32(c.VocabSize))
	}
	labels, count = nextTokens(ids, B)
	return ids, labels, count
}

// sameBits compares two slices bit for bit and names the first difference.
func sameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if g, w := math.Float32bits(got[i]), math.Float32bits(want[i]); g != w {
			t.Errorf("%s: value %d is %v (%#08x), want %v (%#08x)", what, i, got[i], g, want[i], w)
			return
		}
	}
}

// sameGrads compares two sessions' gradients tensor by tensor.
func sameGrads(t testing.TB, what string, got, want *spec.Weights) {
	t.Helper()
	for i, tensor := range want.Tensors {
		sameBits(t, what+": gradient of "+tensor.Name, got.At(i), want.At(i))
	}
}
