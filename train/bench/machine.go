package bench

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// CPUName returns what the system calls the processor, or else the architecture.
func CPUName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	return parseCPU(info, runtime.GOARCH)
}

// parseCPU returns the model name of the first processor in the text of /proc/cpuinfo, with family and model where they
// stand there: guests often hide the name proper. What has neither is called fallback.
func parseCPU(info []byte, fallback string) string {
	fields := map[string]string{}
	for line := range bytes.Lines(info) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		name := string(bytes.TrimSpace(key))
		if _, again := fields[name]; ok && !again {
			fields[name] = strings.Join(strings.Fields(string(value)), " ")
		}
	}
	name := fields["model name"]
	if name == "" {
		return fallback
	}
	if family, model := fields["cpu family"], fields["model"]; family != "" && model != "" {
		name += " (family " + family + ", model " + model + ")"
	}
	return name
}

// freeMemory returns the bytes that can be had without swapping; 0 where the system does not say.
func freeMemory() int64 {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(info) {
		rest, ok := bytes.CutPrefix(line, []byte("MemAvailable:"))
		if f := bytes.Fields(rest); ok && len(f) == 2 {
			kb, err := strconv.ParseInt(string(f[0]), 10, 53)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
