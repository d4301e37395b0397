//go:build amd64 && !noasm

package kernel_test

import (
	"testing"

	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel"
	"mmfree/ternary/kernel/amd64"
	"mmfree/ternary/kernel/conformance"
)

// TestOuterIntsWithoutVNNI: machines that have VNNI run AVX-512's other form nowhere else.
func TestOuterIntsWithoutVNNI(t *testing.T) {
	if x := &cpu.X86; !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512VL || !x.HasBMI2 {
		t.Skip("this machine lacks AVX-512")
	}
	set := kernel.Generic()
	set.OuterInts = amd64.Ints512.OuterInts
	conformance.OuterInts(t, set)
}
