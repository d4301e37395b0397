//go:build amd64 && !noasm

package kernel

import "mmfree/ternary/kernel/amd64"

func avx512Rows(s *Set) { setRows(s, amd64.Rows512) }

func avx2Rows(s *Set) { setRows(s, amd64.Rows256) }

func setRows(s *Set, r amd64.Rows) {
	s.RMSNorm, s.NormQuantize, s.RMSNormBackward = r.RMSNorm, r.NormQuantize, r.RMSNormBackward
	s.Recurrence, s.RecurrenceBackward = r.Recurrence, r.RecurrenceBackward
	s.OutputGate, s.OutputGateBackward = r.OutputGate, r.OutputGateBackward
	s.Shift, s.WKV, s.WKVBackward = r.Shift, r.WKV, r.WKVBackward
	s.Receptance, s.ReceptanceBackward = r.Receptance, r.ReceptanceBackward
	s.SwiGLU, s.SwiGLUBackward, s.Add = r.SwiGLU, r.SwiGLUBackward, r.Add
	s.Trits, s.AbsSum, s.SquareSum = r.Trits, r.AbsSum, r.SquareSum
	s.Exponentials, s.LogSumExp, s.SoftmaxGradient, s.AdamW = r.Exponentials, r.LogSumExp, r.SoftmaxGradient, adamW(r.AdamW)
}
