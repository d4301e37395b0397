package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
)

// TestAttendSeesNoLaterKey: queries that share a call have the bits of queries alone with the keys that they see, whatever
// stands in the keys behind those, infinities and NaN included; with a softmax and without.
func TestAttendSeesNoLaterKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	last := []float32{1, 0, float32(math.Copysign(0, -1)), math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	for _, set := range kernel.Available() {
		for _, c := range []int{8, 20, 64} {
			for _, seen := range []int{1, 5, kernel.KeyBlock} {
				for _, value := range last {
					const keys, n = kernel.KeyBlock, kernel.KeyBlock + 3
					q, k, v := randomFloats(rng, n*c), randomFloats(rng, keys*c), randomFloats(rng, keys*c)
					for j := range c {
						v[(keys-1)*c+j] = value
					}
					for _, softmax := range []bool{true, false} {
						what := fmt.Sprintf("%s, width %d, %d seen, last values %v, softmax %v", set.Name, c, seen, value, softmax)
						attend := func(i, n, keys int) (acc, top, sum []float32) {
							acc = make([]float32, n*c)
							if softmax {
								top, sum = make([]float32, n), make([]float32, n)
								for j := range top {
									top[j] = kernel.NoKey()
								}
							}
							set.Attend(acc, top, sum, q[i*c:][:n*c], k[:keys*c], v[:keys*c], c, keys, n, min(keys, seen+i))
							return acc, top, sum
						}
						acc, top, sum := attend(0, n, keys)
						for i := range n {
							one, oneTop, oneSum := attend(i, 1, min(keys, seen+i))
							same(t, acc[i*c:][:c], one, "values of query %d, %s", i, what)
							if softmax {
								same(t, top[i:i+1], oneTop, "maximum of query %d, %s", i, what)
								same(t, sum[i:i+1], oneSum, "sum of query %d, %s", i, what)
							}
						}
					}
				}
			}
		}
	}
}

// same compares bits; NaN is NaN.
func same(t *testing.T, got, want []float32, what string, args ...any) {
	t.Helper()
	for j := range want {
		if math.Float32bits(got[j]) != math.Float32bits(want[j]) && !(got[j] != got[j] && want[j] != want[j]) {
			t.Fatalf("%s: [%d] is %v, want %v", fmt.Sprintf(what, args...), j, got[j], want[j])
		}
	}
}
