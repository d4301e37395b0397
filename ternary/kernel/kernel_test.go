package kernel_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/kernel/conformance"
)

func TestKernels(t *testing.T) {
	for _, set := range append(kernel.Available(), kernel.Counting(new(kernel.Counts))) {
		t.Run(set.Name, func(t *testing.T) { conformance.Run(t, set) })
	}
}

func TestChoose(t *testing.T) {
	available := kernel.Available()
	for want, set := range map[string]*kernel.Set{"": available[0], available[len(available)-1].Name: available[len(available)-1]} {
		t.Setenv("MMFREE_ISA", want)
		got, err := kernel.Choose()
		if err != nil || got.Name != set.Name {
			t.Errorf("MMFREE_ISA=%q: set %v, error %v", want, got, err)
		}
	}
	if !slices.ContainsFunc(available, func(s *kernel.Set) bool { return s.Name == "generic" }) {
		t.Error("the portable set is not available")
	}
	t.Setenv("MMFREE_ISA", "abacus")
	if _, err := kernel.Choose(); !errors.Is(err, kernel.ErrISA) {
		t.Errorf("MMFREE_ISA=abacus: error %v, want ErrISA", err)
	}
}

// TestCounts checks the counters against trits counted by hand.
func TestCounts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const R, K, n = 130, 50, 3
	w := randomMatrix(rng, R, K)
	trits := make([]int8, R*K)
	w.Decode(trits, 0, w.Superblocks())
	var ones, zeros int64
	for _, v := range trits {
		if v == 0 {
			zeros++
		} else {
			ones++
		}
	}
	var c kernel.Counts
	set := kernel.Counting(&c)
	expect := func(what string, adds, skipped, multiplies int64) {
		t.Helper()
		if a, z, m := c.WeightAdds.Load(), c.ZerosSkipped.Load(), c.WeightMultiplies.Load(); a != adds || z != skipped || m != multiplies {
			t.Errorf("%s: %d adds, %d zeros, %d weight multiplications; want %d, %d, %d", what, a, z, m, adds, skipped, multiplies)
		}
	}
	x, scale, dst := randomCodes(rng, n*K), []float32{1, 2, 3}, make([]float32, n*R)
	set.MatMul(dst, R, w, 0, w.Superblocks(), x, scale, n)
	expect("MatMul", n*ones, n*zeros, 0)
	if got := c.OtherMultiplies.Load(); got != n*R {
		t.Errorf("MatMul: %d other multiplications, want one for each of %d results", got, n*R)
	}
	prepared := make([]int16, kernel.PreparedLen(K))
	set.Prepare(prepared, x[:K])
	set.MatVec(dst, w, 0, w.Superblocks(), prepared, 1)
	expect("MatVec", (n+1)*ones, (n+1)*zeros, 0)
	set.SwiGLU(dst[:K], dst[K:2*K], dst[2*K:3*K])
	set.RMSNorm(dst[:K], dst[K:2*K], dst[2*K:3*K], 1e-6)
	expect("row operations", (n+1)*ones, (n+1)*zeros, 0)
	set.Dense(dst, 4, make([]float32, 4*K), make([]float32, 2*K), K, 2, 1, 4)
	expect("Dense", (n+1)*ones, (n+1)*zeros, 2*3*K)
}
