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
	transposeCodes512()
	fillTables("fillWords512", zmm, words)
	addRows("addWords512", zmm, words)
	widen512()
	emit512("emitInts512", "int32", true)
	emit512("emitFloats512", "float32", false)
	prepare512()
	order := interleave()
	matVec512(4, order)
	matVec512(1, order)
	transposeFloats512()
	fillTables("fillFloats512", zmm, floats)
	addRows("addFloats512", zmm, floats)
	table := laneMasks()
	packLeft256(table)
	packCodes256()
	packFloats256(table)
	outerTile256(table)
	transposeCodes256()
	fillTables("fillWords256", ymm, words)
	addRows("addWords256", ymm, words)
	widen256()
	emit256("emitInts256", "int32", true, table)
	transposeFloats256()
	fillTables("fillFloats256", ymm, floats)
	addRows("addFloats256", ymm, floats)
	emit256("emitFloats256", "float32", false, table)
	prepare256()
	matVec256(table)
	dense("dense2x512", zmm, 2, 2, table)
	dense("dense512", zmm, 1, 1, table)
	dense("dense256", ymm, 1, 1, table)
	denseBack("denseBack8x512", zmm, 8, table)
	denseBack("denseBack512", zmm, 1, table)
	denseBack("denseBack8x256", ymm, 8, table)
	denseBack("denseBack256", ymm, 1, table)
	Generate()
}

// routine starts a function without a frame whose arguments do not escape.
func routine(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
}
