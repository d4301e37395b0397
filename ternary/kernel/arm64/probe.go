//go:build arm64 && !noasm

package arm64

const (
	probeBlock = 512 // bytes of one pass of readSum's loop
	fusedFlops = 24 * 8 * 2 * lanes
)

// ReadSum is kernel.Probe.Read.
func ReadSum(p []byte) (sum uint64) {
	if n := len(p) / probeBlock * probeBlock; n > 0 {
		sum = readSum(&p[0], n)
	}
	return sum
}

// Fused is kernel.Probe.Fused.
func Fused(loops int) (flops int64, value float32) {
	loops = max(1, loops)
	return int64(loops) * fusedFlops, fusedPeak(loops, 0.5)
}
