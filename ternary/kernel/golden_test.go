package kernel_test

import (
	"math"
	"testing"

	"mmfree/ternary/goldentest"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// Goldens of single operations, forward and backward, through every set.

func eachSet(t *testing.T, name string, f func(t *testing.T, set *kernel.Set, g *goldentest.Golden)) {
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) { f(t, set, goldentest.Load(t, name)) })
	}
}

// rows returns a tensor's last dimension and how often it occurs.
func rows(g *goldentest.Golden, name string) (n, width int) {
	width = last(g, name)
	return len(g.F32(name)) / width, width
}

func last(g *goldentest.Golden, name string) int {
	s := g.Shape(name)
	return s[len(s)-1]
}

func zeros(x []float32) []float32 { return make([]float32, len(x)) }

func TestGoldenRMSNorm(t *testing.T) {
	eachSet(t, "op_rmsnorm", func(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
		var o struct{ Eps float32 }
		g.Options(&o)
		n, d := rows(g, "x")
		x, w, dy := g.F32("x"), g.F32("w"), g.F32("d_y")
		y, dx, dw := zeros(x), zeros(x), zeros(w)
		for i := range n {
			r := set.RMSNorm(y[i*d:][:d], x[i*d:][:d], w, o.Eps)
			set.RMSNormBackward(dx[i*d:][:d], dw, dy[i*d:][:d], x[i*d:][:d], w, r, false)
		}
		g.CheckOutput(t, "y", y)
		g.CheckOutput(t, "grad.x", dx)
		g.CheckOutput(t, "grad.w", dw)
	})
}

func TestGoldenOutputGate(t *testing.T) {
	eachSet(t, "op_output_gate", func(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
		var o struct{ Eps float32 }
		g.Options(&o)
		n, d := rows(g, "g")
		p, s, w, da := g.F32("g"), g.F32("s"), g.F32("w"), g.F32("d_a")
		a, dg, ds, dw := zeros(p), zeros(p), zeros(p), zeros(w)
		for i := range n {
			from, to := i*d, (i+1)*d
			r := set.OutputGate(a[from:to], p[from:to], s[from:to], w, o.Eps)
			set.OutputGateBackward(dg[from:to], ds[from:to], dw, da[from:to], p[from:to], s[from:to], w, r)
		}
		g.CheckOutput(t, "a", a)
		g.CheckOutput(t, "grad.g", dg)
		g.CheckOutput(t, "grad.s", ds)
		g.CheckOutput(t, "grad.w", dw)
	})
}

func TestGoldenSwiGLU(t *testing.T) {
	eachSet(t, "op_swiglu", func(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
		p, q := g.F32("p"), g.F32("q")
		z, dp, dq := zeros(p), zeros(p), zeros(p)
		set.SwiGLU(z, p, q)
		set.SwiGLUBackward(dp, dq, g.F32("d_z"), p, q)
		g.CheckOutput(t, "z", z)
		g.CheckOutput(t, "grad.p", dp)
		g.CheckOutput(t, "grad.q", dq)
	})
}

func TestGoldenBitLinear(t *testing.T) {
	for _, name := range goldentest.Names("op_bitlinear") {
		t.Run(name, func(t *testing.T) { eachSet(t, name, bitLinear) })
	}
}

func bitLinear(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
	var o struct {
		Eps      float32 `json:"bitlinear_eps"`
		Rounding string  `json:"activation_rounding"`
	}
	g.Options(&o)
	away := o.Rounding == spec.HalfAway
	N, K := rows(g, "x")
	R := g.Shape("w")[0]
	x, gain, dy := g.F32("x"), g.F32("gain"), g.F32("d_y")

	trits := make([]int8, R*K)
	mean, err := quant.Ternarize(trits, g.F32("w"))
	if err != nil {
		t.Fatal(err)
	}
	g.CheckCodes(t, "weight_codes", trits)
	g.CheckOutput(t, "weight_mean", []float32{mean})
	w, wt := pack.New(R, K), pack.New(K, R)
	w.Encode(trits, 0, w.Superblocks())
	wt.EncodeTransposed(trits, 0, wt.Superblocks())

	codes, inv, scale, out, ones := make([]int8, N*K), make([]float32, N), make([]float32, N), make([]float32, N), make([]float32, N)
	for i := range N {
		inv[i], scale[i] = set.NormQuantize(codes[i*K:][:K], x[i*K:][:K], gain, o.Eps, away)
		out[i], ones[i] = mean/scale[i], 1
	}
	g.CheckCodes(t, "codes", codes)
	g.CheckOutput(t, "scale", scale)
	y, floatSums, sums := zeros(dy), zeros(dy), make([]int64, N*R)
	set.MatMul(floatSums, R, w, 0, w.Superblocks(), codes, ones, N)
	for i, v := range floatSums {
		sums[i] = int64(v)
	}
	goldentest.CheckCodes(t, g, "sums", sums)
	set.MatMul(y, R, w, 0, w.Superblocks(), codes, out, N)
	g.CheckOutput(t, "y", y)

	dx, dgain, dw := zeros(x), zeros(gain), zeros(g.F32("w"))
	set.MatMulFloat(dx, K, wt, 0, wt.Superblocks(), dy, N, mean)
	for i := range N {
		set.RMSNormBackward(dx[i*K:][:K], dgain, dx[i*K:][:K], x[i*K:][:K], gain, inv[i], false)
	}
	set.OuterCodes(dw, dy, R, scale, codes, K, N, 0, R)
	g.CheckOutput(t, "grad.x", dx)
	g.CheckOutput(t, "grad.gain", dgain)
	g.CheckOutput(t, "grad.w", dw)
	// The same from codes kept as floats.
	float := make([]float32, N*K)
	for i, q := range codes {
		float[i] = float32(q)
	}
	again := zeros(dw)
	set.OuterFloat(again, dy, R, scale, float, K, N, 0, R)
	g.CheckOutput(t, "grad.w", again)
}

func TestGoldenRecurrence(t *testing.T) {
	for _, name := range goldentest.Names("op_recurrence") {
		t.Run(name, func(t *testing.T) { eachSet(t, name, recurrence) })
	}
}

// recurrence compares states, gates and gradients. The kernel takes the gradient of the states alone, so what the
// golden's gradients of f and u add is computed here from the formulas of spec §4, in float64.
func recurrence(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
	var o struct{ Layer, Layers int }
	g.Options(&o)
	shape := g.Shape("i")
	B, T, D := shape[0], shape[1], shape[2]
	i, z, ds, df, du := g.F32("i"), g.F32("z"), g.F32("d_s"), g.F32("d_f"), g.F32("d_u")

	var bound []float32
	probability := make([]float64, o.Layers*D)
	if o.Layer > 0 {
		bound = make([]float32, D)
		lambda := g.F32("lower_bounds")
		for c := range D {
			var sum, below float64
			for l := range o.Layers {
				sum += math.Exp(float64(lambda[l*D+c]))
			}
			for l := range o.Layers {
				probability[l*D+c] = math.Exp(float64(lambda[l*D+c])) / sum
				if l >= 1 && l <= o.Layer {
					below += probability[l*D+c]
				}
			}
			bound[c] = float32(below)
		}
	}
	states, state := zeros(i), append([]float32(nil), g.F32("s0")...)
	di, dz, dbound := zeros(i), zeros(i), make([]float32, D)
	for b := range B {
		at := b * T * D
		set.Recurrence(states[at:], state[b*D:][:D], i[at:], z[at:], bound, nil, T, D, 0, D)
		var into []float32
		if bound != nil {
			into = dbound
		}
		set.RecurrenceBackward(di[at:], dz[at:], into, ds[at:], states[at:], g.F32("s0")[b*D:][:D], i[at:], z[at:], bound, nil, T, D, 0, D)
		for c := range D {
			if last := states[at+(T-1)*D+c]; state[b*D+c] != last {
				t.Errorf("sequence %d, channel %d: carried state %v, last state %v", b, c, state[b*D+c], last)
			}
		}
	}
	g.CheckOutput(t, "s", states)

	f, u := zeros(i), zeros(i)
	for at := range i {
		var lb float64
		if bound != nil {
			lb = float64(bound[at%D])
		}
		sig, sigI := sigmoid(z[at]), sigmoid(i[at])
		forget, silu := lb+(1-lb)*sig, float64(i[at])*sigI
		f[at], u[at] = float32(forget), float32(silu*(1-forget))
		slope := sigI * (1 + float64(i[at])*(1-sigI))
		dForget := float64(df[at]) - float64(du[at])*silu
		di[at] += float32(float64(du[at]) * (1 - forget) * slope)
		dz[at] += float32(dForget * (1 - lb) * sig * (1 - sig))
		dbound[at%D] += float32(dForget * (1 - sig))
	}
	g.CheckOutput(t, "f", f)
	g.CheckOutput(t, "u", u)
	g.CheckOutput(t, "grad.i", di)
	g.CheckOutput(t, "grad.z", dz)
	if bound == nil {
		return
	}
	dlambda := make([]float32, o.Layers*D)
	for c := range D {
		// c_j = Σ_{ℓ≥j} dlb_ℓ, and only this one layer has a gradient.
		part := func(j int) float64 {
			if j >= 1 && j <= o.Layer {
				return float64(dbound[c])
			}
			return 0
		}
		var mean float64
		for l := range o.Layers {
			mean += probability[l*D+c] * part(l)
		}
		for l := range o.Layers {
			dlambda[l*D+c] = float32(probability[l*D+c] * (part(l) - mean))
		}
	}
	g.CheckOutput(t, "grad.lower_bounds", dlambda)
}

func sigmoid(z float32) float64 { return 1 / (1 + math.Exp(-float64(z))) }

func TestGoldenCrossEntropy(t *testing.T) {
	eachSet(t, "op_cross_entropy", func(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
		var o struct {
			Ignore int64 `json:"ignore_index"`
		}
		g.Options(&o)
		labels, upstream := g.I64("labels"), g.F32("d_loss")[0]
		N, V := rows(g, "logits")
		grad := append([]float32(nil), g.F32("logits")...)
		var loss float64
		count := 0
		for _, label := range labels {
			if label != o.Ignore {
				count++
			}
		}
		for n := range N {
			row := grad[n*V:][:V]
			if labels[n] == o.Ignore {
				clear(row)
				continue
			}
			top, sum, lse := set.LogSumExp(row)
			loss += lse - float64(row[labels[n]])
			set.SoftmaxGradient(row, top, sum, int(labels[n]), upstream/float32(count))
		}
		g.CheckOutput(t, "loss", []float32{float32(loss / float64(count))})
		g.CheckOutput(t, "grad.logits", grad)
	})
}

func TestGoldenAdamW(t *testing.T) {
	eachSet(t, "op_adamw", func(t *testing.T, set *kernel.Set, g *goldentest.Golden) {
		var o struct {
			LR    float64 `json:"lr"`
			Beta1 float64 `json:"beta1"`
			Beta2 float64 `json:"beta2"`
			Eps   float64 `json:"eps"`
			Decay float64 `json:"weight_decay"`
			Clip  float64 `json:"clip_norm"`
			Steps int     `json:"steps"`
		}
		g.Options(&o)
		names := []string{"matrix.weight", "gain.weight"}
		type slot struct{ theta, m, v, after []float32 }
		slots := map[string]*slot{}
		for _, name := range names {
			start := g.F32(name)
			slots[name] = &slot{theta: append([]float32(nil), start...), m: zeros(start), v: zeros(start)}
		}
		norms := make([]float32, o.Steps)
		for n := range o.Steps {
			var squares float64
			for _, name := range names {
				for _, v := range step(g, name, n) {
					squares += float64(v) * float64(v)
				}
			}
			norm := math.Sqrt(squares)
			norms[n] = float32(norm)
			for _, name := range names {
				s, decay := slots[name], 1.0
				if name == names[0] { // the matrix is decayed, the gain is not
					decay = 1 - o.LR*o.Decay
				}
				set.AdamW(s.theta, s.m, s.v, step(g, name, n), kernel.AdamStep{
					Clip: float32(min(1, o.Clip/(norm+1e-6))), Decay: float32(decay), Beta1: float32(o.Beta1), Beta2: float32(o.Beta2),
					Rest1: float32(1 - o.Beta1), Rest2: float32(1 - o.Beta2),
					Rate:        float32(o.LR / (1 - math.Pow(o.Beta1, float64(n+1)))),
					Correction2: float32(1 / (1 - math.Pow(o.Beta2, float64(n+1)))), Epsilon: float32(o.Eps),
				})
				s.after = append(s.after, s.theta...)
			}
		}
		for _, name := range names {
			g.CheckOutput(t, "after."+name, slots[name].after)
		}
		g.CheckOutput(t, "norm", norms)
	})
}

func step(g *goldentest.Golden, name string, n int) []float32 {
	size := len(g.F32(name))
	return g.F32("grads." + name)[n*size:][:size]
}
