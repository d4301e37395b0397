//go:build arm64 && !noasm

package arm64

import "mmfree/ternary/kernel/generic"

// recurChannels is the number of channels that one pass over the tokens takes.
const recurChannels = 256

// keepAt returns token t's mask; a product with 1, for a missing one, changes no bit.
func keepAt(mask []float32, t int) float32 {
	if mask == nil {
		return 1
	}
	return mask[t]
}

// Recurrence is kernel.Set.Recurrence.
func Recurrence(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
	if T < 1 || c0 >= c1 {
		return
	}
	last := (T-1)*D + c1 - 1
	_, _, _, _ = states[last], i[last], z[last], state[c1-1]
	end := c0 + (c1-c0)/lanes*lanes
	var lb [recurChannels]float32 // 0 stands for a missing bound: f = 0 + (1−0)·σ is σ, bit for bit
	for c := c0; c < end; c += recurChannels {
		n := min(recurChannels, end-c)
		if bound != nil {
			copy(lb[:n], bound[c:end])
		}
		for t := range T {
			at := t*D + c
			recur(&states[at], &state[c], &i[at], &z[at], &lb[0], keepAt(mask, t), n)
		}
	}
	if end < c1 {
		generic.Recurrence(states, state, i, z, bound, mask, T, D, end, c1)
	}
}

// RecurrenceBackward is kernel.Set.RecurrenceBackward.
func RecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int) {
	if c0 >= c1 {
		return
	}
	if T > 0 {
		last := (T-1)*D + c1 - 1
		_, _, _, _, _, _ = di[last], dz[last], ds[last], i[last], z[last], before[c1-1]
	}
	end := c0 + (c1-c0)/lanes*lanes
	var lb [recurChannels]float32
	for c := c0; c < end; c += recurChannels {
		n := min(recurChannels, end-c)
		if bound != nil {
			copy(lb[:n], bound[c:end])
		}
		var carried, dlb [recurChannels]float32
		for t := T - 1; t >= 0; t-- {
			at := t*D + c
			previous := &before[c]
			if t > 0 {
				previous = &states[at-D]
			}
			recurBack(&di[at], &dz[at], &dlb[0], &carried[0], &ds[at], previous, &i[at], &z[at], &lb[0], keepAt(mask, t), n)
		}
		if bound != nil {
			Add(dbound[c:][:n], dbound[c:][:n], dlb[:n])
		}
	}
	if end < c1 {
		generic.RecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask, T, D, end, c1)
	}
}
