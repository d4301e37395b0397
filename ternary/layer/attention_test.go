package layer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/f32"
	"mmfree/ternary/goldentest"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
)

// rows turns [B, heads, T, c] into [B·T, heads·c].
func rows(x []float32, B, heads, T, c int) []float32 {
	out := make([]float32, len(x))
	for i := range x {
		b, h, t, j := i/(heads*T*c), i/(T*c)%heads, i/c%T, i%c
		out[((b*T+t)*heads+h)*c+j] = x[i]
	}
	return out
}

// headsOf is its inverse.
func headsOf(x []float32, B, heads, T, c int) []float32 {
	out := make([]float32, len(x))
	for i := range x {
		b, h, t, j := i/(heads*T*c), i/(T*c)%heads, i/c%T, i%c
		out[i] = x[((b*T+t)*heads+h)*c+j]
	}
	return out
}

// newTestAttention is attention alone: its projections exist in shape only.
func newTestAttention(heads, keys, width int, theta float64) *Attention {
	shape := func(n int) Projection { return Projection{Rows: n, Cols: 1, Dense: []float32{}} }
	m := &Attention{
		Heads: heads, KeyHeads: keys, Width: width, rope: newRope(width, theta), scale: 1 / f32.Sqrt(float32(width)),
		In:  Fan{Shared: true, Projections: []Projection{shape(heads * width), shape(keys * width), shape(keys * width)}},
		Out: Projection{Rows: 1, Cols: heads * width, Dense: []float32{}},
	}
	return m
}

// attendAll runs all heads over q, k, v as rows.
func attendAll(m *Attention, e *Env, B, T int, s *KeyValues, q, k, v []float32, starts []bool) *AttentionBuffers {
	buf := m.NewAttentionBuffers(B*T, nil, false)
	buf.Fan.Out = [][]float32{q, k, v}
	j := &buf.job
	j.env, j.m, j.buf, j.s, j.starts, j.n, j.T = e, m, buf, s, starts, B*T, T
	m.rope.grow(s.Length() + T)
	s.grow(s.Length() + T)
	e.Pool.Run(B*m.KeyHeads, j.attend)
	return buf
}

func TestAttentionGolden(t *testing.T) {
	for _, name := range goldentest.Names("op_attention") {
		for _, set := range append(kernel.Available(), kernel.Counting(new(kernel.Counts))) {
			t.Run(name+"/"+set.Name, func(t *testing.T) {
				g := goldentest.Load(t, name)
				var o struct {
					Theta float64 `json:"rope_theta"`
				}
				g.Options(&o)
				q, k := g.Shape("q"), g.Shape("k")
				B, heads, T, c, keys := q[0], q[1], q[2], q[3], k[1]
				m := newTestAttention(heads, keys, c, o.Theta)
				e := &Env{Set: set, Pool: par.New(1)}
				s := m.NewPass(B, T)
				buf := attendAll(m, e, B, T, s, rows(g.F32("q"), B, heads, T, c), rows(g.F32("k"), B, keys, T, c), rows(g.F32("v"), B, keys, T, c), nil)
				g.CheckOutput(t, "o", buf.A)

				dq, dk, dv := make([]float32, B*T*heads*c), make([]float32, B*T*keys*c), make([]float32, B*T*keys*c)
				for b := range B {
					for h := range keys {
						m.Backward(set, dq, dk, dv, g.F32("d_o"), T, s, nil, buf, b, h, make([]float32, m.Scratch(T)))
					}
				}
				g.CheckOutput(t, "grad.q", headsOf(dq, B, heads, T, c))
				g.CheckOutput(t, "grad.k", headsOf(dk, B, keys, T, c))
				g.CheckOutput(t, "grad.v", headsOf(dv, B, keys, T, c))
			})
		}
	}
}

// TestLongAttention holds several blocks, tiles and pages to the plain formula in float64, forward and backward, every set
// to the generic one's bits, and tokens one by one to one pass's.
func TestLongAttention(t *testing.T) {
	const B, T, heads, keys, c = 2, 2*keyPage + 37, 2, 1, 10
	wave := func(n int, step float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(2 * math.Sin(step*float64(i)+float64(i%7)))
		}
		return x
	}
	q, k, v := wave(B*T*heads*c, 0.37), wave(B*T*keys*c, 0.11), wave(B*T*keys*c, 0.23)
	up := wave(B*T*heads*c, 0.41)
	starts := make([]bool, B*T)
	starts[T+3], starts[T+300] = true, true

	var first *AttentionBuffers
	var grads [3][]float32
	for _, set := range kernel.Available() {
		m := newTestAttention(heads, keys, c, 10000)
		e := &Env{Set: set, Pool: par.New(1)}
		s := m.NewPass(B, T)
		buf := attendAll(m, e, B, T, s, q, k, v, starts)
		d := [3][]float32{make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))}
		for b := range B {
			m.Backward(set, d[0], d[1], d[2], up, T, s, starts, buf, b, 0, make([]float32, m.Scratch(T)))
		}
		if first == nil {
			first, grads = buf, d
		}
		equal(t, set.Name+": output", buf.A, first.A)
		for i := range d {
			equal(t, fmt.Sprintf("%s: gradient %d", set.Name, i), d[i], grads[i])
		}

		one := m.NewState(1).(*KeyValues) // the first sequence, token by token
		for at := range T {
			step := attendAll(m, e, 1, 1, one, q[at*heads*c:][:heads*c], k[at*keys*c:][:keys*c], v[at*keys*c:][:keys*c], nil)
			one.length[0]++
			equal(t, fmt.Sprintf("%s: token %d", set.Name, at), step.A, buf.A[at*heads*c:][:heads*c])
		}
	}

	turn := func(x []float32, position int) []float64 {
		y := make([]float64, c)
		for j := range c / 2 {
			sin, cos := math.Sincos(float64(position) * math.Pow(10000, -2*float64(j)/c))
			a, b := float64(x[j]), float64(x[j+c/2])
			y[j], y[j+c/2] = a*cos-b*sin, b*cos+a*sin
		}
		return y
	}
	for _, at := range []int{0, 1, 63, 64, 65, 255, 256, 300, T - 1, T, T + 2, T + 3, T + 66, T + 299, T + 301, 2*T - 1} {
		begin := at / T * T
		for s := at; s >= begin; s-- {
			if s == begin || starts[s] {
				begin = s
				break
			}
		}
		for h := range heads {
			var total float64
			want := make([]float64, c)
			query := turn(q[(at*heads+h)*c:], at-begin)
			for s := begin; s <= at; s++ {
				var score float64
				for j, x := range turn(k[s*c:], s-begin) {
					score += query[j] * x
				}
				w := math.Exp(score / math.Sqrt(c))
				total += w
				for j := range want {
					want[j] += w * float64(v[s*c+j])
				}
			}
			for j := range want {
				if got := float64(first.A[(at*heads+h)*c+j]); math.Abs(got-want[j]/total) > 1e-5 {
					t.Fatalf("token %d, head %d, channel %d: %v, want %v", at, h, j, got, want[j]/total)
				}
			}
		}
	}
}

func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// Trits of a query or key: its mean absolute value where it is beyond half of that, else zero; nothing where none are wanted.
func TestAttentionTrits(t *testing.T) {
	x := []float32{3, -1, 0.4, -0.2, 0, 1.4} // mean 1
	m := Attention{}
	m.round(x)
	if x[0] != 3 || x[2] != 0.4 {
		t.Errorf("rounded unasked: %v", x)
	}
	m.Trits = true
	m.round(x)
	for i, want := range []float32{1, -1, 0, 0, 0, 1} {
		if x[i] != want {
			t.Errorf("%v", x)
		}
	}
	m.Integer = true
	bare := []float32{3, -1, 0.4, -0.2, 0, 1.4}
	m.round(bare)
	for i, want := range []float32{1, -1, 0, 0, 0, 1} {
		if bare[i] != want {
			t.Errorf("without the mean: %v", bare)
		}
	}
	zero := make([]float32, 4)
	if m.round(zero); zero[0] != 0 || zero[3] != 0 {
		t.Errorf("zeros became %v", zero)
	}
}

// TestIntegerAttention holds the map without a softmax to the plain sums over whole numbers: every set's output and gradients
// have the generic one's bits, and tokens one by one those of one pass.
func TestIntegerAttention(t *testing.T) {
	const T, heads, keys, c = 2*kernel.KeyBlock + 37, 4, 2, 10
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	q, k, v, up := random(T*heads*c), random(T*keys*c), random(T*keys*c), random(T*heads*c)
	starts := make([]bool, T)
	starts[70] = true
	var first *AttentionBuffers
	var grads [3][]float32
	for _, set := range append(kernel.Available(), kernel.Counting(new(kernel.Counts))) {
		m := newTestAttention(heads, keys, c, 10000)
		m.Trits, m.Integer = true, true
		e := &Env{Set: set, Pool: par.New(1)}
		s := m.NewPass(1, T)
		buf := attendAll(m, e, 1, T, s, q, k, v, starts)
		d := [3][]float32{make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))}
		for head := range keys {
			m.Backward(set, d[0], d[1], d[2], up, T, s, starts, buf, 0, head, make([]float32, m.Scratch(T)))
		}
		if first == nil {
			first, grads = buf, d
		}
		equal(t, set.Name+": output", buf.A, first.A)
		for i := range d {
			equal(t, fmt.Sprintf("%s: gradient %d", set.Name, i), d[i], grads[i])
		}
		one := m.NewState(1).(*KeyValues)
		for at := range T {
			if starts[at] {
				one.Reset()
			}
			step := attendAll(m, e, 1, 1, one, q[at*heads*c:][:heads*c], k[at*keys*c:][:keys*c], v[at*keys*c:][:keys*c], nil)
			one.length[0]++
			equal(t, fmt.Sprintf("%s: token %d", set.Name, at), step.A, buf.A[at*heads*c:][:heads*c])
		}
	}

	m := newTestAttention(heads, keys, c, 10000)
	m.rope.grow(T)
	bare := Attention{Trits: true, Integer: true}
	turned := func(x []float32, position int) []float32 {
		y := make([]float32, c)
		m.rope.turn(y, x[:c], position, 1)
		bare.round(y)
		return y
	}
	begin, ends := 0, 0
	for at := range T {
		if starts[at] {
			begin = at
		}
		for h := range heads {
			want := make([]float64, c)
			query := turned(q[(at*heads+h)*c:], at-begin)
			for s := begin; s <= at; s++ {
				score, key := 0, h*keys/heads
				for j, x := range turned(k[(s*keys+key)*c:], s-begin) {
					score += int(query[j]) * int(x)
				}
				if score == 0 {
					ends++
				}
				for j := range want {
					want[j] += float64(score) * float64(v[(s*keys+key)*c+j]) / float64(at-begin+1)
				}
			}
			for j := range want {
				if got := float64(first.A[(at*heads+h)*c+j]); math.Abs(got-want[j]) > 1e-5 {
					t.Fatalf("token %d, head %d, channel %d: %v, want %v", at, h, j, got, want[j])
				}
			}
		}
	}
	if ends == 0 {
		t.Error("no score is 0: the test says little")
	}
}
