package bench

import (
	"fmt"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
)

// rowArrays hands out what a row kernel reads and what it writes, as many values each: in reads random ones.
type rowArrays struct{ in, out func() []float32 }

// rows returns the jobs of the kernels that work on rows, at a model's widths, on blocks of tokens as training cuts them.
func (k *bed) rows() []job {
	set := k.s.Set
	var jobs []job
	// both makes two jobs of a kernel over n values a token, one of rows that stay in cache and one of rows from memory. f
	// works on the call values from at on: a token's, or a block's.
	both := func(kind, n, call int, maker func(rowArrays) (f func(at int))) {
		row, shape, block := kernelTable[kind], fmt.Sprintf("%s %d", k.name, n), rowTokens*n
		if call > n {
			shape = fmt.Sprintf("%s %dx%d", k.name, call/n, n)
		}
		units := float64(block * row.bytes)
		run := func(f func(at int), from int) {
			for at := from; at < from+block; at += call {
				f(at)
			}
		}
		jobs = append(jobs, k.each(row.name, shape, "GB/s", limitCache, 1, units, func(int) func() {
			f := maker(rowArrays{func() []float32 { return k.floats(block) }, func() []float32 { return make([]float32, block) }})
			return func() { run(f, 0) }
		}), k.each(row.name+"/memory", shape, "GB/s", limitMemory, 1, units, func(worker int) func() {
			f, at := maker(k.far(worker)), 0
			return func() {
				if at+block > k.farValues() {
					at = 0
				}
				run(f, at)
				at += block
			}
		}))
	}
	block := func(kind int, shape string, values int, maker func(int) func()) job {
		row := kernelTable[kind]
		return k.each(row.name, k.name+" "+shape, "GB/s", row.limit, 1, float64(values*row.bytes), maker)
	}
	d, D, I := k.d, k.D, k.I
	const eps = 1e-6
	packing := func(kind int, f func(m *pack.Matrix, trits []int8, s0, s1 int)) job {
		return block(kind, fmt.Sprintf("%dx%d", pack.SuperblockRows, d), pack.SuperblockRows*d, func(int) func() {
			m, trits := pack.New(pack.SuperblockRows, d), make([]int8, pack.SuperblockRows*d)
			return func() { f(m, trits, 0, 1) }
		})
	}
	both(rmsNorm, d, d, func(a rowArrays) func(int) {
		dst, x, gain := a.out(), a.in(), k.floats(d)
		return func(at int) { set.RMSNorm(dst[at:][:d], x[at:][:d], gain, eps) }
	})
	both(normQuantize, d, d, func(a rowArrays) func(int) {
		x, gain := a.in(), k.floats(d)
		dst := make([]int8, len(x))
		for i := range dst {
			dst[i] = int8(i) // the system gives memory when it is first written
		}
		return func(at int) { set.NormQuantize(dst[at:][:d], x[at:][:d], gain, eps, false) }
	})
	both(rmsNormBackward, d, d, func(a rowArrays) func(int) {
		dx, dgain, dy, x, gain := a.out(), make([]float32, d), a.in(), a.in(), k.floats(d)
		return func(at int) { set.RMSNormBackward(dx[at:][:d], dgain, dy[at:][:d], x[at:][:d], gain, 1, false) }
	})
	both(recurrence, D, rowTokens*D, func(a rowArrays) func(int) {
		states, state, i, z, bound := a.out(), make([]float32, D), a.in(), a.in(), make([]float32, D)
		return func(at int) { set.Recurrence(states[at:], state, i[at:], z[at:], bound, nil, rowTokens, D, 0, D) }
	})
	both(recurrenceBackward, D, rowTokens*D, func(a rowArrays) func(int) {
		di, dz, dbound, ds, states := a.out(), a.out(), make([]float32, D), a.in(), a.in()
		before, i, z, bound := make([]float32, D), a.in(), a.in(), make([]float32, D)
		return func(at int) {
			set.RecurrenceBackward(di[at:], dz[at:], dbound, ds[at:], states[at:], before, i[at:], z[at:], bound, nil, rowTokens, D, 0, D)
		}
	})
	both(outputGate, D, D, func(a rowArrays) func(int) {
		dst, g, s, gain := a.out(), a.in(), a.in(), k.floats(D)
		return func(at int) { set.OutputGate(dst[at:][:D], g[at:][:D], s[at:][:D], gain, eps) }
	})
	both(outputGateBackward, D, D, func(a rowArrays) func(int) {
		dg, ds, dgain, da, g, s, gain := a.out(), a.out(), make([]float32, D), a.in(), a.in(), a.in(), k.floats(D)
		return func(at int) {
			set.OutputGateBackward(dg[at:][:D], ds[at:][:D], dgain, da[at:][:D], g[at:][:D], s[at:][:D], gain, 1)
		}
	})
	both(swiGLU, I, I, func(a rowArrays) func(int) {
		dst, p, q := a.out(), a.in(), a.in()
		return func(at int) { set.SwiGLU(dst[at:][:I], p[at:][:I], q[at:][:I]) }
	})
	both(swiGLUBackward, I, I, func(a rowArrays) func(int) {
		dp, dq, dz, p, q := a.out(), a.out(), a.in(), a.in(), a.in()
		return func(at int) { set.SwiGLUBackward(dp[at:][:I], dq[at:][:I], dz[at:][:I], p[at:][:I], q[at:][:I]) }
	})
	both(shift, d, d, func(a rowArrays) func(int) {
		dst, x, before, mix := a.out(), a.in(), a.in(), k.floats(d)
		return func(at int) { set.Shift(dst[at:][:d], x[at:][:d], before[at:][:d], mix) }
	})
	both(receptance, d, d, func(a rowArrays) func(int) {
		dst, r, y := a.out(), a.in(), a.in()
		return func(at int) { set.Receptance(dst[at:][:d], r[at:][:d], y[at:][:d]) }
	})
	both(receptanceBackward, d, d, func(a rowArrays) func(int) {
		dr, dy, da, r, y := a.out(), a.out(), a.in(), a.in(), a.in()
		return func(at int) { set.ReceptanceBackward(dr[at:][:d], dy[at:][:d], da[at:][:d], r[at:][:d], y[at:][:d]) }
	})
	both(add, d, d, func(a rowArrays) func(int) {
		dst, x, y := a.out(), a.in(), a.in()
		return func(at int) { set.Add(dst[at:][:d], x[at:][:d], y[at:][:d]) }
	})
	return append(
		jobs,
		block(wkv, fmt.Sprintf("%dx%d", rowTokens, d), rowTokens*d, func(int) func() {
			y, states, state := make([]float32, rowTokens*d), make([]float32, 3*rowTokens*d), make([]float32, 3*d)
			keys, values, rate, bonus := k.floats(rowTokens*d), k.floats(rowTokens*d), make([]float32, d), make([]float32, d)
			return func() { set.WKV(y, states, state, keys, values, rate, bonus, nil, rowTokens, d, 0, d) }
		}),
		block(wkvBackward, fmt.Sprintf("%dx%d", rowTokens, d), rowTokens*d, func(int) func() {
			y, states, state := make([]float32, rowTokens*d), make([]float32, 3*rowTokens*d), make([]float32, 3*d)
			keys, values, rate, bonus := k.floats(rowTokens*d), k.floats(rowTokens*d), make([]float32, d), make([]float32, d)
			set.WKV(y, states, state, keys, values, rate, bonus, nil, rowTokens, d, 0, d)
			dk, dv, dy := make([]float32, rowTokens*d), make([]float32, rowTokens*d), k.floats(rowTokens*d)
			drate, dbonus := make([]float32, d), make([]float32, d)
			return func() {
				set.WKVBackward(dk, dv, drate, dbonus, dy, y, states, keys, values, rate, bonus, rowTokens, d, 0, d)
			}
		}),
		block(exponentials, fmt.Sprint(kernel.KeyBlock), rowTokens*kernel.KeyBlock, func(int) func() { // a row a query, as attention has them
			x := k.floats(rowTokens * kernel.KeyBlock)
			return func() {
				for t := range rowTokens {
					set.Exponentials(x[t*kernel.KeyBlock:][:kernel.KeyBlock])
				}
			}
		}),
		block(logSumExp, fmt.Sprint(vocabulary), vocabulary, func(int) func() {
			x := k.floats(vocabulary)
			return func() { set.LogSumExp(x) }
		}),
		block(softmaxGradient, fmt.Sprint(vocabulary), vocabulary, func(int) func() {
			x := k.floats(vocabulary)
			return func() { set.SoftmaxGradient(x, 5, 100, 3, 1) }
		}),
		block(trits, fmt.Sprint(quant.ScaleBlock), quant.ScaleBlock, func(int) func() {
			dst, v := make([]int8, quant.ScaleBlock), k.floats(quant.ScaleBlock)
			return func() { set.Trits(dst, v, 0.8) }
		}),
		packing(encode, set.Encode),
		packing(encodeTransposed, set.EncodeTransposed),
		block(absSum, fmt.Sprint(quant.ScaleBlock), quant.ScaleBlock, func(int) func() {
			v := k.floats(quant.ScaleBlock)
			return func() { set.AbsSum(v) }
		}),
		block(squareSum, fmt.Sprint(quant.ScaleBlock), quant.ScaleBlock, func(int) func() {
			g := k.floats(quant.ScaleBlock)
			return func() { set.SquareSum(g) }
		}),
		k.adam(),
	)
}

// Arrays of rows that come from memory: the kernels share them, and write to others than they read.
const farIn, farOut = 4, 2

// farValues is the length of a worker's arrays: together with the others' they are as large as what limits read.
func (k *bed) farValues() int {
	arrays := int64((farIn + farOut) * k.s.Pool.Threads())
	return int(max(int64(rowTokens*max(k.d, k.D, k.I)), k.farBytes/(4*arrays)))
}

// far hands out a worker's arrays from memory, each of them once.
func (k *bed) far(worker int) rowArrays {
	for len(k.fars) <= worker {
		var arrays [farIn + farOut][]float32
		for i := range arrays {
			arrays[i] = make([]float32, k.farValues())
			for n := copy(arrays[i], k.floats(1<<12)); n < len(arrays[i]); n *= 2 {
				copy(arrays[i][n:], arrays[i][:n])
			}
		}
		k.fars = append(k.fars, arrays)
	}
	arrays, in, out := k.fars[worker], 0, farIn
	return rowArrays{
		func() []float32 { in++; return arrays[:farIn][in-1] },
		func() []float32 { out++; return arrays[out-1] },
	}
}

// adam runs AdamW over more values than caches hold, in blocks as the optimiser cuts them.
func (k *bed) adam() job {
	const blockValues = 1 << 14
	row := kernelTable[adamW]
	return k.each(row.name, "from memory", "GB/s", row.limit, 1, float64(blockValues*row.bytes), func(int) func() {
		theta, m, v, g := make([]float32, adamValues), make([]float32, adamValues), make([]float32, adamValues), make([]float32, adamValues)
		for i := range g {
			theta[i], m[i], v[i], g[i] = 1, 0, 1, float32(i%7)*0.1
		}
		step := kernel.AdamStep{Clip: 1, Decay: 1, Beta1: 0.9, Beta2: 0.95, Rest1: 0.1, Rest2: 0.05, Rate: 1e-4, Correction2: 1, Epsilon: 1e-8}
		at := 0
		return func() {
			to := at + blockValues
			k.s.Set.AdamW(theta[at:to], m[at:to], v[at:to], g[at:to], step)
			at = to % adamValues
		}
	})
}
