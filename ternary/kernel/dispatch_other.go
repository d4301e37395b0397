//go:build (!amd64 && !arm64) || noasm

package kernel

// Available returns the sets that this machine can run, fastest first.
func Available() []*Set { return []*Set{Generic()} }
