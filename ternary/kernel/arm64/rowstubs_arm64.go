//go:build arm64 && !noasm

package arm64

// sumSquares adds Σ x² to the 64 lanes of acc, in f32.SumSquares' order. n is a positive multiple of 64.
//
//go:noescape
func sumSquares(acc *float32, x *float32, n int)

// normalise writes (x·r)∘gain to dst, which may be x. n is a positive multiple of 4. Twin: generic.RMSNorm.
//
//go:noescape
func normalise(dst *float32, x *float32, gain *float32, r float32, n int)

// normTop writes the largest bit patterns of |(x·r)∘gain| to tops, one for each of four lanes. n is a positive multiple of 4.
// Twin: generic.NormQuantize.
//
//go:noescape
func normTop(tops *uint32, x *float32, gain *float32, r float32, n int)

// normCodes writes round((x·r)∘gain·s), halves to even, for values of at most 127. n is a positive multiple of 8. Twin:
// quant.Codes.
//
//go:noescape
func normCodes(codes *int8, x *float32, gain *float32, r float32, s float32, n int)

// normCodesAway is normCodes with halves away from zero.
//
//go:noescape
func normCodesAway(codes *int8, x *float32, gain *float32, r float32, s float32, n int)

// normSlope adds Σ dy∘gain∘x̂ to the 64 lanes of acc, in f32.Dot's order, and dy∘x̂ to dgain, x̂ = x·r. n is a positive
// multiple of 64. Twin: generic.RMSNormBackward.
//
//go:noescape
func normSlope(acc *float32, dgain *float32, dy *float32, x *float32, gain *float32, r float32, n int)

// normBack writes r·(dy∘gain − x·r·mean) to dx, which may be dy. n is a positive multiple of 4. Twin:
// generic.RMSNormBackward.
//
//go:noescape
func normBack(dx *float32, dy *float32, x *float32, gain *float32, r float32, mean float32, n int)

// normBackAdd is normBack that adds to dx.
//
//go:noescape
func normBackAdd(dx *float32, dy *float32, x *float32, gain *float32, r float32, mean float32, n int)

// sum writes a + b to dst, which may be either. n is a positive multiple of 4. Twin: generic.Add.
//
//go:noescape
func sum(dst *float32, a *float32, b *float32, n int)

// gate writes (x·r)∘gain∘silu(s) to dst. n is a positive multiple of 4. Twin: generic.OutputGate.
//
//go:noescape
func gate(dst *float32, x *float32, s *float32, gain *float32, r float32, n int)

// gateBack writes ds = da∘((x·r)∘gain)∘silu'(s) and dx = da∘silu(s). n is a positive multiple of 4. Twin:
// generic.OutputGateBackward.
//
//go:noescape
func gateBack(dx *float32, ds *float32, da *float32, x *float32, s *float32, gain *float32, r float32, n int)

// swiGLU writes silu(p)∘q to dst. n is a positive multiple of 4. Twin: generic.SwiGLU.
//
//go:noescape
func swiGLU(dst *float32, p *float32, q *float32, n int)

// swiGLUBack is kernel.Set.SwiGLUBackward. n is a positive multiple of 4. Twin: generic.SwiGLUBackward.
//
//go:noescape
func swiGLUBack(dp *float32, dq *float32, dz *float32, p *float32, q *float32, n int)

// recur takes n channels of one token: kernel.Set.Recurrence for T = 1 with a bound, and a mask of keep. n is a positive
// multiple of 4. Twin: generic.Recurrence.
//
//go:noescape
func recur(states *float32, state *float32, i *float32, z *float32, bound *float32, keep float32, n int)

// recurBack takes n channels of one token: previous is the state before it, carried f·δ of the token behind it, and its
// own afterwards; dbound is added to. n is a positive multiple of 4. Twin: generic.RecurrenceBackward.
//
//go:noescape
func recurBack(di *float32, dz *float32, dbound *float32, carried *float32, ds *float32, previous *float32, i *float32, z *float32, bound *float32, keep float32, n int)

// largest puts into each of the 16 lanes of tops the first largest value, what is there coming first. NaN is never larger.
// n is a positive multiple of 16. Twin: generic.LogSumExp.
//
//go:noescape
func largest(tops *float32, x *float32, n int)

// expSum adds Σ e^(x−top) to the 64 lanes of acc, in f32.Sum's order. n is a positive multiple of 64. Twin:
// generic.LogSumExp.
//
//go:noescape
func expSum(acc *float32, x *float32, top float32, n int)

// softmax writes e^(x−top)·inv·scale to x. n is a positive multiple of 4. Twin: generic.SoftmaxGradient.
//
//go:noescape
func softmax(x *float32, top float32, inv float32, scale float32, n int)

// adamW is kernel.Set.AdamW; scalars are clip, decay, β1, β2, 1−β1, 1−β2, rate, correction2 and ε. n is a positive
// multiple of 4. Twin: generic.AdamW.
//
//go:noescape
func adamW(theta *float32, m *float32, v *float32, d *float32, scalars *float32, n int)

// trits writes ±1 by the sign of w where |w·inv| > 0.5, else 0. n is a positive multiple of 16. Twin: quant.Trits, inv its 1/m.
//
//go:noescape
func trits(codes *int8, w *float32, inv float32, n int)

// absSum adds |x| to the 32 lanes of acc, in f32.AbsSum's order. n is a positive multiple of 32.
//
//go:noescape
func absSum(acc *float64, x *float32, n int)

// squareSum adds x² to the 32 lanes of acc, in f32.SquareSum's order. n is a positive multiple of 32.
//
//go:noescape
func squareSum(acc *float64, x *float32, n int)

// shift writes x∘mix + before∘(1−mix). n is a positive multiple of 4. Twin: generic.Shift.
//
//go:noescape
func shift(dst *float32, x *float32, before *float32, mix *float32, n int)

// receptance writes σ(r)∘y. n is a positive multiple of 4. Twin: generic.Receptance.
//
//go:noescape
func receptance(dst *float32, r *float32, y *float32, n int)

// receptanceBack writes da∘y∘σ'(r) and da∘σ(r). dr may be r, and dy da. n is a positive multiple of 4. Twin:
// generic.ReceptanceBackward.
//
//go:noescape
func receptanceBack(dr *float32, dy *float32, da *float32, r *float32, y *float32, n int)

// wkv takes n channels through one token; a, b and top are the three rows of the state. n is a positive multiple of 4. Twin:
// generic.WKV.
//
//go:noescape
func wkv(y *float32, a *float32, b *float32, top *float32, key *float32, value *float32, rate *float32, bonus *float32, n int)

// wkvBack takes n ≤ 256 channels back through one token, the last one first; a, b and top are the rows of the state before it. work
// is [4][256]: da and db, which the later token carries over, the rate's gradient and the bonus's. dk may be key, and dv value. n is
// a positive multiple of 4. Twin: generic.WKVBackward.
//
//go:noescape
func wkvBack(dk *float32, dv *float32, work *float32, dy *float32, y *float32, a *float32, b *float32, top *float32, key *float32, value *float32, rate *float32, bonus *float32, n int)
