package bench

import (
	"fmt"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
)

// rows returns the jobs of the kernels that work on rows, at a model's widths, on blocks of tokens as training cuts them.
func (k *bed) rows() []job {
	set := k.s.Set
	// tokens makes a job of n values a token, f being called with the offset of each token's row.
	tokens := func(kind, n int, maker func() func(at int)) job {
		row := kernelTable[kind]
		return k.each(row.name, fmt.Sprintf("%s %d", k.name, n), "GB/s", row.limit, 1, float64(rowTokens*n*row.bytes), func() func() {
			f := maker()
			return func() {
				for t := range rowTokens {
					f(t * n)
				}
			}
		})
	}
	block := func(kind int, shape string, values int, maker func() func()) job {
		row := kernelTable[kind]
		return k.each(row.name, k.name+" "+shape, "GB/s", row.limit, 1, float64(values*row.bytes), maker)
	}
	d, D, I := k.d, k.D, k.I
	const eps = 1e-6
	packing := func(kind int, f func(m *pack.Matrix, trits []int8, s0, s1 int)) job {
		return block(kind, fmt.Sprintf("%dx%d", pack.SuperblockRows, d), pack.SuperblockRows*d, func() func() {
			m, trits := pack.New(pack.SuperblockRows, d), make([]int8, pack.SuperblockRows*d)
			return func() { f(m, trits, 0, 1) }
		})
	}
	return []job{
		tokens(rmsNorm, d, func() func(int) {
			dst, x, gain := make([]float32, rowTokens*d), k.floats(rowTokens*d), k.floats(d)
			return func(at int) { set.RMSNorm(dst[at:][:d], x[at:][:d], gain, eps) }
		}),
		tokens(normQuantize, d, func() func(int) {
			dst, x, gain := make([]int8, rowTokens*d), k.floats(rowTokens*d), k.floats(d)
			return func(at int) { set.NormQuantize(dst[at:][:d], x[at:][:d], gain, eps, false) }
		}),
		tokens(rmsNormBackward, d, func() func(int) {
			dx, dgain, dy, x, gain := make([]float32, rowTokens*d), make([]float32, d), k.floats(rowTokens*d), k.floats(rowTokens*d), k.floats(d)
			return func(at int) { set.RMSNormBackward(dx[at:][:d], dgain, dy[at:][:d], x[at:][:d], gain, 1, false) }
		}),
		block(recurrence, fmt.Sprintf("%dx%d", rowTokens, D), rowTokens*D, func() func() {
			states, state, i, z, bound := make([]float32, rowTokens*D), make([]float32, D), k.floats(rowTokens*D), k.floats(rowTokens*D), make([]float32, D)
			return func() { set.Recurrence(states, state, i, z, bound, nil, rowTokens, D, 0, D) }
		}),
		block(recurrenceBackward, fmt.Sprintf("%dx%d", rowTokens, D), rowTokens*D, func() func() {
			di, dz, dbound := make([]float32, rowTokens*D), make([]float32, rowTokens*D), make([]float32, D)
			ds, states, before := k.floats(rowTokens*D), k.floats(rowTokens*D), make([]float32, D)
			i, z, bound := k.floats(rowTokens*D), k.floats(rowTokens*D), make([]float32, D)
			return func() {
				set.RecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, nil, rowTokens, D, 0, D)
			}
		}),
		tokens(outputGate, D, func() func(int) {
			dst, g, s, gain := make([]float32, rowTokens*D), k.floats(rowTokens*D), k.floats(rowTokens*D), k.floats(D)
			return func(at int) { set.OutputGate(dst[at:][:D], g[at:][:D], s[at:][:D], gain, eps) }
		}),
		tokens(outputGateBackward, D, func() func(int) {
			dg, ds, dgain, da := make([]float32, rowTokens*D), make([]float32, rowTokens*D), make([]float32, D), k.floats(rowTokens*D)
			g, s, gain := k.floats(rowTokens*D), k.floats(rowTokens*D), k.floats(D)
			return func(at int) {
				set.OutputGateBackward(dg[at:][:D], ds[at:][:D], dgain, da[at:][:D], g[at:][:D], s[at:][:D], gain, 1)
			}
		}),
		tokens(swiGLU, I, func() func(int) {
			dst, p, q := make([]float32, rowTokens*I), k.floats(rowTokens*I), k.floats(rowTokens*I)
			return func(at int) { set.SwiGLU(dst[at:][:I], p[at:][:I], q[at:][:I]) }
		}),
		tokens(swiGLUBackward, I, func() func(int) {
			dp, dq, dz := make([]float32, rowTokens*I), make([]float32, rowTokens*I), k.floats(rowTokens*I)
			p, q := k.floats(rowTokens*I), k.floats(rowTokens*I)
			return func(at int) { set.SwiGLUBackward(dp[at:][:I], dq[at:][:I], dz[at:][:I], p[at:][:I], q[at:][:I]) }
		}),
		tokens(shift, d, func() func(int) {
			dst, x, before, mix := make([]float32, rowTokens*d), k.floats(rowTokens*d), k.floats(rowTokens*d), k.floats(d)
			return func(at int) { set.Shift(dst[at:][:d], x[at:][:d], before[at:][:d], mix) }
		}),
		block(wkv, fmt.Sprintf("%dx%d", rowTokens, d), rowTokens*d, func() func() {
			y, states, state := make([]float32, rowTokens*d), make([]float32, 3*rowTokens*d), make([]float32, 3*d)
			keys, values, rate, bonus := k.floats(rowTokens*d), k.floats(rowTokens*d), make([]float32, d), make([]float32, d)
			return func() { set.WKV(y, states, state, keys, values, rate, bonus, nil, rowTokens, d, 0, d) }
		}),
		block(wkvBackward, fmt.Sprintf("%dx%d", rowTokens, d), rowTokens*d, func() func() {
			y, states, state := make([]float32, rowTokens*d), make([]float32, 3*rowTokens*d), make([]float32, 3*d)
			keys, values, rate, bonus := k.floats(rowTokens*d), k.floats(rowTokens*d), make([]float32, d), make([]float32, d)
			set.WKV(y, states, state, keys, values, rate, bonus, nil, rowTokens, d, 0, d)
			dk, dv, dy := make([]float32, rowTokens*d), make([]float32, rowTokens*d), k.floats(rowTokens*d)
			drate, dbonus := make([]float32, d), make([]float32, d)
			return func() {
				set.WKVBackward(dk, dv, drate, dbonus, dy, y, states, keys, values, rate, bonus, rowTokens, d, 0, d)
			}
		}),
		tokens(receptance, d, func() func(int) {
			dst, r, y := make([]float32, rowTokens*d), k.floats(rowTokens*d), k.floats(rowTokens*d)
			return func(at int) { set.Receptance(dst[at:][:d], r[at:][:d], y[at:][:d]) }
		}),
		tokens(receptanceBackward, d, func() func(int) {
			dr, dy, da := make([]float32, rowTokens*d), make([]float32, rowTokens*d), k.floats(rowTokens*d)
			r, y := k.floats(rowTokens*d), k.floats(rowTokens*d)
			return func(at int) { set.ReceptanceBackward(dr[at:][:d], dy[at:][:d], da[at:][:d], r[at:][:d], y[at:][:d]) }
		}),
		tokens(add, d, func() func(int) {
			dst, a, b := make([]float32, rowTokens*d), k.floats(rowTokens*d), k.floats(rowTokens*d)
			return func(at int) { set.Add(dst[at:][:d], a[at:][:d], b[at:][:d]) }
		}),
		tokens(exponentials, kernel.KeyBlock, func() func(int) { // a row a query, as attention has them
			x := k.floats(rowTokens * kernel.KeyBlock)
			return func(at int) { set.Exponentials(x[at:][:kernel.KeyBlock]) }
		}),
		block(logSumExp, fmt.Sprint(vocabulary), vocabulary, func() func() {
			x := k.floats(vocabulary)
			return func() { set.LogSumExp(x) }
		}),
		block(softmaxGradient, fmt.Sprint(vocabulary), vocabulary, func() func() {
			x := k.floats(vocabulary)
			return func() { set.SoftmaxGradient(x, 5, 100, 3, 1) }
		}),
		block(trits, fmt.Sprint(quant.ScaleBlock), quant.ScaleBlock, func() func() {
			dst, v := make([]int8, quant.ScaleBlock), k.floats(quant.ScaleBlock)
			return func() { set.Trits(dst, v, 0.8) }
		}),
		packing(encode, set.Encode),
		packing(encodeTransposed, set.EncodeTransposed),
		block(absSum, fmt.Sprint(quant.ScaleBlock), quant.ScaleBlock, func() func() {
			v := k.floats(quant.ScaleBlock)
			return func() { set.AbsSum(v) }
		}),
		block(squareSum, fmt.Sprint(quant.ScaleBlock), quant.ScaleBlock, func() func() {
			g := k.floats(quant.ScaleBlock)
			return func() { set.SquareSum(g) }
		}),
		k.adam(),
	}
}

// adam runs AdamW over more values than caches hold, in blocks as the optimiser cuts them.
func (k *bed) adam() job {
	const blockValues = 1 << 14
	row := kernelTable[adamW]
	return k.each(row.name, "from memory", "GB/s", row.limit, 1, float64(blockValues*row.bytes), func() func() {
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
