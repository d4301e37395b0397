package repro

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
)

// mixerVariant says how a recurrence differs from the MLGRU: f = σ(z) with its lower bound, u = silu(i)·(1−f), s = f·s + u,
// out = norm(g)∘silu(s).
type mixerVariant struct {
	forget  float32                 // a gate that is the same at every token; 0: σ(z)
	tanh    bool                    // the candidate is tanh(i)
	untied  bool                    // u is the candidate, whatever f
	noGate  bool                    // out is silu(s), without norm(g)
	sigmoid bool                    // out is norm(g)∘σ(s)
	sigma   func(x float32) float32 // stands for σ in the forward pass; nil: σ
}

// install puts the variant's forward and backward passes into a set: both paths run the model that the set makes.
func (v mixerVariant) install(s *kernel.Set) {
	if v.forget > 0 || v.tanh || v.untied {
		s.Recurrence, s.RecurrenceBackward = v.recurrence, v.recurrenceBackward
	}
	if v.noGate || v.sigmoid {
		s.OutputGate, s.OutputGateBackward = v.outputGate(s), v.outputGateBackward(s)
	}
}

// gates returns f, σ(z), the candidate with its slope, and what the candidate is multiplied by.
func (v mixerVariant) gates(i, z float32, bound []float32, c int) (f, sig, candidate, slope, in float32) {
	sig = v.squashed(z)
	f = sig
	switch {
	case v.forget > 0:
		f = v.forget
	case bound != nil:
		f = bound[c] + (1-bound[c])*sig
	}
	if v.tanh {
		candidate = 2*f32.Sigmoid(2*i) - 1
		slope = 1 - candidate*candidate
	} else {
		candidate, slope = v.silu(i)
	}
	in = 1 - f
	if v.untied {
		in = 1
	}
	return f, sig, candidate, slope, in
}

// squashed is σ(x), or what stands for it.
func (v mixerVariant) squashed(x float32) float32 {
	if v.sigma != nil {
		return v.sigma(x)
	}
	return f32.Sigmoid(x)
}

// silu returns silu(x) and its slope.
func (v mixerVariant) silu(x float32) (y, slope float32) {
	sig := v.squashed(x)
	return x * sig, sig * (1 + x*(1-sig))
}

// recurrence is kernel.Set.Recurrence of the variant.
func (v mixerVariant) recurrence(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
	for t := range T {
		for c := c0; c < c1; c++ {
			at := t*D + c
			f, _, candidate, _, in := v.gates(i[at], z[at], bound, c)
			u := candidate * in
			if mask != nil {
				u *= mask[t]
			}
			state[c] = f*state[c] + u
			states[at] = state[c]
		}
	}
}

// recurrenceBackward is kernel.Set.RecurrenceBackward of the variant.
func (v mixerVariant) recurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var carried, dlb float32
		for t := T - 1; t >= 0; t-- {
			at := t*D + c
			delta := ds[at] + carried
			previous := before[c]
			if t > 0 {
				previous = states[at-D]
			}
			f, sig, candidate, slope, in := v.gates(i[at], z[at], bound, c)
			carried = f * delta
			du := delta
			if mask != nil {
				du *= mask[t]
			}
			di[at] = du * in * slope
			df := delta * previous
			if !v.untied {
				df -= du * candidate
			}
			switch {
			case v.forget > 0:
				dz[at] = 0
			case bound != nil:
				dz[at] = df * (1 - bound[c]) * sig * (1 - sig)
				dlb += df * (1 - sig)
			default:
				dz[at] = df * sig * (1 - sig)
			}
		}
		if bound != nil {
			dbound[c] += dlb
		}
	}
}

// squash is what the variant makes of the state at the output, with its slope.
func (v mixerVariant) squash(x float32) (y, slope float32) {
	if !v.sigmoid {
		return v.silu(x)
	}
	sig := v.squashed(x)
	return sig, sig * (1 - sig)
}

// outputGate is kernel.Set.OutputGate of the variant.
func (v mixerVariant) outputGate(set *kernel.Set) func(dst, g, s, gain []float32, eps float32) float32 {
	norm := set.RMSNorm
	return func(dst, g, s, gain []float32, eps float32) (r float32) {
		r = norm(dst, g, gain, eps)
		for j, x := range s[:len(g)] {
			y, _ := v.squash(x)
			if v.noGate {
				dst[j] = y
				continue
			}
			dst[j] *= y
		}
		return r
	}
}

// outputGateBackward is kernel.Set.OutputGateBackward of the variant.
func (v mixerVariant) outputGateBackward(set *kernel.Set) func(dg, ds, dgain, da, g, s, gain []float32, r float32) {
	norm := set.RMSNormBackward
	return func(dg, ds, dgain, da, g, s, gain []float32, r float32) {
		for j, x := range s[:len(g)] {
			y, slope := v.squash(x)
			if v.noGate {
				ds[j], dg[j] = da[j]*slope, 0
				continue
			}
			ds[j] = da[j] * (g[j] * r * gain[j]) * slope
			dg[j] = da[j] * y
		}
		if !v.noGate {
			norm(dg, dgain, dg, g, gain, r, false)
		}
	}
}
