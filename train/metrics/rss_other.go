//go:build !unix

package metrics

func peakRSS() int64 { return 0 }

func currentRSS() int64 { return 0 }
