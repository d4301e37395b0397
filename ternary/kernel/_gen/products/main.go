// Command products writes the assembly of the products: ternary matrices with codes and floats, and their gradients.
// Run it with go generate in ternary/kernel/amd64.
//
// Nothing here multiplies a weight: multiplications stand in the gradients of shadow weights, in dense products, and
// where a finished sum meets its scale.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64,!noasm")
	packLeft512()
	packCodes512()
	packFloats512()
	outerTile512()
	Generate()
}
