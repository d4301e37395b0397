package layer

import "mmfree/ternary/f32"

// rope rotates pairs of channels by angles that grow with the position, the half-split form: channel j < c/2 turns with
// channel j + c/2 by position·θ_j, θ_j = base^(−2j/c) (spec §10). Its table grows with the positions that are asked for.
type rope struct {
	half     int       // c/2
	angle    []float64 // θ_j [half]
	cos, sin []float32 // [positions, half], in float64 rounded once
}

func newRope(width int, base float64) *rope {
	r := &rope{half: width / 2}
	for j := range r.half {
		r.angle = append(r.angle, f32.Power(base, float64(-2*j)/float64(width)))
	}
	return r
}

// grow makes the table for positions below n, in whole pages, so that tokens one by one rarely make it grow.
func (r *rope) grow(n int) {
	have := len(r.cos) / r.half
	if n <= have {
		return
	}
	n = (n + keyPage - 1) / keyPage * keyPage
	cos, sin := make([]float32, n*r.half), make([]float32, n*r.half)
	copy(cos, r.cos)
	copy(sin, r.sin)
	for p := have; p < n; p++ {
		for j, a := range r.angle {
			s, c := f32.SinCos(float64(float64(p) * a))
			cos[p*r.half+j], sin[p*r.half+j] = float32(c), float32(s)
		}
	}
	r.cos, r.sin = cos, sin
}

// turn writes the head x [c] at a position, rotated and multiplied by scale, to dst, which may be x.
func (r *rope) turn(dst, x []float32, position int, scale float32) {
	cos, sin := r.cos[position*r.half:][:r.half], r.sin[position*r.half:][:r.half]
	lo, hi := x[:r.half], x[r.half:][:r.half]
	for j, c := range cos {
		a, b, s := lo[j], hi[j], sin[j]
		dst[j] = float32(float32(a*c)-float32(b*s)) * scale
		dst[r.half+j] = float32(float32(b*c)+float32(a*s)) * scale
	}
}

// turnBack is the gradient of turn: the rotation the other way, times scale.
func (r *rope) turnBack(dst, d []float32, position int, scale float32) {
	cos, sin := r.cos[position*r.half:][:r.half], r.sin[position*r.half:][:r.half]
	lo, hi := d[:r.half], d[r.half:][:r.half]
	for j, c := range cos {
		a, b, s := lo[j], hi[j], sin[j]
		dst[j] = float32(float32(a*c)+float32(b*s)) * scale
		dst[r.half+j] = float32(float32(b*c)-float32(a*s)) * scale
	}
}
