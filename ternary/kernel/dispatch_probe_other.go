//go:build (!amd64 && !arm64) || noasm

package kernel

// NewProbe returns the portable probe, which says less than the machine can do.
func NewProbe() Probe { return portableProbe() }
