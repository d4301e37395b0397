// Command products writes the assembly of the products: ternary matrices with codes and floats, and their gradients.
// Run it with go generate in ternary/kernel/amd64.
//
// Nothing here multiplies a weight: multiplications stand in the gradients of shadow weights, in dense products, and
// where a finished sum meets its scale.
package main

import (
	. "github.com/mmcloughlin/avo/build"

	"mmfree/ternary/kernel/_gen/asm"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	transposeCodes512()
	fillTables("fillWords512", zmm, words)
	prefetchWords()
	addRows("addWords512", zmm, words, false, 1)
	addRows("addWide512", zmm, words, true, 1)
	emit512("emitInts512", "int32", true)
	emit512("emitFloats512", "float32", false)
	prepare512(false)
	prepare512(true)
	order := interleave()
	matVec512(4, order)
	matVec512(1, order)
	index := indexTables()
	for _, byBytes := range []bool{false, true} {
		matVecFew512(1, 1, byBytes, index)
		for tokens := 2; tokens <= fewTokens512; tokens++ {
			matVecFew512(tokens, 2, byBytes, index)
		}
	}
	emitFew512(order)
	encodeWords("encodeWords512", zmm)
	transposeFloats512()
	fillTables("fillFloats512", zmm, floats)
	addRows("addFloats512", zmm, floats, false, 1)
	table := asm.LaneMasks("laneMasks256", maskLanes)
	transposeCodes256()
	fillTables("fillWords256", ymm, words)
	addRows("addWords256", ymm, words, false, 2)
	addRows("addWide256", ymm, words, true, 2)
	addRows("addWordsHalf256", ymm, words, false, 1)
	addRows("addWideHalf256", ymm, words, true, 1)
	emit256("emitInts256", "int32", true, table)
	transposeFloats256()
	fillTables("fillFloats256", ymm, floats)
	addRows("addFloats256", ymm, floats, false, 2)
	addRows("addFloatsHalf256", ymm, floats, false, 1)
	emit256("emitFloats256", "float32", false, table)
	prepare256()
	constants := newVec256Constants()
	for tokens := 1; tokens <= fewTokens256; tokens++ {
		matVec256(tokens, constants)
	}
	widenVec256()
	emitVec256(table)
	encodeWords("encodeWords256", ymm)
	for _, rows := range []int{denseRows512, 8, 4, 2, 1} {
		denseSums(zmm, denseRows512, rows)
	}
	for _, rows := range []int{denseRows256, 4, 2, 1} {
		denseSums(ymm, denseRows256, rows)
	}
	for _, v := range []vector{zmm, ymm} {
		denseAcross(v, table)
	}
	denseScaled(zmm, denseRows512, table)
	denseScaled(ymm, denseRows256, table)
	denseCodes512()
	denseFloats512()
	denseCodes256()
	Generate()
}
