package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// benchShapes are [rows, columns]: a projection and a GLU of a 128-wide model, and the 1.3b model's MLP.
var benchShapes = [][2]int{{128, 128}, {768, 128}, {128, 384}, {512, 512}, {5632, 2048}}

func randomMatrix(rng *rand.Rand, rows, cols int) *pack.Matrix {
	m := pack.New(rows, cols)
	m.Scale = 0.02
	m.Encode(randomTrits(rng, rows*cols), 0, m.Superblocks())
	return m
}

func randomTrits(rng *rand.Rand, n int) []int8 {
	x := make([]int8, n)
	for i := range x {
		x[i] = int8(rng.IntN(3) - 1)
	}
	return x
}

func randomCodes(rng *rand.Rand, n int) []int8 {
	x := make([]int8, n)
	for i := range x {
		x[i] = int8(rng.IntN(255) - 127)
	}
	return x
}

func randomFloats(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// report adds the rate in weights times tokens a second, which is the rate of multiply-accumulates that a product with
// multiplications would need.
func report(b *testing.B, perOp float64) {
	b.ReportMetric(perOp*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gmac/s")
	b.ReportAllocs()
}

func BenchmarkKernels(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, set := range kernel.Available() {
		for _, shape := range benchShapes {
			R, K := shape[0], shape[1]
			w, wt := randomMatrix(rng, R, K), randomMatrix(rng, K, R)
			const n = 32
			x, y := randomCodes(rng, n*K), randomFloats(rng, n*R)
			scale, dst := randomFloats(rng, n), make([]float32, n*max(R, K))
			work := float64(R) * float64(K)
			run := func(name string, perOp float64, bytes int64, f func()) {
				b.Run(fmt.Sprintf("%s/%dx%d/%s", name, R, K, set.Name), func(b *testing.B) {
					if bytes > 0 {
						b.SetBytes(bytes)
					}
					for b.Loop() {
						f()
					}
					report(b, perOp)
				})
			}
			run("MatMul", work*n, 0, func() { set.MatMul(dst, R, w, 0, w.Superblocks(), x, scale, n) })
			prepared := make([]int16, kernel.PreparedLen(K))
			set.Prepare(prepared, x[:K])
			run("Prepare", float64(K), int64(K), func() { set.Prepare(prepared, x[:K]) })
			for _, few := range []int{2, 8} { // a server's small batches
				run(fmt.Sprintf("MatMulFew/t=%d", few), work*float64(few), 0, func() { set.MatMul(dst, R, w, 0, w.Superblocks(), x, scale, few) })
			}
			run("MatVec", work, w.Bytes(), func() { set.MatVec(dst, w, 0, w.Superblocks(), prepared, 1) })
			trits := randomTrits(rng, R*K)
			run("Encode", work, int64(R*K), func() { set.Encode(w, trits, 0, w.Superblocks()) })
			run("EncodeTransposed", work, int64(R*K), func() { set.EncodeTransposed(wt, trits, 0, wt.Superblocks()) })
			run("MatMulFloat", work*n, 0, func() { set.MatMulFloat(dst, K, wt, 0, wt.Superblocks(), y, n, 1) })
			if R > 1000 {
				continue
			}
			rows, activations := randomFloats(rng, R*K), randomFloats(rng, n*K)
			run("Dense", work*n, 0, func() { set.Dense(dst, R, rows, activations, K, n, 0, R) })
			run("DenseOne", work, int64(4*R*K), func() { set.Dense(dst, R, rows, activations, K, 1, 0, R) })
			run("DenseTransposed", work*n, 0, func() { set.DenseTransposed(dst, rows, y, R, K, n) })
			const many = 1024 // tokens of one training step: a gradient sums over all of them
			dw, dy, q, s := make([]float32, R*K), randomFloats(rng, many*R), randomCodes(rng, many*K), randomFloats(rng, many)
			run("OuterCodes", work*many, 0, func() {
				for o := 0; o < R; o += 140 { // as the backward pass cuts it
					set.OuterCodes(dw, dy, R, s, q, K, many, o, min(o+140, R))
				}
			})
			run("OuterInts", work*many, 0, func() {
				for o := 0; o < R; o += set.IntStrip {
					set.OuterInts(dw, dy, R, s, q, K, many, o, min(o+set.IntStrip, R))
				}
			})
		}
	}
}

// BenchmarkRows times the operations on one token's row, in values a second.
func BenchmarkRows(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, set := range kernel.Available() {
		const n, V, T = 512, 32000, 16
		x, y, gain, dst, acc := randomFloats(rng, n), randomFloats(rng, n), randomFloats(rng, n), make([]float32, n), make([]float32, n)
		codes, trits, logits := make([]int8, n), make([]int8, V), randomFloats(rng, V)
		i, z, ds, states := randomFloats(rng, T*n), randomFloats(rng, T*n), randomFloats(rng, T*n), make([]float32, T*n)
		di, dz, state, bound := make([]float32, T*n), make([]float32, T*n), make([]float32, n), make([]float32, n)
		wkv, carried := make([]float32, 3*T*n), make([]float32, 3*n)
		for _, c := range []struct {
			name   string
			values int
			f      func()
		}{
			{"RMSNorm", n, func() { set.RMSNorm(dst, x, gain, 1e-6) }},
			{"NormQuantize", n, func() { set.NormQuantize(codes, x, gain, 1e-6, false) }},
			{"NormQuantizeAway", n, func() { set.NormQuantize(codes, x, gain, 1e-6, true) }},
			{"RMSNormBackward", n, func() { set.RMSNormBackward(dst, acc, y, x, gain, 1, false) }},
			{"Recurrence", T * n, func() { set.Recurrence(states, state, i, z, bound, nil, T, n, 0, n) }},
			{"RecurrenceBackward", T * n, func() { set.RecurrenceBackward(di, dz, acc, ds, states, state, i, z, bound, nil, T, n, 0, n) }},
			{"OutputGate", n, func() { set.OutputGate(dst, x, y, gain, 1e-6) }},
			{"OutputGateBackward", n, func() { set.OutputGateBackward(dst, ds[:n], acc, y, x, z[:n], gain, 1) }},
			{"SwiGLU", n, func() { set.SwiGLU(dst, x, y) }},
			{"SwiGLUBackward", n, func() { set.SwiGLUBackward(dst, acc, gain, x, y) }},
			{"Add", n, func() { set.Add(dst, x, y) }},
			{"LogSumExp", V, func() { set.LogSumExp(logits) }},
			{"Exponentials", V, func() { set.Exponentials(logits) }},
			{"SoftmaxGradient", V, func() { set.SoftmaxGradient(logits, 5, 100, 3, 1) }},
			{"Shift", n, func() { set.Shift(dst, x, y, gain) }},
			{"WKV", T * n, func() { set.WKV(states, wkv, carried, i, z, bound, gain, nil, T, n, 0, n) }},
			{"WKVBackward", T * n, func() { set.WKVBackward(di, dz, acc, dst, ds, states, wkv, i, z, bound, gain, T, n, 0, n) }},
			{"Receptance", n, func() { set.Receptance(dst, x, y) }},
			{"ReceptanceBackward", n, func() { set.ReceptanceBackward(dst, acc, gain, x, y) }},
			{"Trits", V, func() { set.Trits(trits, logits, 0.8) }},
			{"AbsSum", V, func() { set.AbsSum(logits) }},
			{"SquareSum", V, func() { set.SquareSum(logits) }},
			{"AdamW", n, func() {
				set.AdamW(dst, acc, state, y, kernel.AdamStep{Clip: 1, Decay: 1, Rest2: 1, Correction2: 1, Epsilon: 1})
			}},
		} {
			b.Run(c.name+"/"+set.Name, func(b *testing.B) {
				for b.Loop() {
					c.f()
				}
				b.ReportMetric(float64(c.values)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
				b.ReportAllocs()
			})
		}
	}
}
