//go:build unix && !linux

package metrics

import (
	"runtime"
	"syscall"
)

func peakRSS() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	peak := int64(usage.Maxrss) // 32 bits wide on some systems
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return peak // bytes there, kilobytes on the BSDs
	}
	return peak << 10
}

// currentRSS is not to be had without cgo or reading the kernel's memory.
func currentRSS() int64 { return 0 }
