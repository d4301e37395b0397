package f32

import "math"

const (
	log2e = 1.44269504
	// ln 2 in two parts (Cody and Waite): the nearest float32, and the nearest to what it leaves.
	ln2Hi = 0.693147182
	ln2Lo = -1.90465430e-9
	// Adding and subtracting 1.5·2^23 rounds a float32 below 2^22 to the nearest integer, halves to even.
	roundMagic = 12582912

	expLowest  = -87.33654 // below: the result would be denormal, and is 0
	expHighest = 88.72283  // above: +Inf
)

// Exp returns e^x within 1 unit in the last place; 0 for x below −87.34, +Inf above 88.72, NaN for NaN. The polynomial
// is the minimax one of degree 5 on |r| ≤ ln2/2 that the Cephes library publishes for single precision.
func Exp(x float32) float32 {
	switch {
	case x != x:
		return x
	case x < expLowest:
		return 0
	case x > expHighest:
		return float32(math.Inf(1))
	}
	t := FMA(x, log2e, roundMagic)
	n := t - roundMagic
	r := FMA(n, -ln2Lo, FMA(n, -ln2Hi, x))
	y := horner(1.9875691500e-4, r, []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1})
	// n reaches 128 where 2^n itself is no float32: scale in two exact steps.
	half := int32(n) >> 1
	return float32(float32(y*pow2(half)) * pow2(int32(n)-half))
}

// pow2 returns 2^n for −126 ≤ n ≤ 127.
func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// Silu returns z·σ(z).
func Silu(z float32) float32 { return float32(z * Sigmoid(z)) }

// Abs returns |x|; it clears the sign bit, of NaN too.
func Abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// Log returns the natural logarithm of a positive, finite, normal x, within 2 units in the last place of float64. It
// exists because math.Log gives other bits on other machines.
func Log(x float64) float64 {
	const ln2HiLong, ln2LoLong = 6.93147180369123816490e-01, 1.90821492927058770002e-10
	frac, exp := math.Frexp(x) // frac in [0.5, 1)
	if frac < math.Sqrt2/2 {
		frac *= 2
		exp--
	}
	// ln(frac) = 2·atanh(s), s = (frac−1)/(frac+1), |s| < 0.172: the odd series to s^21 leaves less than 1e-17.
	s := (frac - 1) / (frac + 1)
	s2 := float64(s * s)
	p := 0.0
	for k := 21; k >= 3; k -= 2 {
		p = float64((p + 1/float64(k)) * s2)
	}
	return float64(float64(exp)*ln2HiLong) + (float64(2*float64(s+float64(s*p))) + float64(float64(exp)*ln2LoLong))
}
