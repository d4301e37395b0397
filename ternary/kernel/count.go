package kernel

import (
	"sync/atomic"

	"mmfree/ternary/pack"
)

// Counts holds what the kernels of Counting executed.
type Counts struct {
	WeightMultiplies atomic.Int64 // a weight times an activation
	WeightAdds       atomic.Int64 // an activation added or subtracted because of a weight
	ZerosSkipped     atomic.Int64 // zero weights, for which nothing is done
	OtherMultiplies  atomic.Int64 // norms, gates, scales, activations: no weight matrix involved
	// Beside the multiplications that they are made of; the few of a row that norms and quantisers need are not counted.
	Sigmoids     atomic.Int64 // each a polynomial of degree 6, its coefficients from a table
	Exponentials atomic.Int64
	Divisions    atomic.Int64
}

// Multiplications that the portable code executes for one value.
const (
	expMultiplies     = 12
	sigmoidMultiplies = 6 // beyond ±15.5 an exponential's and a division, which are not counted
	siluMultiplies    = sigmoidMultiplies + 1
	normMultiplies    = 3 // square, times r, times gain
)

// Counting returns a set for the forward pass that counts what it does. Its ternary products list where a row's trits are +1
// and −1, and add and subtract the activations there: as many operations as the lists are long. Multiplications of row
// operations are counted by call, from the length. Its results are the bits of every other set.
func Counting(c *Counts) *Set {
	s := Generic()
	s.Name = "counting"
	s.counts, s.plain = c, Generic()
	s.MatMul = func(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
		l := newSigns(w.Cols)
		for r := s0 * pack.SuperblockRows; r < min(s1*pack.SuperblockRows, w.Rows); r++ {
			w.DecodeRow(l.row, r)
			l.list()
			for t := range n {
				dst[t*ldd+r] = float32(countedSum(l, x[t*w.Cols:])) * scale[t]
			}
		}
		l.count(c)
	}
	s.Prepare = func(prepared []int16, x []int8) {
		for k, v := range x { // in the place of its word, as a part of a row may be prepared alone
			prepared[k/pack.TritsPerWord*PreparedLen(1)+k%pack.TritsPerWord] = int16(v)
		}
	}
	s.MatVec = func(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
		l, x := newSigns(w.Cols), make([]int16, w.Cols)
		for k := range x {
			x[k] = prepared[k/pack.TritsPerWord*PreparedLen(1)+k%pack.TritsPerWord]
		}
		for r := s0 * pack.SuperblockRows; r < min(s1*pack.SuperblockRows, w.Rows); r++ {
			w.DecodeRow(l.row, r)
			l.list()
			dst[r] = float32(countedSum(l, x)) * scale
		}
		l.count(c)
	}
	setFew(s)
	dense := s.Dense
	s.Dense = func(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
		dense(dst, ldd, w, x, K, n, r0, r1)
		c.WeightMultiplies.Add(int64(K) * int64(n) * int64(r1-r0))
	}
	others := func(perValue, values int) { c.OtherMultiplies.Add(int64(perValue) * int64(values)) }
	norm := s.RMSNorm
	s.RMSNorm = func(dst, x, gain []float32, eps float32) float32 {
		others(normMultiplies, len(x))
		return norm(dst, x, gain, eps)
	}
	quantize := s.NormQuantize
	s.NormQuantize = func(codes []int8, x, gain []float32, eps float32, away bool) (r, scale float32) {
		others(normMultiplies+2+1, len(x)) // normalised twice, once for the maximum; times the scale
		return quantize(codes, x, gain, eps, away)
	}
	recurrence := s.Recurrence
	s.Recurrence = func(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
		per := sigmoidMultiplies + siluMultiplies + 2 // silu(i)·(1−f), f·s
		if bound != nil {
			per++
		}
		if mask != nil {
			per++
		}
		others(per, T*(c1-c0))
		c.Sigmoids.Add(2 * int64(T*(c1-c0)))
		recurrence(states, state, i, z, bound, mask, T, D, c0, c1)
	}
	gate := s.OutputGate
	s.OutputGate = func(dst, g, st, gain []float32, eps float32) float32 {
		others(normMultiplies+siluMultiplies+1, len(g))
		c.Sigmoids.Add(int64(len(g)))
		return gate(dst, g, st, gain, eps)
	}
	swiglu := s.SwiGLU
	s.SwiGLU = func(dst, p, q []float32) {
		others(siluMultiplies+1, len(p))
		c.Sigmoids.Add(int64(len(p)))
		swiglu(dst, p, q)
	}
	shift := s.Shift
	s.Shift = func(dst, x, before, mix []float32) {
		others(2, len(dst))
		shift(dst, x, before, mix)
	}
	wkv := s.WKV
	s.WKV = func(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
		n := T * (c1 - c0)
		others(2*(expMultiplies+3), n) // past·a, now·v, past·b
		c.Exponentials.Add(2 * int64(n))
		c.Divisions.Add(int64(n))
		wkv(y, states, state, k, v, rate, bonus, mask, T, D, c0, c1)
	}
	receptance := s.Receptance
	s.Receptance = func(dst, r, y []float32) {
		others(sigmoidMultiplies+1, len(r))
		c.Sigmoids.Add(int64(len(r)))
		receptance(dst, r, y)
	}
	return s
}

// signs lists the places of a row's trits by their sign, and counts the sums made with them.
type signs struct {
	row         []int8
	plus, minus []int32
	place       [2][]int32 // memory of both

	adds, zeros, sums int64
}

func newSigns(columns int) *signs {
	return &signs{row: make([]int8, columns), place: [2][]int32{make([]int32, columns), make([]int32, columns)}}
}

// list makes the lists of the trits in row. Without branches: a third of the trits are zero in no pattern.
func (l *signs) list() {
	plus, minus, p, m := l.place[0], l.place[1], 0, 0
	for k, t := range l.row {
		plus[p], minus[m] = int32(k), int32(k)
		p += int(t+1) >> 1
		m += int(1-t) >> 1
	}
	l.plus, l.minus = plus[:p], minus[:m]
}

// count adds what was done to c: of each sum one multiplication, by its scale.
func (l *signs) count(c *Counts) {
	c.WeightAdds.Add(l.adds)
	c.ZerosSkipped.Add(l.zeros)
	c.OtherMultiplies.Add(l.sums)
}

// countedSum adds x where the trit is +1, subtracts where it is −1, and does nothing where it is 0.
func countedSum[T int8 | int16](l *signs, x []T) (sum int32) {
	for _, k := range l.plus {
		sum += int32(x[k])
	}
	for _, k := range l.minus {
		sum -= int32(x[k])
	}
	l.adds += int64(len(l.plus) + len(l.minus))
	l.zeros += int64(len(l.row) - len(l.plus) - len(l.minus))
	l.sums++
	return sum
}
