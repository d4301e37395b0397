package kernel

import "mmfree/ternary/pack"

// setFew gives the set a PrepareFew and a MatVecFew that go token by token, a superblock at a time, so that its words are
// read once from far away. The set's Prepare fills per entries for a word.
func setFew(s *Set, few, per int) {
	prepare, matVec := s.Prepare, s.MatVec
	s.Few = few
	s.PrepareFew = func(prepared []int16, x []int8, K, n, j0, j1 int) {
		size := PreparedLen(K)
		for t := range n {
			prepare(prepared[t*size+j0*per:][:(j1-j0)*per], x[t*K+j0*pack.TritsPerWord:t*K+min(K, j1*pack.TritsPerWord)])
		}
	}
	s.MatVecFew = func(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
		size := PreparedLen(w.Cols)
		if n == 1 {
			matVec(dst, w, s0, s1, prepared[:size], scale[0])
			return
		}
		for ; s0 < s1; s0++ {
			for t := range n {
				matVec(dst[t*ldd:], w, s0, s0+1, prepared[t*size:][:size], scale[t])
			}
		}
	}
}
