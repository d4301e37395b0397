//go:build arm64 && !noasm

package kernel

import "mmfree/ternary/kernel/arm64"

// Available returns the sets that this machine can run, fastest first.
func Available() []*Set {
	s := Generic()
	s.Name = "neon"
	s.Prepare, s.MatVec = arm64.Prepare, arm64.MatVec
	s.Tile, s.MatMul, s.MatMulFloat = arm64.Tile, arm64.MatMul, arm64.MatMulFloat
	s.OuterCodes, s.OuterFloat = arm64.OuterCodes, arm64.OuterFloat
	return []*Set{s, Generic()}
}
