package autograd

import (
	"fmt"
	"math"
	"slices"

	"mmfree/ternary/spec"
)

// reference is the whole model in float64: the formulas of spec §1 to §5 as plain loops, sharing no code with the
// product. Its quantisers are straight-through: the first run (frozen false) records, for every value that is quantised,
// the offset c = Q(v) − v; later runs compute v + c. With offsets held still the loss is a smooth function of the
// weights, whose true gradient is by definition the straight-through gradient (spec §3.2: the whole difference quantised
// − unquantised is detached). Differences of it check that gradient without knowing its formulas.
type reference struct {
	config  spec.Config
	weights map[string][]float64

	// keep returns what the values of half a block are multiplied by before the residual stream takes them: the halves
	// count from 0, values run over the batch's tokens. Nil: all by 1.
	keep func(half, value int) float64

	// λ of a Blend's weights and activations: each quantiser gives v + λ·(Q(v) − v).
	weightShare, activationShare float64

	streams map[string][]float64 // of the last run: the residual stream behind the second half of each layer, [N, d]

	// From token cut of each sequence on (0: never), recurrent states begin with what the first run had there: constants.
	cut    int
	first  int // the first token of the sequence in flight, in its batch
	states map[string][]float64

	frozen  bool
	offsets [][]float64 // in the order of the calls of quantise
	next    int
	ternary map[string][]float64 // of this run: each weight is quantised once
	margin  float64              // smallest distance of a value times its scale to a half: below it codes could differ
}

func newReference(w *spec.Weights) *reference {
	r := &reference{config: w.Config, weights: map[string][]float64{}, margin: math.Inf(1), weightShare: 1, activationShare: 1}
	for i, t := range w.Tensors {
		for _, v := range w.At(i) {
			r.weights[t.Name] = append(r.weights[t.Name], float64(v))
		}
	}
	return r
}

// quantise returns v + share·(Q(v) − v), Q(v) = clamp(round(v·scale), ±limit)/scale, or v + c.
func (r *reference) quantise(v []float64, share, scale, limit float64, round func(float64) float64) []float64 {
	return r.step(v, share, scale, limit, 1/scale, round)
}

// step is quantise with Q(v) = clamp(round(v·scale), ±limit)·size.
func (r *reference) step(v []float64, share, scale, limit, size float64, round func(float64) float64) []float64 {
	out := make([]float64, len(v))
	if r.frozen {
		for i, c := range r.offsets[r.next] {
			out[i] = v[i] + c
		}
		r.next++
		return out
	}
	offsets := make([]float64, len(v))
	for i := range v {
		x := v[i] * scale
		r.margin = min(r.margin, math.Abs(math.Abs(x-math.Floor(x))-0.5))
		offsets[i] = share * (max(-limit, min(limit, round(x)))*size - v[i])
		out[i] = v[i] + offsets[i]
	}
	r.offsets = append(r.offsets, offsets)
	return out
}

// weight returns the quantised weight of that name: codes of one whole tensor, times its mean magnitude.
func (r *reference) weight(name string) []float64 {
	if q := r.ternary[name]; q != nil {
		return q
	}
	w, mean := r.weights[name], 0.0
	for _, v := range w {
		mean += math.Abs(v) / float64(len(w))
	}
	r.ternary[name] = r.quantise(w, r.weightShare, 1/max(mean, 1e-5), 1, math.RoundToEven)
	return r.ternary[name]
}

func rms64(x, gain []float64, eps float64) []float64 {
	var square float64
	for _, v := range x {
		square += v * v
	}
	inv := 1 / math.Sqrt(square/float64(len(x))+eps)
	y := make([]float64, len(x))
	for j := range x {
		y[j] = x[j] * inv * gain[j]
	}
	return y
}

// product returns x·Wᵀ for W [len(w)/len(x), len(x)].
func product(w, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for o := range y {
		for j, v := range x {
			y[o] += w[o*len(x)+j] * v
		}
	}
	return y
}

func (r *reference) activations(x []float64, name string) []float64 {
	return r.row(rms64(x, r.weights[name+".norm.weight"], r.config.BitLinearEps))
}

// row quantises one token's row.
func (r *reference) row(n []float64) []float64 {
	top := 1e-5
	for _, v := range n {
		top = max(top, math.Abs(v))
	}
	round := math.RoundToEven
	if r.config.ActivationRounding == spec.HalfAway {
		round = math.Round
	}
	return r.quantise(n, r.activationShare, 127/top, 127, round)
}

func (r *reference) bitLinear(x []float64, name string) []float64 {
	weight := name + ".weight"
	if weight == spec.HeadName && r.config.TieWordEmbeddings {
		weight = spec.EmbeddingName(r.config)
	}
	return product(r.weight(weight), r.activations(x, name))
}

func sigmoid64(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

func silu64(z float64) float64 { return z * sigmoid64(z) }

// bounds returns lb [L, d]: the softmax of Λ over layers, summed from layer 1 up to each.
func (r *reference) bounds() []float64 {
	lambda, L, d := r.weights[spec.LowerBoundsName], r.config.NumHiddenLayers, r.config.HiddenSize
	lb := make([]float64, len(lambda))
	if lambda == nil {
		return nil
	}
	for c := range d {
		var total, below float64
		for l := range L {
			total += math.Exp(lambda[l*d+c])
		}
		for l := 1; l < L; l++ {
			below += math.Exp(lambda[l*d+c]) / total
			lb[l*d+c] = below
		}
	}
	return lb
}

// lossSum returns the summed loss of a batch, and all logits one token after the other.
func (r *reference) lossSum(ids, labels []int32, B int) (loss float64, logits []float64) {
	r.next, r.ternary, r.streams = 0, map[string][]float64{}, map[string][]float64{}
	T := len(ids) / B
	for b := range B {
		for t, y := range r.sequence(ids[b*T:][:T], b*T) {
			logits = append(logits, y...)
			if label := labels[b*T+t]; label >= 0 {
				var sum float64
				for _, v := range y {
					sum += math.Exp(v)
				}
				loss += math.Log(sum) - y[label]
			}
		}
	}
	return loss, logits
}

// record keeps the residual stream of a sequence behind layer l.
func (r *reference) record(l int, h [][]float64) {
	name := fmt.Sprintf("layers.%d.mlp", l)
	for _, row := range h {
		r.streams[name] = append(r.streams[name], row...)
	}
}

// detach makes state what it was when this was first called for the part in the sequence in flight.
func (r *reference) detach(part string, state []float64) {
	if r.states == nil {
		r.states = map[string][]float64{}
	}
	name := fmt.Sprintf("%s, sequence at %d", part, r.first)
	if r.states[name] == nil {
		r.states[name] = slices.Clone(state)
	}
	copy(state, r.states[name])
}

// sequence returns the logits of one sequence, whose first token is number first of the batch.
func (r *reference) sequence(ids []int32, first int) (logits [][]float64) {
	c := r.config
	r.first = first
	if c.MaxPositions() > 0 {
		return r.attentionSequence(ids)
	}
	add := func(half, t int, h, branch []float64) {
		for j, v := range branch {
			if r.keep != nil {
				v *= r.keep(half, (first+t)*len(h)+j)
			}
			h[j] += v
		}
	}
	d, D, I := c.HiddenSize, c.RecurrenceWidth(), c.MLPWidth()
	gain := func(name string) []float64 { return r.weights[name] }
	h := make([][]float64, len(ids))
	for t, id := range ids {
		h[t] = append([]float64{}, gain(spec.EmbeddingsName)[int(id)*d:][:d]...)
	}
	lb := r.bounds()
	for l := range c.NumHiddenLayers {
		p := spec.Layer(l)
		if c.Arch == spec.ArchRWKV4 {
			for t, branch := range r.timeMixing(p, h) {
				add(2*l, t, h[t], branch)
			}
		}
		s := make([]float64, D)
		for t := range h {
			if c.Arch == spec.ArchRWKV4 {
				break
			}
			if r.cut > 0 && t == r.cut {
				r.detach(p, s)
			}
			x := rms64(h[t], gain(p+"attn_norm.weight"), c.RMSNormEps)
			i, z, g := r.bitLinear(x, p+"attn.i_proj"), r.bitLinear(x, p+"attn.f_proj"), r.bitLinear(x, p+"attn.g_proj")
			for j := range s {
				f := sigmoid64(z[j])
				if l > 0 && c.UseLowerBound {
					f = lb[l*d+j] + (1-lb[l*d+j])*f
				}
				s[j] = f*s[j] + silu64(i[j])*(1-f)
			}
			a := rms64(g, gain(p+"attn.g_norm.weight"), c.RMSNormEps)
			for j := range a {
				a[j] *= silu64(s[j])
			}
			add(2*l, t, h[t], r.bitLinear(a, p+"attn.o_proj"))
		}
		for t := range h {
			pq := r.bitLinear(rms64(h[t], gain(p+"mlp_norm.weight"), c.RMSNormEps), p+"mlp.gate_proj")
			z := make([]float64, I)
			for j := range z {
				z[j] = silu64(pq[j]) * pq[I+j]
			}
			var y []float64
			if c.DownProj == spec.DownDenseUnnormed {
				y = product(r.weights[p+"mlp.down_proj.weight"], z)
			} else {
				y = r.bitLinear(z, p+"mlp.down_proj")
			}
			add(2*l+1, t, h[t], y)
		}
		r.record(l, h)
	}
	for t := range h {
		logits = append(logits, r.bitLinear(rms64(h[t], gain(spec.FinalNormName), c.RMSNormEps), "lm_head"))
	}
	return logits
}
