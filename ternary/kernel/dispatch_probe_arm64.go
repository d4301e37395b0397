//go:build arm64 && !noasm

package kernel

import "mmfree/ternary/kernel/arm64"

// NewProbe returns NEON's probe.
func NewProbe() Probe {
	return Probe{Name: "neon", Read: arm64.ReadSum, ReadMemory: arm64.ReadSum, Fused: arm64.Fused}
}
