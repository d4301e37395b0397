package f32

import "math"

const (
	logisticParts  = 16
	logisticDegree = 6
	logisticEnd    = logisticParts - 0.5
)

// logistic approximates σ(−t) for 0 ≤ t < 15.5: around the integer k, from k−½ to k+½, by the polynomial of t−k whose
// coefficients logistic[k] are, the highest power's first.
var logistic = interpolate()

// Logistic returns Sigmoid's coefficients for vector units: table[j][k] is that of (t−k)^j in the polynomial for σ(−t)
// around the integer k, 0 ≤ t < 15.5. A register holds a row, and finds its coefficients there by the lowest bits of t,
// rounded; neither an exponential nor a division is needed.
func Logistic() (table [logisticDegree + 1][logisticParts]float32) {
	for k, p := range logistic {
		for i, c := range p {
			table[logisticDegree-i][k] = c
		}
	}
	return table
}

// interpolate makes the polynomials that are σ at the zeros of Chebyshev's of the next degree, moved to each part. Every
// operation is one that all machines round alike.
func interpolate() (parts [logisticParts][logisticDegree + 1]float32) {
	zeros := [logisticDegree + 1]float64{ // cos((2i+1)π/14)
		0.97492791218182361, 0.78183148246802981, 0.43388373911755812, 0,
		-0.43388373911755812, -0.78183148246802981, -0.97492791218182361,
	}
	middle, width := 0.25, 0.5 // of the first part, which begins at 0
	scale := 1.0               // e^−k
	for k := range logisticParts {
		var at, d [logisticDegree + 1]float64
		for i, z := range zeros {
			at[i] = middle + float64(z*(width/2))
			e := float64(scale * expSmall(-at[i]))
			d[i] = e / (1 + e)
		}
		for order := 1; order <= logisticDegree; order++ { // Newton's divided differences
			for i := logisticDegree; i >= order; i-- {
				d[i] = (d[i] - d[i-1]) / (at[i] - at[i-order])
			}
		}
		var p [logisticDegree + 1]float64 // p·(r − at) + d, from the innermost out
		for i := logisticDegree; i >= 0; i-- {
			for j := logisticDegree; j > 0; j-- {
				p[j] = p[j-1] - float64(p[j]*at[i])
			}
			p[0] = d[i] - float64(p[0]*at[i])
		}
		for j, c := range p {
			parts[k][logisticDegree-j] = float32(c)
		}
		middle, width = 0, 1
		scale = float64(scale * (1 / math.E))
	}
	return parts
}

// expSmall is e^r for |r| < 1/2, by its series.
func expSmall(r float64) float64 {
	sum := 1.0
	for n := 20; n > 0; n-- {
		sum = 1 + float64(sum*r)/float64(n)
	}
	return sum
}

// Sigmoid returns 1/(1+e^−z) within 3 units in the last place.
func Sigmoid(z float32) float32 {
	q := logisticTail(Abs(z))
	// Chosen by the sign bit: a branch would be guessed wrong half the time.
	negative := uint32(int32(math.Float32bits(z)) >> 31)
	return math.Float32frombits(math.Float32bits(q)&negative | math.Float32bits(1-q)&^negative)
}

// logisticTail is σ(−t), t ≥ 0: by Horner's scheme, each step rounded once as FMA does, and beyond the table's end e/(1+e)
// with e = e^−t.
func logisticTail(t float32) float32 {
	if t >= logisticEnd {
		e := Exp(-t)
		return e / (1 + e)
	}
	y := t + roundMagic
	k := math.Float32bits(y) % logisticParts
	r := t - (y - roundMagic)
	p := &logistic[k]
	return horner(p[0], r, p[1:])
}
