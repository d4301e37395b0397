//go:build arm64 && !noasm

package kernel

import "mmfree/ternary/kernel/arm64"

// Available returns the sets that this machine can run, fastest first.
func Available() []*Set {
	s := Generic()
	s.Name = "neon"
	s.Prepare, s.MatVec = arm64.Prepare, arm64.MatVec
	s.Few, s.PrepareFew, s.MatVecFew = arm64.Few, arm64.PrepareFew, arm64.MatVecFew
	s.Tile, s.MatMul, s.MatMulFloat = arm64.Tile, arm64.MatMul, arm64.MatMulFloat
	s.OuterInts, s.IntStrip, s.IntPanel = arm64.OuterInts, arm64.IntStrip, arm64.IntPanel
	setDense(s, arm64.Dense())
	s.RMSNorm, s.NormQuantize, s.RMSNormBackward = arm64.RMSNorm, arm64.NormQuantize, arm64.RMSNormBackward
	s.Recurrence, s.RecurrenceBackward = arm64.Recurrence, arm64.RecurrenceBackward
	s.OutputGate, s.OutputGateBackward = arm64.OutputGate, arm64.OutputGateBackward
	s.SwiGLU, s.SwiGLUBackward, s.Add = arm64.SwiGLU, arm64.SwiGLUBackward, arm64.Add
	s.Shift, s.Receptance, s.ReceptanceBackward, s.WKV, s.WKVBackward = arm64.Shift, arm64.Receptance, arm64.ReceptanceBackward, arm64.WKV, arm64.WKVBackward
	s.Exponentials, s.LogSumExp, s.SoftmaxGradient, s.AdamW = arm64.Exponentials, arm64.LogSumExp, arm64.SoftmaxGradient, adamW(arm64.AdamW)
	s.Encode, s.EncodeTransposed = arm64.Encode, arm64.EncodeTransposed
	s.Trits, s.AbsSum, s.SquareSum = arm64.Trits, arm64.AbsSum, arm64.SquareSum
	return []*Set{s, Generic()}
}
