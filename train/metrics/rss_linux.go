package metrics

import (
	"bytes"
	"os"
	"strconv"
)

// getrusage knows the peak too, but hands a parent's peak on through exec; VmHWM begins anew with the program.
func peakRSS() int64 { return statusBytes("VmHWM:") }

func currentRSS() int64 { return statusBytes("VmRSS:") }

func statusBytes(key string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return parseStatus(status, key)
}

// parseStatus returns the value of a line like "VmRSS:     1234 kB" in bytes, or 0. Source: proc_pid_status(5).
func parseStatus(status []byte, key string) int64 {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte(key))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return 0
		}
		kb, err := strconv.ParseInt(string(fields[0]), 10, 53)
		if err != nil || kb < 0 {
			return 0
		}
		return kb << 10
	}
	return 0
}
