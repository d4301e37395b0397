//go:build amd64 && !noasm

package kernel

import (
	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel/amd64"
)

func avx512Ints(s *Set) {
	setInts(s, amd64.Ints512)
	x := &cpu.X86
	if x.HasAVX512VNNI {
		setInts(s, amd64.Ints512VNNI)
	}
	if x.HasAMXTile && x.HasAMXInt8 && x.HasAVX512VBMI && permitTiles() {
		s.OuterInts, s.IntStrip, s.IntPanel = amd64.OuterIntsAMX, amd64.AMXStrip, amd64.AMXPanel
	}
}

func avx2Ints(s *Set) { setInts(s, amd64.Ints256) }

func setInts(s *Set, w amd64.Ints) {
	s.OuterInts, s.IntStrip, s.IntPanel = w.OuterInts, amd64.IntStrip, amd64.IntPanel
}
