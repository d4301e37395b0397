package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
)

// weights compares what is done to a tensor's values on the way to its codes and in the gradients' norm: rows of random
// values, of halves of the scale, where codes turn, and at every place in a vector.
func weights(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(14, 1))
	for _, n := range rowLengths() {
		w := floats(rng, n)
		checkWeights(t, set, w, 0.8, fmt.Sprintf("row of %d", n))
		for j := range w { // to the neighbours of m/2, and just these
			half := math.Float32frombits(math.Float32bits(0.4) + uint32(rng.IntN(3)) - 1)
			w[j] = half * float32(1-2*rng.IntN(2))
		}
		checkWeights(t, set, w, 0.8, fmt.Sprintf("row of %d round the halves", n))
	}
}

// checkWeights takes a row with any values; where a code is not defined, of a NaN, there is none to compare.
func checkWeights(t *testing.T, set *kernel.Set, w []float32, m float32, what string) {
	t.Helper()
	var magnitudes, squares [f32.Lanes64]float64
	for j, v := range w {
		magnitudes[j%f32.Lanes64] += math.Abs(float64(v))
		squares[j%f32.Lanes64] += float64(v) * float64(v)
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"AbsSum": {set.AbsSum(w), halve(magnitudes[:])}, "SquareSum": {set.SquareSum(w), halve(squares[:])},
	} {
		if math.Float64bits(c.got) != math.Float64bits(c.want) && !(c.got != c.got && c.want != c.want) {
			t.Fatalf("%s, %s: %v, want %v", name, what, c.got, c.want)
		}
	}
	const canary = 99
	codes := make([]int8, len(w)+1)
	for j := range codes {
		codes[j] = canary
	}
	set.Trits(codes[:len(w)], w, m)
	if codes[len(w)] != canary {
		t.Fatalf("Trits, %s: writes behind the row", what)
	}
	inv := div(1, m)
	for j, v := range w {
		want := int8(max(-1, min(1, math.RoundToEven(float64(mul(v, inv))))))
		if v == v && codes[j] != want {
			t.Fatalf("Trits, %s: code %d of %v is %d, want %d", what, j, v, codes[j], want)
		}
	}
}

// halve adds the upper half of the lanes to the lower one until one is left.
func halve(lanes []float64) float64 {
	for n := len(lanes) / 2; n > 0; n /= 2 {
		for j := range n {
			lanes[j] += lanes[j+n]
		}
	}
	return lanes[0]
}
