//go:build amd64 && !noasm

package amd64

//go:generate sh -c "cd ../_gen && go run ./ints -out ../amd64/ints_amd64.s -stubs ../amd64/ints_amd64.go -pkg amd64"

import (
	"mmfree/ternary/par"
	"mmfree/ternary/quant"
)

// Ints says which instructions the weight gradients from integers use. Its method chooses at each call of an assembly
// routine, by a branch, as Rows do.
type Ints uint8

// The choices.
const (
	Ints256     Ints = iota // AVX2
	Ints512                 // AVX-512 F, BW and VL, BMI2
	Ints512VNNI             // the same and AVX-512 VNNI
)

const (
	intBlock = 512 // kernel.IntBlock; tokens whose integers are summed exactly
	intRows  = 14  // of a panel and of a tile
	intCols  = 32
	intHalf  = intCols / 2 // of a tile on AVX2
	// Panels that share one widening of the codes. With 8 it took 6% longer (1408×512, 2048 tokens); 16 take another 1 to 2% less, but
	// crowd a second-level cache of a megabyte.
	intPanels  = 12
	intStrip   = intRows * intPanels
	intLanes   = 16 // of a register, behind the last row's as well
	intBetween = 4  // integers behind a panel, which the next pair's place takes in
	intPairLen = 2 * intRows
	// Tokens of a turn of an AVX-512 tile's loop.
	intTurnTokens = 4

	// IntStrip and IntPanel are kernel.Set's for Ints.
	IntStrip = intStrip
	IntPanel = intRows
)

type intScratch struct {
	// A strip of gradients times inv, read once: where they come from, each row has a page of its own, which every panel would look for again.
	strip    [intBlock*intStrip + intLanes]float32
	codes    [intBlock / 2][intCols][2]int16
	left     [intPanels][intBlock/2*intPairLen + intBetween]int16
	up, down [intStrip + intLanes]float32
	inv      [intBlock]float32
	top      [intStrip + intLanes]uint32
	last     [intBlock][intCols]int8 // the last columns, filled up for AVX2
}

var intShelf par.Shelf[intScratch]

// OuterInts is kernel.Set.OuterInts.
func (w Ints) OuterInts(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	sc := intShelf.Take()
	for o := o0; o < o1; o += intStrip {
		rows := min(intStrip, o1-o)
		for t0 := 0; t0 < n; t0 += intBlock {
			nt := min(intBlock, n-t0)
			inverses(sc.inv[:nt], s, t0)
			w.left(sc, a[t0*lda+o:], lda, nt, rows)
			for k := 0; k < K; k += intCols {
				cols := min(intCols, K-k)
				w.codes(sc, q[t0*K+k:], K, nt, cols)
				for i := 0; i < rows; i += intRows {
					next := codesAhead(q[t0*K:], K, nt, k, i/intRows)
					w.tile(sc, i/intRows, dst[(o+i)*K+k:], uintptr(K)*bytesPerFloat, (nt+1)/2, min(intRows, rows-i), cols, next)
				}
			}
		}
	}
	intShelf.Put(sc)
}

// lines are cache lines to ask for: that of the byte at first, then step bytes on.
type lines struct {
	first *int8
	step  uintptr
}

// codesAhead returns the lines of columns k+intCols on that the tile of panel p asks for meanwhile, one for each of its turns, so that the
// first intTurnTokens panels ask for those of all n tokens: rows of codes lie far apart, and the processor does not see what follows.
func codesAhead(q []int8, K, n, k, p int) lines {
	t := p * (n / intTurnTokens)
	if k+intCols >= K || t >= n {
		return lines{&q[k], 0}
	}
	return lines{&q[t*K+k+intCols], uintptr(K)}
}

// left quantises a strip of gradients, a panel after the other.
func (w Ints) left(sc *intScratch, a []float32, lda, n, rows int) {
	clear(sc.top[:rows])
	if w == Ints256 {
		intScale256(&sc.strip[0], &sc.top[0], &a[0], uintptr(lda)*bytesPerFloat, &sc.inv[0], n, rows)
	} else {
		intScale512(&sc.strip[0], &sc.top[0], &a[0], uintptr(lda)*bytesPerFloat, &sc.inv[0], n, rows)
	}
	for i, top := range sc.top[:rows] {
		sc.up[i], sc.down[i] = quant.GradientScale(top)
	}
	for i := 0; i < rows; i += intRows {
		to := &sc.left[i/intRows][0]
		if w == Ints256 {
			intLeft256(to, &sc.strip[i], &sc.up[i], n, min(intRows, rows-i))
		} else {
			intLeft512(to, &sc.strip[i], &sc.up[i], n, min(intRows, rows-i))
		}
	}
}

// codes widens columns; AVX2, which cannot leave out bytes, reads the last ones from a copy that is filled up.
func (w Ints) codes(sc *intScratch, q []int8, K, n, cols int) {
	to := &sc.codes[0][0][0]
	switch {
	case w != Ints256:
		intCodes512(to, &q[0], uintptr(K), n, lowBits(cols))
	case cols == intCols:
		intCodes256(to, &q[0], uintptr(K), n)
	default:
		for t := range n {
			copy(sc.last[t][:], q[t*K:][:cols])
		}
		intCodes256(to, &sc.last[0][0], intCols, n)
	}
}

// tile adds panel p's products with the codes; next is what AVX-512 asks for meanwhile.
func (w Ints) tile(sc *intScratch, p int, dst []float32, stride uintptr, pairs, rows, cols int, next lines) {
	left, codes, down := &sc.left[p], &sc.codes[0], sc.down[p*intRows:]
	switch w {
	case Ints512VNNI:
		intTile512(&dst[0], stride, &left[0], &codes[0][0], &down[0], pairs, rows, lowBits(cols), next.first, next.step)
	case Ints512:
		intTile512Madd(&dst[0], stride, &left[0], &codes[0][0], &down[0], pairs, rows, lowBits(cols), next.first, next.step)
	default:
		K := int(stride / bytesPerFloat)
		for c := 0; c < cols; c += intHalf {
			n := min(intHalf, cols-c)
			intTile256x5(&dst[c], stride, &left[0], &codes[c][0], &down[0], pairs, min(5, rows), n)
			if rows > 5 {
				intTile256x5(&dst[5*K+c], stride, &left[10], &codes[c][0], &down[5], pairs, min(5, rows-5), n)
			}
			if rows > 10 {
				intTile256x4(&dst[10*K+c], stride, &left[20], &codes[c][0], &down[10], pairs, rows-10, n)
			}
		}
	}
}

// inverses fills inv with 1/s from token t0, or with ones.
func inverses(inv, s []float32, t0 int) {
	for i := range inv {
		inv[i] = 1
		if s != nil {
			inv[i] = 1 / s[t0+i]
		}
	}
}
