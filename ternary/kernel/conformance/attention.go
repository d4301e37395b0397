package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
)

// attention: queries that share a call have the bits of queries alone with the keys that they see, whatever stands in the keys
// behind those, infinities and NaN included; with a softmax and without.
func attention(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(11, 1))
	last := []float32{1, 0, float32(math.Copysign(0, -1)), math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	for _, c := range []int{8, 20, 64} {
		for _, seen := range []int{1, 5, kernel.KeyBlock} {
			for _, value := range last {
				const keys, n = kernel.KeyBlock, kernel.KeyBlock + 3
				q, k, v := floats(rng, n*c), floats(rng, keys*c), floats(rng, keys*c)
				for j := range c {
					v[(keys-1)*c+j] = value
				}
				for _, softmax := range []bool{true, false} {
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
						what := fmt.Sprintf("query %d, width %d, %d seen, last values %v, softmax %v", i, c, seen, value, softmax)
						one, oneTop, oneSum := attend(i, 1, min(keys, seen+i))
						for j, want := range one {
							checkSame(t, "a value of "+what, acc[i*c+j], want)
						}
						if softmax {
							checkSame(t, "the maximum of "+what, top[i], oneTop[0])
							checkSame(t, "the sum of "+what, sum[i], oneSum[0])
						}
					}
				}
			}
		}
	}
}
