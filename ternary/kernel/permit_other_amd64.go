//go:build amd64 && !linux && !noasm

package kernel

// permitTiles does not know how this system is asked for AMX's tile registers.
func permitTiles() bool { return false }
