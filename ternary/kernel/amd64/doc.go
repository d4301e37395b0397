// Package amd64 holds the vector twins of package generic for AVX-512 and AVX2: the same bits, more lanes.
//
// The assembly is written by the programs in ../_gen (a module of its own, which nothing else sees) and committed; the
// wrappers in Go cut the work, own the scratch memory and check lengths, because the assembly trusts what it is given.
// Float32 products are rounded before they are added, except in the dense products and in exponentials and sigmoids, which
// are fused. Everything but this file is left out on other architectures and under the build tag noasm. May not enter:
// detection of instruction sets (kernel's dispatch).
// Start at matmul.go for products, at rows.go for what works on one token's row.
package amd64

//go:generate sh -c "cd ../_gen && go run ./products -out ../amd64/products_amd64.s -stubs ../amd64/products_amd64.go -pkg amd64"
