// Package goldentest loads goldens: numbers that an independent implementation of the specification computed, each a
// .safetensors file of values and a .json file that says what they mean (testdata/README.md).
//
// For tests only. The files in testdata are embedded; the environment variable MMFREE_GOLDENS names a folder that
// replaces them, with the same file names but other seeds, shapes and configurations, so a test takes every size and
// option from the golden and hard-codes none. May not enter: arithmetic of the model; the comparison rules of the format
// (largest absolute difference for outputs and gradients, equality for codes) are all there is. Start at golden.go.
//
//	g := goldentest.Load(t, "op_swiglu")
//	z := make([]float32, len(g.F32("p")))
//	set.SwiGLU(z, g.F32("p"), g.F32("q"))
//	g.CheckOutput(t, "z", z)
package goldentest
