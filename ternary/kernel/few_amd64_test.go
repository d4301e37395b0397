//go:build amd64 && !noasm

package kernel_test

import (
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/kernel/amd64"
	"mmfree/ternary/kernel/conformance"
)

// TestWithoutVBMI runs what a machine with AVX-512 and without AVX512VBMI has for small batches.
func TestWithoutVBMI(t *testing.T) {
	for _, set := range kernel.Available() {
		if set.Name == "avx512" {
			s := *set
			s.MatMul = amd64.MatMul512
			conformance.MatMul(t, &s)
		}
	}
}
