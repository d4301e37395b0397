package metrics

import (
	"runtime"
	"testing"
)

func TestRSS(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the numbers are promised on linux only")
	}
	ballast := make([]byte, 32<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	now, peak := CurrentRSS(), PeakRSS()
	runtime.KeepAlive(ballast)
	if now < 32<<20 || peak < now-(1<<20) { // the kernel counts pages per thread and sums up late
		t.Errorf("%d now, %d at most, with %d held", now, peak, len(ballast))
	}
}
