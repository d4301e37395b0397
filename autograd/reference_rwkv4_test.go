package autograd

import "math"

// timeMixing returns what RWKV-4's token mixer of the layer with prefix p adds to each row of h, by the sums of the paper as
// they stand: y_t = (Σ_{i<t} e^{k_i − (t−1−i)·e^decay}·v_i + e^{u+k_t}·v_t) / (the same without v).
func (r *reference) timeMixing(p string, h [][]float64) (branches [][]float64) {
	p += "attn."
	d := r.config.HiddenSize
	decay, bonus := r.weights[p+"time_decay"], r.weights[p+"time_first"]
	before := make([]float64, d)
	carried, from := make([]float64, 2*d), 0 // both sums over the tokens before from, as they stand at from
	var keys, values [][]float64
	for t := range h {
		if r.cut > 0 && t == r.cut {
			for j := range d {
				for i := range t {
					weight := math.Exp(keys[i][j] - float64(t-1-i)*math.Exp(decay[j]))
					carried[j] += weight * values[i][j]
					carried[d+j] += weight
				}
			}
			from = t
			r.detach(p+"sums", carried)
			r.detach(p+"row", before)
		}
		x := rms64(h[t], r.weights[p[:len(p)-len("attn.")]+"attn_norm.weight"], r.config.RMSNormEps)
		read := func(name string) []float64 {
			mixed, mix := make([]float64, d), r.weights[p+"time_mix_"+name]
			for j := range mixed {
				mixed[j] = x[j]*mix[j] + before[j]*(1-mix[j])
			}
			return r.bitLinear(mixed, p+name+"_proj")
		}
		receptance := read("r")
		keys, values = append(keys, read("k")), append(values, read("v"))
		before = x
		a := make([]float64, d)
		for j := range a {
			own := math.Exp(bonus[j] + keys[t][j])
			above, below := own*values[t][j], own
			faded := math.Exp(-float64(t-from) * math.Exp(decay[j]))
			above += faded * carried[j]
			below += faded * carried[d+j]
			for i := from; i < t; i++ {
				weight := math.Exp(keys[i][j] - float64(t-1-i)*math.Exp(decay[j]))
				above += weight * values[i][j]
				below += weight
			}
			a[j] = sigmoid64(receptance[j]) * above / below
		}
		branches = append(branches, r.bitLinear(a, p+"o_proj"))
	}
	return branches
}
