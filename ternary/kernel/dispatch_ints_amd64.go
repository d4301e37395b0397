//go:build amd64 && !noasm

package kernel

import (
	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel/amd64"
)

func avx512Ints(s *Set) {
	s.OuterInts = amd64.Ints512.OuterInts
	if cpu.X86.HasAVX512VNNI {
		s.OuterInts = amd64.Ints512VNNI.OuterInts
	}
}

func avx2Ints(s *Set) { s.OuterInts = amd64.Ints256.OuterInts }
