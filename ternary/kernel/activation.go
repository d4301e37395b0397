package kernel

// ReLU2 computes dst = max(p, 0)²∘q, the squared-ReLU gate (spec §11).
func (s *Set) ReLU2(dst, p, q []float32) {
	if s.plain != nil {
		s.counts.OtherMultiplies.Add(2 * int64(len(p)))
	}
	dst, q = dst[:len(p)], q[:len(p)]
	for j, v := range p {
		v = max(v, 0)
		dst[j] = float32(v*v) * q[j]
	}
}

// ReLU2Backward is its gradient: dp = dz∘q·2·max(p, 0), dq = dz∘max(p, 0)². dq may be dz.
func (s *Set) ReLU2Backward(dp, dq, dz, p, q []float32) {
	n := len(p)
	dp, dq, dz, q = dp[:n], dq[:n], dz[:n], q[:n]
	for j, v := range p {
		v = max(v, 0)
		d := dz[j]
		dp[j] = float32(d*q[j]) * float32(2*v)
		dq[j] = d * float32(v*v)
	}
}
