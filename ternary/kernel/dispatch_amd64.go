//go:build amd64 && !noasm

package kernel

import (
	"golang.org/x/sys/cpu"

	"mmfree/ternary/kernel/amd64"
)

// Available returns the sets that this machine can run, fastest first.
func Available() []*Set {
	var sets []*Set
	if x := &cpu.X86; x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ && x.HasBMI2 {
		s := Generic()
		s.Name = "avx512"
		avx512Products(s)
		avx512Rows(s)
		avx512Ints(s)
		setDense(s, amd64.Dense512())
		sets = append(sets, s)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasBMI2 && cpu.X86.HasFMA {
		s := Generic()
		s.Name = "avx2"
		avx2Products(s)
		avx2Rows(s)
		avx2Ints(s)
		setDense(s, amd64.Dense256())
		sets = append(sets, s)
	}
	return append(sets, Generic())
}

func avx512Products(s *Set) {
	s.Tile = amd64.Tile512
	s.MatMul, s.MatMulFloat = amd64.MatMul512, amd64.MatMulFloat512
	s.Prepare, s.MatVec = amd64.PrepareWords512, amd64.MatVec512
	s.Few, s.PrepareFew, s.MatVecFew = amd64.Few512, amd64.PrepareFewWords512, amd64.MatVecFewWords512
	s.Encode, s.EncodeTransposed = amd64.Encode512, amd64.EncodeTransposed512
	s.Fetch = amd64.Fetch
	if cpu.X86.HasAVX512VBMI && !amd64.PicksWords() {
		s.MatMul, s.MatVecFew = amd64.MatMulBytes512, amd64.MatVecFewBytes512
		s.Prepare, s.PrepareFew = amd64.PrepareBytes512, amd64.PrepareFewBytes512
	}
}

func avx2Products(s *Set) {
	s.Tile = amd64.Tile256
	s.MatMul, s.MatMulFloat = amd64.MatMul256, amd64.MatMulFloat256
	s.Prepare, s.MatVec = amd64.Prepare256, amd64.MatVec256
	s.Few, s.PrepareFew, s.MatVecFew = amd64.Few256, amd64.PrepareFew256, amd64.MatVecFew256
	s.Encode, s.EncodeTransposed = amd64.Encode256, amd64.EncodeTransposed256
	s.Fetch = amd64.Fetch
}
