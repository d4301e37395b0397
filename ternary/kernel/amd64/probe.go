//go:build amd64 && !noasm

package amd64

//go:generate sh -c "cd ../_gen && go run ./probe -out ../amd64/probe_amd64.s -stubs ../amd64/probe_amd64.go -pkg amd64"

const (
	probeBlock    = 512 // bytes of one pass of readSum's loop
	fusedFlops512 = 1536
	fusedFlops256 = fusedFlops512 / 2
)

// ReadSum512 is kernel.Probe.Read.
func ReadSum512(p []byte) uint64 { return readWhole(readSum512, p) }

// ReadAhead512 is kernel.Probe.ReadMemory.
func ReadAhead512(p []byte) uint64 { return readWhole(readAhead512, p) }

// ReadSum256 is kernel.Probe.Read.
func ReadSum256(p []byte) uint64 { return readWhole(readSum256, p) }

// ReadAhead256 is kernel.Probe.ReadMemory.
func ReadAhead256(p []byte) uint64 { return readWhole(readAhead256, p) }

// readWhole reads the whole blocks of p.
func readWhole(read func(p *byte, n int) uint64, p []byte) (sum uint64) {
	if n := len(p) / probeBlock * probeBlock; n > 0 {
		sum = read(&p[0], n)
	}
	return sum
}

// Fused512 is kernel.Probe.Fused.
func Fused512(loops int) (flops int64, value float32) {
	loops = max(1, loops)
	return int64(loops) * fusedFlops512, fusedPeak512(loops, 0.5)
}

// Fused256 is kernel.Probe.Fused.
func Fused256(loops int) (flops int64, value float32) {
	loops = max(1, loops)
	return int64(loops) * fusedFlops256, fusedPeak256(loops, 0.5)
}
