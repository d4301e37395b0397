package kernel

import "testing"

// TestProbes: a probe reads every word, and its chains execute.
func TestProbes(t *testing.T) {
	p := make([]byte, 8192)
	for i := range p {
		p[i] = byte(i * 37)
	}
	for _, probe := range []Probe{NewProbe(), portableProbe()} {
		for _, n := range []int{0, 511, 512, 1024, 1536, 8191, 8192} {
			want := readPortable(p[:n/512*512])
			for _, read := range []func([]byte) uint64{probe.Read, probe.ReadMemory} {
				if got := read(p[:n]); n%512 == 0 && got != want {
					t.Errorf("%s: sum of %d bytes is %#x, want %#x", probe.Name, n, got, want)
				}
				if n%512 != 0 || n == 0 {
					continue
				}
				p[n-1] ^= 1 // the last byte counts
				if got := read(p[:n]); got == want {
					t.Errorf("%s: the last of %d bytes is not read", probe.Name, n)
				}
				p[n-1] ^= 1
			}
		}
		for _, loops := range []int{-1, 1, 7} {
			flops, value := probe.Fused(loops)
			if want := int64(max(1, loops)) * 1536; flops != want || value != 1 {
				t.Errorf("%s: %d loops are %d operations and give %v, want %d and 1", probe.Name, loops, flops, value, want)
			}
		}
	}
}
