package op

import (
	"math"

	"mmfree/ternary/f32"
)

// Targets is what a teacher makes of a batch of N tokens. A token's loss is then
//
//	(1 − Share)·CE + Share·τ²·KL + HiddenShare·Σ_l |h_l − g_l|² / (L·mean|g_l|²)
//
// CE is the labels' cross-entropy. KL is between the teacher's p and the student's q, softmaxes of the logits over τ, each
// over K+1 things: the teacher's K likeliest tokens, and all others together. h_l is the student's residual stream behind
// the parts that Hidden names, L of them, and g_l the teacher's.
type Targets struct {
	Share, Temperature float32 // τ
	Reverse            bool    // KL(q‖p), which seeks p's peaks, in place of KL(p‖q), which covers all of p
	K                  int
	IDs                []int32   // [N, K]; none twice for a token
	LogP               []float32 // [N, K], natural logarithms
	LogRest            []float32 // [N], of the probability of all other tokens; −Inf where K is the whole vocabulary

	HiddenShare float32
	HiddenOnly  bool                 // logits have no gradient
	Hidden      map[string][]float32 // [N, d] by the part's name in layer.TapName

	// AttentionShare is the weight of the attention relations of the student's last layer: for queries, keys and values of
	// each head x, R = softmax over the tokens so far of x·xᵀ/√c, and KL(teacher's R‖R), averaged over the three and the heads.
	// Relations are the teacher's queries, keys and values, not rotated, [N, heads·c] each, its c its own.
	AttentionShare float32
	Relations      [3][]float32

	// Σ over tokens of KL, of the hidden loss and of that of relations without their shares, of the last backward pass.
	KLSum, HiddenSum, RelationSum float64
}

// smallestRest bounds the student's probability of all other tokens from below: it is the difference of 1 and a sum.
const smallestRest = 1e-6

// distil writes Share times the gradient of τ²·KL with respect to a token's logits z [V] to g [V], multiplied by scale, and
// returns KL. t is the token, own and logQs have room for K values.
func (w *Workspace) distil(g, z, own, logQs []float32, t int, scale float32) float64 {
	x := w.Targets
	ids, logP := x.IDs[t*x.K:][:x.K], x.LogP[t*x.K:][:x.K]
	inv := 1 / x.Temperature
	for i, v := range z {
		g[i] = float32(v * inv)
	}
	// q by the loss's own kernels, whose label is taken back.
	top, sum, _ := w.Env.Set.LogSumExp(g)
	logSum := f32.Log(float64(sum))
	first := int(ids[0])
	var kl, seen float64
	for k, id := range ids {
		lq := float64(float32(z[id]*inv)) - float64(top) - logSum
		logQs[k] = float32(lq)
		q := float64(f32.Exp(float32(lq)))
		seen += q
		if x.Reverse {
			kl += q * (lq - float64(logP[k]))
		} else {
			kl += float64(f32.Exp(logP[k])) * (float64(logP[k]) - lq)
		}
	}
	rest, pRest, ratio := max(1-seen, smallestRest), 0.0, 0.0 // ratio: ln(q/p) of the others
	if whole := x.K == len(z); !whole {
		logRest := max(float64(x.LogRest[t]), math.Log(smallestRest))
		pRest, ratio = float64(f32.Exp(float32(logRest))), f32.Log(rest)-logRest
		if x.Reverse {
			kl += rest * ratio
		} else {
			kl -= pRest * ratio
		}
	}
	w.Env.Set.SoftmaxGradient(g, top, sum, first, 1)
	g[first]++
	scale *= x.Share * x.Temperature // τ² of the loss, 1/τ of the logits
	others := scale * float32(1-pRest/rest)
	if x.Reverse {
		others = scale * float32(ratio-kl)
	}
	for k, id := range ids {
		own[k] = g[id]
	}
	for i := range g {
		g[i] *= others
	}
	for k, id := range ids {
		if x.Reverse {
			g[id] = scale * own[k] * float32(float64(logQs[k])-float64(logP[k])-kl)
		} else {
			g[id] = scale * (own[k] - f32.Exp(logP[k]))
		}
	}
	return kl
}

// teach returns what adds the gradient of the hidden loss of a part, whose output is out [N, d], to that of the output.
func (w *Workspace) teach(name string, out []float32) func(dh []float32) {
	return func(dh []float32) {
		if w.Targets == nil || w.Targets.HiddenShare == 0 {
			return
		}
		x := w.Targets
		want := x.Hidden[name]
		if want == nil {
			return
		}
		var size, off float64
		for i, g := range want {
			d := float64(out[i]) - float64(g)
			size += float64(g) * float64(g)
			off += d * d
		}
		each := 1 / (float64(len(x.Hidden)) * size / float64(w.N))
		x.HiddenSum += off * each
		c := float32(2 * float64(x.HiddenShare) * each * float64(w.LossScale))
		for i, g := range want {
			dh[i] += float32(c * (out[i] - g))
		}
	}
}
