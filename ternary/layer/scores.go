package layer

import "mmfree/ternary/f32"

// ZeroScores counts the scores of one document between ternary queries and keys: those that are 0, and all, of each query with
// each key that it sees. h [T, d] is the residual stream in front of the part; buf has room for T tokens. The trits are taken
// without their means, so that no rounding hides a 0.
func (m *Attention) ZeroScores(e *Env, h []float32, T int, buf *AttentionBuffers) (zero, all int64) {
	m.Project(e, h, T, buf)
	m.rope.grow(T)
	c, bare := m.Width, Attention{Trits: true, Integer: true}
	queries, keys := buf.Fan.Out[0][:T*m.Heads*c], buf.Fan.Out[1][:T*m.KeyHeads*c]
	for i := 0; i < len(queries); i += c {
		m.rope.turn(queries[i:][:c], queries[i:][:c], i/c/m.Heads, m.scale)
		bare.round(queries[i:][:c])
	}
	for i := 0; i < len(keys); i += c {
		m.rope.turn(keys[i:][:c], keys[i:][:c], i/c/m.KeyHeads, 1)
		bare.round(keys[i:][:c])
	}
	for t := range T {
		for head := range m.Heads {
			q := queries[(t*m.Heads+head)*c:][:c]
			for s := range t + 1 {
				if f32.Dot(q, keys[(s*m.KeyHeads+head*m.KeyHeads/m.Heads)*c:][:c]) == 0 {
					zero++
				}
			}
			all += int64(t + 1)
		}
	}
	return zero, all
}
