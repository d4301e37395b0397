package layer

import (
	"sync/atomic"

	"mmfree/ternary/quant"
)

// Meter counts the codes that activations get while it is an Env's: all of them, those at the end of their range, and zeros.
type Meter struct{ All, Clipped, Zeros atomic.Int64 }

// count adds a token's codes of one layer. Counts are sums of integers: workers may come in any order.
func (m *Meter) count(q []int8) {
	clipped, zeros := 0, 0
	for _, v := range q {
		switch v {
		case 0:
			zeros++
		case quant.MaxCode, -quant.MaxCode:
			clipped++
		}
	}
	m.All.Add(int64(len(q)))
	m.Clipped.Add(int64(clipped))
	m.Zeros.Add(int64(zeros))
}
