//go:build amd64 && !noasm

package kernel_test

import (
	"testing"

	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel"
	"mmfree/ternary/kernel/amd64"
	"mmfree/ternary/kernel/conformance"
)

// TestOuterIntsWithout: a machine that has AMX, or VNNI, runs AVX-512's other forms nowhere else.
func TestOuterIntsWithout(t *testing.T) {
	x := &cpu.X86
	if !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512VL || !x.HasBMI2 {
		t.Skip("this machine lacks AVX-512")
	}
	t.Run("AMX", func(t *testing.T) {
		if !x.HasAVX512VNNI {
			t.Skip("this machine lacks VNNI")
		}
		set := kernel.Generic()
		set.OuterInts = amd64.Ints512VNNI.OuterInts
		conformance.OuterInts(t, set)
	})
	t.Run("VNNI", func(t *testing.T) {
		set := kernel.Generic()
		set.OuterInts = amd64.Ints512.OuterInts
		conformance.OuterInts(t, set)
	})
}
