package generic

import "mmfree/ternary/f32"

// forget returns f and σ(z): the gate after and before the bound.
func forget(z float32, bound []float32, c int) (f, sig float32) {
	sig = f32.Sigmoid(z)
	if bound == nil {
		return sig, sig
	}
	lb := bound[c]
	return lb + float32((1-lb)*sig), sig
}

// Recurrence is kernel.Set.Recurrence.
func Recurrence(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
	for t := range T {
		keep := float32(1)
		if mask != nil {
			keep = mask[t]
		}
		for c := c0; c < c1; c++ {
			at := t*D + c
			f, _ := forget(z[at], bound, c)
			u := float32(f32.Silu(i[at]) * (1 - f))
			if mask != nil {
				u = float32(u * keep)
			}
			s := float32(f*state[c]) + u
			state[c] = s
			states[at] = s
		}
	}
}

// RecurrenceBackward is kernel.Set.RecurrenceBackward.
func RecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var carried float32 // f_{t+1}·δ_{t+1}
		var dlb float32
		for t := T - 1; t >= 0; t-- {
			at := t*D + c
			delta := ds[at] + carried
			previous := before[c]
			if t > 0 {
				previous = states[at-D]
			}
			f, sig := forget(z[at], bound, c)
			carried = float32(f * delta)
			du := delta
			if mask != nil {
				du = float32(du * mask[t])
			}
			sigI := f32.Sigmoid(i[at])
			silu := i[at] * sigI
			di[at] = float32(du*(1-f)) * siluSlope(i[at], sigI)
			df := float32(delta*previous) - float32(du*silu)
			slope := float32(sig * (1 - sig))
			if bound == nil {
				dz[at] = df * slope
				continue
			}
			dz[at] = float32(df*(1-bound[c])) * slope
			dlb += float32(df * (1 - sig))
		}
		if bound != nil {
			dbound[c] += dlb
		}
	}
}

// siluSlope returns silu'(z) = σ(1 + z(1−σ)).
func siluSlope(z, sig float32) float32 { return sig * (1 + float32(z*(1-sig))) }

// OutputGate is kernel.Set.OutputGate.
func OutputGate(dst, g, s, gain []float32, eps float32) (r float32) {
	r = inverseRMS(g, eps)
	n := len(g)
	dst, s, gain = dst[:n], s[:n], gain[:n]
	for j, v := range g {
		dst[j] = float32(float32(v*r)*gain[j]) * f32.Silu(s[j])
	}
	return r
}

// OutputGateBackward is kernel.Set.OutputGateBackward.
func OutputGateBackward(dg, ds, dgain, da, g, s, gain []float32, r float32) {
	n := len(g)
	dg, ds, da, s, gain = dg[:n], ds[:n], da[:n], s[:n], gain[:n]
	for j, v := range g {
		sig := f32.Sigmoid(s[j])
		ds[j] = float32(da[j]*float32(float32(v*r)*gain[j])) * siluSlope(s[j], sig)
		dg[j] = da[j] * float32(s[j]*sig) // e, the gradient of the normalised projection
	}
	RMSNormBackward(dg, dgain, dg, g, gain, r, false)
}

// SwiGLU is kernel.Set.SwiGLU.
func SwiGLU(dst, p, q []float32) {
	dst, q = dst[:len(p)], q[:len(p)]
	for j, v := range p {
		dst[j] = f32.Silu(v) * q[j]
	}
}

// SwiGLUBackward is kernel.Set.SwiGLUBackward.
func SwiGLUBackward(dp, dq, dz, p, q []float32) {
	n := len(p)
	dp, dq, dz, q = dp[:n], dq[:n], dz[:n], q[:n]
	for j, v := range p {
		sig := f32.Sigmoid(v)
		d := dz[j]
		dp[j] = float32(d*q[j]) * siluSlope(v, sig)
		dq[j] = d * float32(v*sig)
	}
}

// Add is kernel.Set.Add.
func Add(dst, a, b []float32) {
	dst, b = dst[:len(a)], b[:len(a)]
	for j, v := range a {
		dst[j] = v + b[j]
	}
}
