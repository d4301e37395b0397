package autograd

import (
	"math"
	"slices"
	"testing"

	"mmfree/ternary/spec"
)

// TestHeadLiterally evaluates spec §3.2, §2 and §5 by hand for the one BitLinear whose upstream gradient is known without
// a model: the head. From the residual stream before it and the logits behind it follow the gradients of its weight, of
// its norm and of the final norm.
func TestHeadLiterally(t *testing.T) {
	const B, T = 2, 9
	c := smallConfig()
	ids, labels, count := smallBatch(c, B, T)
	w, _ := clearOfHalves(t, c, ids, labels, B, nil)
	s := newTestSession(t, w, 2, false)
	if _, err := s.Backward(ids, labels, B, 1/float64(count)); err != nil {
		t.Fatal(err)
	}
	d, V := c.HiddenSize, c.VocabSize
	logits := make([]float32, len(ids)*V)
	var h []float32
	err := s.Forward(ids, B, logits, func(part string, rows []float32) {
		if part == "layers.1.mlp" {
			h = slices.Clone(rows)
		}
	})
	if err != nil {
		t.Fatal(err)
	}

	// W_q = t/k, and the codes' scale.
	weight := w.Get(spec.HeadName)
	var m float64
	for _, v := range weight {
		m += math.Abs(float64(v)) / float64(len(weight))
	}
	wq := make([]float64, len(weight))
	clamped, zero := 0, 0
	for i, v := range weight {
		code := max(-1, min(1, math.RoundToEven(float64(v)/m)))
		wq[i] = code * m
		if math.Abs(float64(v)) > 1.5*m {
			clamped++
		}
		if code == 0 {
			zero++
		}
	}
	if clamped < 5 || zero < 5 { // the gradient must pass both
		t.Fatalf("%d clamped and %d zero weights", clamped, zero)
	}

	normOut, norm := w.Get(spec.HeadNormName), w.Get(spec.FinalNormName)
	dW, dNormOut, dNorm := make([]float64, V*d), make([]float64, d), make([]float64, d)
	for t, label := range labels {
		if label < 0 {
			continue
		}
		// x̂ of the final norm, x, x̂ of the inner norm, x̃, X_q = q/s.
		final, _ := normalise(h[t*d:][:d], c.RMSNormEps)
		x := make([]float32, d)
		for j := range x {
			x[j] = float32(final[j] * float64(norm[j]))
		}
		inner, inv := normalise(x, c.BitLinearEps)
		var top float64
		for j := range inner {
			top = max(top, math.Abs(inner[j]*float64(normOut[j])))
		}
		scale := 127 / top
		// dY = (softmax − onehot)/count.
		dy := make([]float64, V)
		var sum float64
		for o := range dy {
			dy[o] = math.Exp(float64(logits[t*V+o]))
			sum += dy[o]
		}
		dx := make([]float64, d)
		for o := range dy {
			dy[o] = dy[o] / sum / float64(count)
			if o == int(label) {
				dy[o] -= 1 / float64(count)
			}
			for j := range d {
				dx[j] += dy[o] * wq[o*d+j]
				dW[o*d+j] += dy[o] * math.RoundToEven(inner[j]*float64(normOut[j])*scale) / scale
			}
		}
		// §2: dw = Σ dy∘x̂; v = dy∘w; dx = r·(v − x̂·mean(v∘x̂)).
		var mean float64
		for j := range d {
			dNormOut[j] += dx[j] * inner[j]
			mean += dx[j] * float64(normOut[j]) * inner[j] / float64(d)
		}
		for j := range d {
			dNorm[j] += inv * (dx[j]*float64(normOut[j]) - inner[j]*mean) * final[j]
		}
	}
	checkGradient(t, spec.HeadName, s.Grads().Get(spec.HeadName), dW)
	checkGradient(t, spec.HeadNormName, s.Grads().Get(spec.HeadNormName), dNormOut)
	checkGradient(t, spec.FinalNormName, s.Grads().Get(spec.FinalNormName), dNorm)
}

// normalise returns x̂ = x·r and r.
func normalise(x []float32, eps float64) (unit []float64, r float64) {
	for _, v := range x {
		r += float64(v) * float64(v)
	}
	r = 1 / math.Sqrt(r/float64(len(x))+eps)
	for _, v := range x {
		unit = append(unit, float64(v)*r)
	}
	return unit, r
}
