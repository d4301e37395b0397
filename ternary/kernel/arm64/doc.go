// Package arm64 holds the vector twins of package generic for NEON, which every 64-bit Arm processor has.
//
// The assembly is written by hand, because the generator of package amd64 knows no other processor; instructions that
// Go's assembler lacks are macros in neon_arm64.h. The wrappers in Go cut the work, own the scratch memory and check
// lengths, because the assembly trusts what it is given. Float32 products are rounded before they are added, except in
// the dense products, whose order is fused. Everything but this file is left out on other architectures and under the build tag noasm. May not enter:
// detection of instruction sets (kernel's dispatch). Start at matvec.go.
package arm64
