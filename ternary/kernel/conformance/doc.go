// Package conformance is the one suite that every kernel.Set must pass, bit for bit.
//
// ref.go holds each routine again as the plainest loop: trits are decoded and multiplied, float sums are written in the
// order that kernel.Set documents, one operation a call, so that nothing can be fused. The suite runs a set beside it
// over lengths that are multiples of nothing, extreme codes, odd offsets and damaged values, and compares whole buffers,
// so that a value written outside an output shows too. For tests only. May not enter: tolerances, speed.
// Start at conformance.go.
package conformance
