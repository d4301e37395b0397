//go:build amd64 && !noasm

package kernel

import (
	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel/amd64"
)

// NewProbe returns the probe of the widest vectors that this machine has.
func NewProbe() Probe {
	switch x := &cpu.X86; {
	case x.HasAVX512F:
		return Probe{Name: "avx512", Read: amd64.ReadSum512, ReadMemory: amd64.ReadAhead512, Fused: amd64.Fused512}
	case x.HasAVX2 && x.HasFMA:
		return Probe{Name: "avx2", Read: amd64.ReadSum256, ReadMemory: amd64.ReadAhead256, Fused: amd64.Fused256}
	}
	return portableProbe()
}
