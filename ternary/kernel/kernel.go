package kernel

import (
	"mmfree/ternary/kernel/gemm"
	"mmfree/ternary/pack"
)

// Legend: K columns and R rows of a ternary matrix w, n tokens, s a token's activation scale, m the matrix's scale.

// Set is one implementation of every inner loop. Slices are row-major, tokens first, and do not overlap unless a field
// says so. "Rows of superblocks [s0, s1)" means that only those columns of the output are written.
type Set struct {
	Name string
	// Tile is the number of tokens that MatMul and MatMulFloat handle best; callers cut tokens into multiples of it.
	Tile int

	// MatMul: dst[t·ldd+r] = float32(Σ_k w[r,k]·x[t·K+k])·scale[t] for n tokens and the rows of superblocks [s0, s1).
	// The sum is an integer.
	MatMul func(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int)
	// Prepare makes the form of one token's codes x that MatVec reads. len(prepared) ≥ PreparedLen(K).
	Prepare func(prepared []int16, x []int8)
	// MatVec is MatMul of one token, prepared by Prepare.
	MatVec func(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32)
	// Few is the number of tokens up to which PrepareFew and MatVecFew are better than MatMul. They take any number to
	// it, and one token always.
	Few int
	// PrepareFew makes what MatVecFew reads of words [j0, j1) of n tokens' codes x [n, K]; calls for all words make the
	// whole, in any order. len(prepared) ≥ n·PreparedLen(K).
	PrepareFew func(prepared []int16, x []int8, K, n, j0, j1 int)
	// MatVecFew is MatMul of n tokens, prepared by PrepareFew. One token's form is Prepare's.
	MatVecFew func(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int)
	// Fetch asks for the words' memory, some microseconds before they are read, and does not wait for it; nil: no set of this
	// machine's can.
	Fetch func(words []uint16)
	// MatMulFloat: dst[t·ldd+r] = (Σ_k w[r,k]·y[t·K+k])·scale for float32 y. Order: the columns are taken in blocks of 54;
	// within a block, sums of three consecutive columns (0±y0, then ±y1, then ±y2, a zero trit skipped) go in turn to three
	// chains a, b, c, each added in column order from 0; the block's (a+b)+c is added to the total, from 0, in block order.
	MatMulFloat func(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32)

	// The float32 products below have one order: Σ is cut into blocks of ProductBlock values; a block's sum starts at 0 and
	// takes its products in order, each multiplied and added in one operation that rounds once (f32.FMA); the blocks are
	// added to dst in order. So an element's bits do not depend on which rows or tokens a call has.

	// OuterCodes: dst[o·K+k] += Σ_t (a[t·lda+o]·(1/s[t]))·q[t·K+k] for output rows o in [o0, o1): the gradient of a ternary
	// matrix's shadow weights from int8 codes. The factor in brackets is two rounded operations.
	OuterCodes func(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int)
	// OuterFloat is OuterCodes with float32 activations: (a·(1/s))·q with q stored as float32. A nil s means all ones. With
	// it, it is the gradient of a full-precision matrix [R, K], dW += dYᵀ·X: a is dY [n, lda], x is X [n, K]. A call for many
	// rows is best, some hundred: it packs X once for up to 280.
	OuterFloat func(dst, a []float32, lda int, s []float32, x []float32, K, n, o0, o1 int)
	// OuterInts is OuterCodes by 16-bit integers, with n > 0 scales: no fewer bits of the largest gradient than 15, but the
	// small ones of a column lose theirs. Order: tokens in blocks of IntBlock, in order. In a block and for one output o,
	// g_t = a[t·lda+o]·(1/s[t]), two rounded operations; up, down = quant.GradientScale of the largest bit pattern of |g_t|;
	// G_t = round(g_t·up), the product rounded to float32, then halves to even; S = Σ_t G_t·q[t·K+k] as an integer, which
	// fits 32 bits and has no order; dst[o·K+k] += float32(S)·down, each operation rounded, no two fused. So a block of
	// which no |g_t| exceeds 2^-100 adds 0, and one with a NaN or an infinity makes dst NaN for every k.
	OuterInts func(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int)
	// IntStrip is the number of output rows that OuterInts takes through the codes at once, IntPanel of those that it sums at once: calls for a
	// strip, or for some panels, are best.
	IntStrip, IntPanel int
	// Dense: dst[t·ldd+r] = 0 + Σ_k w[r·K+k]·x[t·K+k] for rows r in [r0, r1): the full-precision product Y = X·Wᵀ. A call for
	// many tokens is best, a hundred and more: it packs W once for up to 280. One token is read and packed as fast as memory
	// gives it.
	Dense func(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int)
	// DenseTransposed: dst[t·K+k] = 0 + Σ_r w[r·K+k]·y[t·R+r]: its gradient dX = dY·W. Many tokens are best.
	DenseTransposed func(dst, w, y []float32, R, K, n int)

	// RMSNorm: dst = (x·r)∘gain, r = 1/√(Σx²/n + eps) returned; the sum in f32.SumSquares' order. dst may be x.
	RMSNorm func(dst, x, gain []float32, eps float32) (r float32)
	// NormQuantize is RMSNorm followed by quant.Quantize without keeping the floats: the codes of (x·r)∘gain.
	NormQuantize func(codes []int8, x, gain []float32, eps float32, away bool) (r, s float32)
	// RMSNormBackward: for y = (x·r)∘gain and dy = ∂L/∂y: dgain += dy∘x̂ and dx = r·(v − x̂·(Σ v∘x̂ / n)), v = dy∘gain, added
	// to dx when add. The sum in f32.Dot's order. dx may be dy.
	RMSNormBackward func(dx, dgain, dy, x, gain []float32, r float32, add bool)

	// Recurrence runs the HGRN over T tokens of one sequence for channels [c0, c1) of D (spec §1): f = σ(z), mixed with the
	// bound where bound is not nil; u = silu(i)·(1−f)·mask[t] (a nil mask is all ones); s = f·s + u. state [D] is the state
	// before, and after the call the state behind the last token. states[t·D+c] receives s.
	Recurrence func(states, state, i, z, bound, mask []float32, T, D, c0, c1 int)
	// RecurrenceBackward: from ds = ∂L/∂s of one sequence to di and dz, and dbound += ∂L/∂bound (nil bound: none), for
	// channels [c0, c1). before [D] is the state before the first token; it gets no gradient. di may be i, and dz z. Source:
	// spec §4.
	RecurrenceBackward func(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int)
	// OutputGate: dst = ((g·r)∘gain)∘silu(s), r returned as in RMSNorm, for one token.
	OutputGate func(dst, g, s, gain []float32, eps float32) (r float32)
	// OutputGateBackward: from da to dg, ds, and dgain += …, for one token (spec §4).
	OutputGateBackward func(dg, ds, dgain, da, g, s, gain []float32, r float32)
	// Shift: dst = x∘mix + before∘(1−mix), each product rounded: RWKV-4's token shift of one token's row.
	Shift func(dst, x, before, mix []float32)
	// WKV runs RWKV-4's recurrence over T tokens of one sequence for channels [c0, c1) of D. With past and now = e^(p−top) and
	// e^(own−top), top the larger of p and own (one of the two is 1, no exponential): y = (past·a + now·v)/(past·b + now) for own = bonus + k; then from p + rate and
	// own = k the state behind the token: a = past·a + now·v, b = past·b + now, p = top. state [3, D] is a, b and p before the
	// first token, all 0 where there is none, and behind the last one after the call; a token whose mask [T] is 0 leaves it as
	// it is, and y = 0 (a nil mask is all ones). states [T, 3, D] receives the state before each token; nil: nobody asks.
	// Source: arXiv 2305.13048, with all exponents less the largest so far, so that none overflows.
	WKV func(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int)
	// WKVBackward: from dy = ∂L/∂y of one sequence to dk and dv, and drate, dbonus += …, for channels [c0, c1). y and states as
	// WKV wrote them without a mask; no gradient goes to the state before the first token. dk may be k, and dv v.
	WKVBackward func(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus []float32, T, D, c0, c1 int)
	// Receptance: dst = σ(r)∘y.
	Receptance func(dst, r, y []float32)
	// ReceptanceBackward: dr = da∘y∘σ'(r), dy = da∘σ(r). dr may be r, and dy da.
	ReceptanceBackward func(dr, dy, da, r, y []float32)
	// SwiGLU: dst = silu(p)∘q.
	SwiGLU func(dst, p, q []float32)
	// SwiGLUBackward: dp = dz∘q∘silu'(p), dq = dz∘silu(p). dp may be p, and dq q.
	SwiGLUBackward func(dp, dq, dz, p, q []float32)
	// Add: dst = a + b. dst may be either.
	Add func(dst, a, b []float32)

	// Exponentials: x = e^(x−max), in place; it returns the maximum and the sum in f32.Sum's order.
	Exponentials func(x []float32) (top, sum float32)
	// LogSumExp returns max + ln Σ e^(x−max): the maximum and the sum, which SoftmaxGradient needs again, and the result
	// in float64. The sum in f32.Sum's order.
	LogSumExp func(x []float32) (top, sum float32, lse float64)
	// SoftmaxGradient: x = (e^(x−top)/sum − [j = label])·scale, in place.
	SoftmaxGradient func(x []float32, top, sum float32, label int, scale float32)

	// Encode and EncodeTransposed are pack.Matrix's, of trits alone.
	Encode, EncodeTransposed func(m *pack.Matrix, trits []int8, s0, s1 int)
	// Trits, AbsSum and SquareSum are quant.Trits, f32.AbsSum and f32.SquareSum, of a run of values.
	Trits     func(dst []int8, w []float32, m float32)
	AbsSum    func(w []float32) float64
	SquareSum func(g []float32) float64

	// AdamW updates one run of values (spec §12): g is multiplied by clip first. See AdamStep.
	AdamW func(theta, m, v, g []float32, a AdamStep)

	// Of a set that counts: where to, and the set that computes what is not a weight's.
	counts *Counts
	plain  *Set
}

// AdamStep holds one optimiser step's scalars.
type AdamStep struct {
	Clip         float32 // min(1, c/(‖g‖+1e-6))
	Decay        float32 // 1 − η·λ, or 1 for tensors that are not decayed
	Beta1, Beta2 float32
	Rest1, Rest2 float32 // 1−β1 and 1−β2, rounded from float64: the difference of rounded numbers would be off
	Rate         float32 // η/(1−β1^n)
	Correction2  float32 // 1/(1−β2^n)
	Epsilon      float32
}

// ProductBlock is the number of values that a float32 product sums before it adds to its result; part of the order.
const ProductBlock = gemm.Block

// IntBlock is the number of tokens whose products OuterInts sums as integers: the most for which 32 bits hold a sum
// whatever the values are, see quant.MaxGradient.
const IntBlock = 512

// PreparedLen returns the length of the buffer that Prepare needs for K columns: 32 entries for each group of three, of which a set
// may use fewer.
func PreparedLen(K int) int { return pack.WordsPerRow(K) * pack.GroupsPerWord * 32 }
