//go:build amd64 && !noasm

package kernel_test

import (
	"testing"

	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel"
	"mmfree/ternary/kernel/amd64"
	"mmfree/ternary/kernel/conformance"
)

// TestFewForms runs both forms of lookups for small batches, and of making their tables, of which a set has one.
func TestFewForms(t *testing.T) {
	for _, set := range kernel.Available() {
		if set.Name != "avx512" {
			continue
		}
		t.Run("words", func(t *testing.T) {
			s := *set
			s.MatMul, s.MatVecFew = amd64.MatMul512, amd64.MatVecFewWords512
			s.Prepare, s.PrepareFew = amd64.PrepareWords512, amd64.PrepareFewWords512
			conformance.MatMul(t, &s)
		})
		if cpu.X86.HasAVX512VBMI {
			t.Run("bytes", func(t *testing.T) {
				s := *set
				s.MatMul, s.MatVecFew = amd64.MatMulBytes512, amd64.MatVecFewBytes512
				s.Prepare, s.PrepareFew = amd64.PrepareBytes512, amd64.PrepareFewBytes512
				conformance.MatMul(t, &s)
			})
		}
	}
}
