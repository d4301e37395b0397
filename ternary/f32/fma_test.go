package f32_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/f32"
)

// TestFMA compares with exact arithmetic: with values of all sizes, and with sums that lie on, or a last bit of float64 and
// less beside, a half between two float32, of normal size and below.
func TestFMA(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	special := []float32{
		0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32,
		-math.MaxFloat32, 0x1p-126, 0x1p-149, 0x1.fffffep-127, 0x1p-75, -0x1p-75, 0x1.000002p0, 0x1.fffffep0, 0x1p24, 0x1p127,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	}
	for _, x := range special {
		for _, y := range special {
			for _, z := range special {
				checkFMA(t, x, y, z)
			}
		}
	}
	random := func(spread int) float32 {
		return float32(math.Ldexp(float64(int32(rng.Uint32()|1<<31>>rng.IntN(31))), rng.IntN(2*spread+1)-spread))
	}
	for i := range 2_000_000 {
		x, y := math.Float32frombits(rng.Uint32()), math.Float32frombits(rng.Uint32())
		z := math.Float32frombits(rng.Uint32())
		switch i % 4 {
		case 1: // of like size
			x, y, z = random(3), random(3), random(30)
		case 2: // the sum is next to a half: x·y = ±(1 + 2^-a)·2^-c, half of the last place of z or nearly so
			z = math.Float32frombits(rng.Uint32()&0x807fffff | uint32(1+rng.IntN(253))<<23)
			x = float32(math.Copysign(1+math.Ldexp(1, -rng.IntN(25)), rng.Float64()-0.5))
			y = float32(math.Ldexp(1-math.Ldexp(float64(rng.IntN(3)), -24), int(math.Float32bits(z)>>23&0xff)-127-24+rng.IntN(3)-1))
		case 3: // below normal size
			z = math.Float32frombits(rng.Uint32() & 0x80ffffff)
			x, y = random(1), float32(math.Ldexp(float64(rng.IntN(1<<12)), -149-rng.IntN(40)))
			x *= 0x1p-20
		}
		checkFMA(t, x, y, z)
	}
}

func checkFMA(t *testing.T, x, y, z float32) {
	t.Helper()
	got := f32.FMA(x, y, z)
	want := float32(float64(x)*float64(y) + float64(z)) // of zeros, NaN and infinities
	if finite := func(v float32) bool { return v-v == 0 }; finite(x) && finite(y) && finite(z) {
		exact := new(big.Float).SetPrec(1000)
		exact.Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y))) // 53 bits hold it
		exact.SetPrec(1000).Add(exact.SetPrec(1000), big.NewFloat(float64(z)))
		if exact.Sign() != 0 {
			want, _ = exact.Float32()
		}
	}
	if math.Float32bits(got) != math.Float32bits(want) && (got == got || want == want) {
		t.Fatalf("FMA(%v, %v, %v) is %v (%#08x), want %v (%#08x)", x, y, z, got, math.Float32bits(got), want, math.Float32bits(want))
	}
}
