package convert

import (
	"fmt"
	"math/rand/v2"

	"mmfree/ternary/spec"
)

// wide is the configuration of a transformer n times as wide: as many times the channels, the heads, which stay as wide as
// they are, and the MLP's values.
func wide(c spec.Config, n int) (spec.Config, error) {
	if n == 1 {
		return c, nil
	}
	if c.Arch != spec.ArchTransformer {
		return c, &Error{
			Problem: fmt.Sprintf("a %s cannot be made wider", c.Arch),
			Fix:     "a transformer can; leave finetune.widen at 1",
		}
	}
	heads, keys, width := c.Attention()
	c.HiddenSize, c.IntermediateSize = n*c.HiddenSize, n*c.MLPWidth()
	c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = n*heads, n*keys, width
	return c, c.Validate()
}

// Widen returns the weights of a transformer n times as wide that computes what src does, but for rounding. Source: Net2WiderNet
// (Chen et al. 2016, arXiv 1511.05641), for every width of a transformer at once.
//
// Channels, heads and the MLP's values stand n times side by side, so that norms see the same mean squares. A matrix that reads
// them gives each copy a share of its weight, drawn from the seed for every weight, so that copies learn different things.
func Widen(src *spec.Weights, n int, seed uint64) (*spec.Weights, error) {
	c, err := wide(src.Config, n)
	if err != nil || n == 1 {
		return src, err
	}
	dst, err := spec.NewWeights(c)
	if err != nil {
		return nil, err
	}
	for i := range dst.Tensors {
		t := &dst.Tensors[i]
		from, to := src.Get(t.Name), dst.At(i)
		switch {
		case t.Kind == spec.Gain:
			for k := range n {
				copy(to[k*len(from):], from)
			}
			if t.Name == spec.FinalNormName && c.TieWordEmbeddings { // the head reads n copies of what it wrote as embeddings
				for j := range to {
					to[j] /= float32(n)
				}
			}
		case t.Name == spec.EmbeddingName(c):
			d := src.Config.HiddenSize
			for j := range to {
				to[j] = from[j/(n*d)*d+j%d]
			}
		default:
			spread(to, from, t.Shape[1], n, rand.New(rand.NewPCG(seed, uint64(i))))
		}
	}
	return dst, nil
}

// spread makes a matrix that reads n copies, whose rows have cols values, of one that reads one. Rows come again from the
// first on until to is full.
func spread(to, from []float32, cols, n int, rng *rand.Rand) {
	shares := make([]float64, n)
	for o := range len(to) / cols {
		row, whole := to[o*cols:][:cols], from[o*cols/n%len(from):][:cols/n]
		for j, w := range whole {
			sum := 0.0
			for k := range shares {
				shares[k] = 0.5 + rng.Float64()
				sum += shares[k]
			}
			for k, share := range shares {
				row[k*len(whole)+j] = float32(float64(w) * share / sum)
			}
		}
	}
}
