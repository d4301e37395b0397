// Package kernel holds the inner loops behind one dispatch table.
//
// A Set is one implementation of every routine; Choose picks it once, and it is passed down. All sets give the same bits
// for the same arguments: integer sums are exact, and the order of every float sum is written at the Set's field. The
// ternary routines look up and add; none multiplies a weight by an activation. May not enter: threads, buffers that
// outlive a call, the order of layers. Start at kernel.go; the portable set is in generic, the suite that every set
// must pass in conformance.
package kernel
