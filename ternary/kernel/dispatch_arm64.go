//go:build arm64 && !noasm

package kernel

import "mmfree/ternary/kernel/arm64"

// Available returns the sets that this machine can run, fastest first.
func Available() []*Set {
	s := Generic()
	s.Name = "neon"
	s.Prepare, s.MatVec = arm64.Prepare, arm64.MatVec
	return []*Set{s, Generic()}
}
