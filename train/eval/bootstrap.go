package eval

import "math"

// The harness's bootstrap: 100,000 resamples in chunks of 1,000, chunk i drawn by Python's random.Random seeded with i.
// Source: api/metrics.py.
const (
	bootstrapChunks = 100
	bootstrapChunk  = 1000
)

// bootstrapPerplexity returns the standard error of the perplexity of last words, exp of minus the mean of their
// log-likelihoods: the sample deviation over resamples. NaN for fewer than two words.
func bootstrapPerplexity(items []Scored) float64 {
	if len(items) < 2 {
		return math.NaN()
	}
	words := make([]float64, len(items))
	for i := range items {
		words[i] = items[i].Scores[0].LogLikelihood
	}
	n := float64(len(words))
	values := make([]float64, 0, bootstrapChunks*bootstrapChunk)
	var total float64
	for chunk := range bootstrapChunks {
		g := newTwister(uint32(chunk))
		for range bootstrapChunk {
			var sum float64
			for range words {
				sum += words[int(g.float()*n)]
			}
			v := math.Exp(-sum / n)
			values = append(values, v)
			total += v
		}
	}
	mean, squares := total/float64(len(values)), 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return math.Sqrt(squares / float64(len(values)-1))
}

// twister is the Mersenne Twister MT19937 as Python's random.Random runs it.
type twister struct {
	state [twisterWords]uint32
	next  int
}

const (
	twisterWords = 624
	twisterApart = 397
)

// newTwister seeds with one word: init_by_array of Matsumoto and Nishimura with a key of length 1.
func newTwister(seed uint32) *twister {
	var g twister
	g.state[0] = 19650218
	for i := 1; i < twisterWords; i++ {
		g.state[i] = 1812433253*(g.state[i-1]^g.state[i-1]>>30) + uint32(i)
	}
	i := 1
	step := func(factor uint32) {
		g.state[i] ^= (g.state[i-1] ^ g.state[i-1]>>30) * factor
	}
	wrap := func() {
		if i++; i == twisterWords {
			g.state[0], i = g.state[twisterWords-1], 1
		}
	}
	for range twisterWords {
		step(1664525)
		g.state[i] += seed
		wrap()
	}
	for range twisterWords - 1 {
		step(1566083941)
		g.state[i] -= uint32(i)
		wrap()
	}
	g.state[0] = 1 << 31
	g.next = twisterWords
	return &g
}

// word returns the next 32 bits.
func (g *twister) word() uint32 {
	if g.next == twisterWords {
		for i := range twisterWords {
			y := g.state[i]&(1<<31) | g.state[(i+1)%twisterWords]&(1<<31-1)
			y = y>>1 ^ -(y&1)&0x9908b0df
			g.state[i] = g.state[(i+twisterApart)%twisterWords] ^ y
		}
		g.next = 0
	}
	y := g.state[g.next]
	g.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float returns the next number in [0, 1), of 53 bits.
func (g *twister) float() float64 {
	a, b := g.word()>>5, g.word()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}
