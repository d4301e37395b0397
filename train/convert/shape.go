package convert

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"mmfree/ternary/f32"
	"mmfree/ternary/spec"
)

// Shape says how a transformer's shape changes before anything else of it does; the zero Shape changes nothing.
type Shape struct {
	Widen int // times as wide; 0 and 1: as wide
	MLP   int // the MLP's values that are kept, before it is widened; 0: all
}

// config is the configuration of a transformer's other shape: as many times the channels, the heads, which stay as wide as
// they are, and the MLP's values.
func (s Shape) config(c spec.Config) (spec.Config, error) {
	s.Widen = max(1, s.Widen)
	if s.Widen == 1 && s.MLP == 0 {
		return c, nil
	}
	if c.Arch != spec.ArchTransformer {
		return c, &Error{
			Problem: fmt.Sprintf("the shape of a %s cannot be changed", c.Arch),
			Fix:     "a transformer's can; leave finetune.widen and finetune.mlp_width as they are",
		}
	}
	I := c.MLPWidth()
	if s.MLP > I {
		return c, &Error{
			Problem: fmt.Sprintf("of an MLP of %d values %d cannot be kept", I, s.MLP),
			Fix:     fmt.Sprintf("lower finetune.mlp_width to %d or less", I),
		}
	}
	if s.MLP > 0 {
		I = s.MLP
	}
	heads, keys, width := c.Attention()
	c.HiddenSize, c.IntermediateSize = s.Widen*c.HiddenSize, s.Widen*I
	c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = s.Widen*heads, s.Widen*keys, width
	return c, c.Validate()
}

// Weights returns the weights of src in the shape: fewer of the MLP's values first, then wider.
func (s Shape) Weights(src *spec.Weights, seed uint64) (w *spec.Weights, err error) {
	w = src
	if s.MLP > 0 {
		w, err = prune(w, s.MLP)
	}
	if err == nil && s.Widen > 1 {
		w, err = widen(w, s.Widen, seed)
	}
	return w, err
}

// weights returns weights of c's shape changed by s, for prune and widen to fill.
func (s Shape) weights(c spec.Config) (*spec.Weights, error) {
	c, err := s.config(c)
	if err != nil {
		return nil, err
	}
	return spec.NewWeights(c)
}

// prune keeps the n of the MLP's values that can matter most: by the product of the norms of what makes and what reads them.
func prune(src *spec.Weights, n int) (*spec.Weights, error) {
	dst, err := Shape{MLP: n}.weights(src.Config)
	if err != nil {
		return nil, err
	}
	for i := range dst.Tensors {
		if from := src.Get(dst.Tensors[i].Name); len(from) == len(dst.At(i)) {
			copy(dst.At(i), from)
		}
	}
	c := dst.Config
	d, I := c.HiddenSize, src.Config.MLPWidth()
	for l := range c.NumHiddenLayers {
		p := spec.Layer(l) + "mlp."
		gate, up, down := src.Get(p+"gate_proj.weight"), src.Get(p+"up_proj.weight"), src.Get(p+"down_proj.weight")
		column := make([]float32, d)
		scores, kept := make([]float64, I), make([]int, I)
		for j := range I {
			for o := range column {
				column[o] = down[o*I+j]
			}
			kept[j], scores[j] = j, f32.SquareSum(gate[j*d:][:d])*f32.SquareSum(up[j*d:][:d])*f32.SquareSum(column)
		}
		slices.SortStableFunc(kept, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
		kept = kept[:n]
		slices.Sort(kept)
		toGate, toUp, toDown := dst.Get(p+"gate_proj.weight"), dst.Get(p+"up_proj.weight"), dst.Get(p+"down_proj.weight")
		for k, j := range kept {
			copy(toGate[k*d:][:d], gate[j*d:])
			copy(toUp[k*d:][:d], up[j*d:])
			for o := range d {
				toDown[o*n+k] = down[o*I+j]
			}
		}
	}
	return dst, nil
}

// widen returns the weights of a transformer n times as wide that computes what src does, but for rounding. Source: Net2WiderNet
// (Chen et al. 2016, arXiv 1511.05641), for every width of a transformer at once.
//
// Channels, heads and the MLP's values stand n times side by side, so that norms see the same mean squares. A matrix that reads
// them gives each copy a share of its weight, drawn from the seed for every weight, so that copies learn different things.
func widen(src *spec.Weights, n int, seed uint64) (*spec.Weights, error) {
	dst, err := Shape{Widen: n}.weights(src.Config)
	if err != nil {
		return nil, err
	}
	c := dst.Config
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
