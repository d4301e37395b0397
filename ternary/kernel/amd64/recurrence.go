//go:build amd64 && !noasm

package amd64

// recurChannels is the number of channels that one pass over the tokens takes.
const recurChannels = 256

// maskFor returns the address of token t's mask and the bytes from one token's to the next; one stands for a missing mask.
// A product with 1 changes no bit.
func maskFor(mask []float32, one *float32, t int) (first *float32, step int) {
	if mask == nil {
		return one, 0
	}
	return &mask[t], bytesPerFloat
}

// Recurrence is kernel.Set.Recurrence.
func (wide Rows) Recurrence(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
	if T < 1 || c0 >= c1 {
		return
	}
	last := (T - 1) * D
	_, _, _, _ = states[last+c1-1], i[last+c1-1], z[last+c1-1], state[c1-1]
	one := float32(1)
	var lb [recurChannels]float32 // 0 stands for a missing bound: f = 0 + (1−0)·σ is σ, bit for bit
	for from := c0; from < c1; from += recurChannels {
		n := min(recurChannels, c1-from)
		if bound != nil {
			copy(lb[:], bound[from:c1])
		}
		before := &state[from]
		for t := 0; t < T; {
			rows := min(max(1, span/n), T-t)
			at := t*D + from
			first, step := maskFor(mask, &one, t)
			wide.recur(&states[at], before, &i[at], &z[at], &lb[0], first, step, rows, D, n)
			t += rows
			before = &states[(t-1)*D+from]
		}
		copy(state[from:from+n], states[last+from:])
	}
}

// RecurrenceBackward is kernel.Set.RecurrenceBackward.
func (wide Rows) RecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int) {
	if T > 0 && c0 < c1 {
		end := (T-1)*D + c1 - 1
		_, _, _, _, _, _ = di[end], dz[end], ds[end], i[end], z[end], before[c1-1]
	}
	one := float32(1)
	for from := c0; from < c1; from += recurChannels {
		n := min(recurChannels, c1-from)
		var work [3][recurChannels]float32
		if bound != nil {
			copy(work[2][:], bound[from:c1])
		}
		for t := T; t > 0; {
			rows := min(max(1, span/n), t-1)
			at := (t-1)*D + from
			previous := &before[from]
			if t == 1 {
				rows = 1
			} else {
				previous = &states[at-D]
			}
			first, step := maskFor(mask, &one, t-1)
			wide.recurBack(&di[at], &dz[at], &ds[at], previous, &i[at], &z[at], &work[0][0], first, step, rows, D, n)
			t -= rows
		}
		if bound != nil {
			wide.Add(dbound[from:from+n], dbound[from:from+n], work[1][:n])
		}
	}
}
