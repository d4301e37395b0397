package layer

import "mmfree/ternary/f32"

// LowerBounds writes the forget gates' lower bounds [L, d] from the learned parameter Λ [L, d]: with p the softmax of Λ
// over the layers, channel by channel, layer ℓ gets Σ_{1≤j≤ℓ} p_j; layer 0 gets 0. probabilities [L, d] receives p. Sums
// run over the layers in order. Source: spec §4.
func LowerBounds(bounds, probabilities, lambda []float32, L, d int) {
	for c := range d {
		top := lambda[c]
		for l := 1; l < L; l++ {
			top = max(top, lambda[l*d+c])
		}
		var sum float32
		for l := range L {
			p := f32.Exp(lambda[l*d+c] - top)
			probabilities[l*d+c] = p
			sum += p
		}
		var below float32
		for l := range L {
			p := probabilities[l*d+c] / sum
			probabilities[l*d+c] = p
			if l > 0 {
				below += p
			}
			bounds[l*d+c] = below
		}
	}
}
