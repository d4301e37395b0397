package kernel

import "mmfree/ternary/pack"

// setFew gives the set the PrepareFew and the MatVecFew of sets that have none for more than one token.
func setFew(s *Set) {
	prepare, matVec := s.Prepare, s.MatVec
	s.Few = 1
	s.PrepareFew = func(prepared []int16, x []int8, K, _, j0, j1 int) {
		prepare(prepared[j0*PreparedLen(1):], x[j0*pack.TritsPerWord:min(K, j1*pack.TritsPerWord)])
	}
	s.MatVecFew = func(dst []float32, _ int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, _ int) {
		matVec(dst, w, s0, s1, prepared, scale[0])
	}
}
