package repro

import (
	"context"
	"fmt"
	"math"
	"slices"

	"mmfree/autograd"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
	"mmfree/train"
	"mmfree/train/bench"
	"mmfree/train/metrics"
)

func integerKernels() Experiment {
	return Experiment{
		ID: "R11", Title: "Integer kernels: exactness, speed, energy, arithmetic of the FPGA",
		Claim: "Integer kernels reproduce the fake-quantised model's text exactly (100% of prompts, 1.4% of other kernels), run 1.4 to 6 times as fast as 16-bit floats, and need 71 times less arithmetic energy.",
		Rule: "(a) every greedy text of the packed path is the training path's own, logit for logit; (b) the ternary product is faster than float32's from some width on, and by more at the largest width than at the smallest; " +
			"confirmed if both hold; contradicted if (a) fails or the ternary product is slower at the largest width; otherwise inconclusive.",
		do: runIntegerKernels,
	}
}

// exactness is what (a) found.
type exactness struct {
	Prompts   int    `json:"prompts"`
	Tokens    int    `json:"tokens"`      // of a text
	Same      int    `json:"same"`        // texts that are the training path's
	Worst     Number `json:"worst"`       // difference of logits between the two
	SameFloat int    `json:"same_float"`  // texts of the path that multiplies dequantised floats that are the packed path's
	FloatDiff Number `json:"worst_float"` // its worst difference of logits, over the texts' common beginnings
	operations
}

func runIntegerKernels(ctx context.Context, l *lab, t *Table) error {
	e, err := l.exactness(ctx)
	if err != nil {
		return err
	}
	share := func(n int) Number { return Number(float64(n) / float64(e.Prompts)) }
	setting := fmt.Sprintf("(a) %d prompts, %d greedy tokens each", e.Prompts, e.Tokens)
	t.row(setting, "texts equal to the fake-quantised model's, packed integers", "share", 1, share(e.Same))
	t.row(setting, "worst difference of logits", "", none(), e.Worst)
	t.row(setting, "texts equal, products of dequantised float32", "share", 0.014, share(e.SameFloat))
	t.row(setting, "worst difference of logits, float32", "", none(), e.FloatDiff)

	widths := of(l.budget, []int{64, 96}, []int{768, 1024, 2048, 4096}, []int{768, 1024, 1536, 2048, 2560, 4096})
	chart := metrics.Chart{Title: "R11: one token's product", X: "width of the square matrix", Y: "ms", LogX: true, LogY: true}
	var ratios []float64
	threads := []int{1}
	if n := l.machine.Pool.Threads(); n > 1 {
		threads = append(threads, n)
	}
	for _, n := range threads {
		float := metrics.Series{Name: fmt.Sprintf("float32, %d threads", n), Line: true, Marks: true}
		ternary := metrics.Series{Name: fmt.Sprintf("packed trits, %d threads", n), Line: true, Marks: true}
		ratios = nil
		for _, width := range widths {
			c, err := measure(l, fmt.Sprintf("r11-matvec-%d-threads%d", width, n), func() (bench.MatVecCost, error) {
				pool := par.New(n)
				defer pool.Close()
				return bench.MatVec(ctx, bench.Setting{Set: l.machine.Set, Pool: pool}, width, of(l.budget, 2, 20, 100))
			})
			if err != nil {
				return err
			}
			at := fmt.Sprintf("(b) %d x %d, %d threads", width, width, n)
			t.row(at, "float32", "ms", none(), Number(1e3*c.Float))
			t.row(at, "packed trits, 1.78 bits", "ms", none(), Number(1e3*c.Ternary))
			t.row(at, "ratio", "times", none(), Number(c.Float/c.Ternary))
			ratios = append(ratios, c.Float/c.Ternary)
			float.X, float.Y = append(float.X, float64(width)), append(float.Y, 1e3*c.Float)
			ternary.X, ternary.Y = append(ternary.X, float64(width)), append(ternary.Y, 1e3*c.Ternary)
		}
		chart.Series = append(chart.Series, float, ternary)
	}
	for _, p := range []struct {
		size  string
		ratio Number
	}{{"700M", 80.13 / 18.56}, {"3.8B", 20.51 / 3.49}, {"13B", 7.09 / 1.30}} {
		t.row("bitnet.cpp "+p.size+", i7-13700H, 2 threads", "ratio to float16, whole model", "times", p.ratio, none())
	}
	energy(t, e)
	fpga(t)

	exact := e.Same == e.Prompts && e.Worst == 0
	first, last := ratios[0], ratios[len(ratios)-1]
	because := fmt.Sprintf("%d of %d texts equal, worst difference %g; ternary products %.2f times as fast as float32's at width %d, %.2f at %d, on %d threads",
		e.Same, e.Prompts, float64(e.Worst), first, widths[0], last, widths[len(widths)-1], threads[len(threads)-1])
	switch {
	case !exact || last < 1:
		t.decide(Contradicted, "%s", because)
	case last > first:
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	return l.plot("r11.png", chart)
}

// exactness trains the MatMul-free model of R1's largest budgeted size, and lets three paths write.
func (l *lab) exactness(ctx context.Context) (exactness, error) {
	list := sizesOf(l.budget)
	runs, _, _, err := l.pretrained(ctx, armNamed(ternaryMLGRU), list[min(1, len(list)-1)])
	if err != nil {
		return exactness{}, err
	}
	return measure(l, "r11-exactness", func() (e exactness, err error) {
		m, err := train.Open(runs[0].dir)
		if err != nil {
			return e, err
		}
		defer m.Close()
		p, err := m.Packed()
		if err != nil {
			return e, err
		}
		session, err := m.Session(l.machine)
		if err != nil {
			return e, err
		}
		defer session.Close()
		floats := *l.machine.Set
		dequantised(&floats)
		w := &writers{
			vocab: m.Config.VocabSize, prompt: 16, tokens: of(l.budget, 4, 100, 100), session: session,
			packed: infer.New(p, l.machine.Set, l.machine.Pool, infer.DefaultChunk),
			float:  infer.New(p, &floats, l.machine.Pool, infer.DefaultChunk),
		}
		e.Prompts, e.Tokens = of(l.budget, 2, 200, 1000), w.tokens
		for i := range e.Prompts {
			if err := ctx.Err(); err != nil {
				return e, err
			}
			if err := w.write(&e, i); err != nil {
				return e, err
			}
		}
		e.operations, err = l.operationsOf(p, w.text(0))
		return e, err
	})
}

// writers holds the paths whose texts are compared.
type writers struct {
	session        *autograd.Session
	packed, float  *infer.Model
	vocab          int
	prompt, tokens int
}

// text is prompt i: ids that follow from its number.
func (w *writers) text(i int) []int32 {
	ids := make([]int32, w.prompt)
	for j := range ids {
		ids[j] = int32((i*7919 + j*j*31 + j*17) % w.vocab)
	}
	return ids
}

// write continues prompt i along every path and adds what agrees.
func (w *writers) write(e *exactness, i int) error {
	whole, logits, err := w.greedy(w.packed, w.text(i))
	if err != nil {
		return err
	}
	// The training path reads the text at once. If at every place its largest logit is the token that stands next, it would
	// have written the same, token by token.
	V, n := w.vocab, len(whole)-1
	training := make([]float32, n*V)
	if err := w.session.Forward(whole[:n], 1, training, nil); err != nil {
		return err
	}
	same := true
	for t := range w.tokens {
		row := training[(w.prompt-1+t)*V:][:V]
		same = same && largest(row) == whole[w.prompt+t]
		e.Worst = Number(math.Max(float64(e.Worst), apart(row, logits[t*V:][:V])))
	}
	if same {
		e.Same++
	}
	other, otherLogits, err := w.greedy(w.float, w.text(i))
	if err != nil {
		return err
	}
	if slices.Equal(whole, other) {
		e.SameFloat++
	}
	for t := range w.tokens {
		if whole[w.prompt+t] != other[w.prompt+t] {
			break
		}
		e.FloatDiff = Number(math.Max(float64(e.FloatDiff), apart(logits[t*V:][:V], otherLogits[t*V:][:V])))
	}
	return nil
}

// greedy returns the prompt with the likeliest tokens behind it, and the logits that chose them.
func (w *writers) greedy(m *infer.Model, prompt []int32) (ids []int32, logits []float32, err error) {
	ids, logits = slices.Clone(prompt), make([]float32, w.tokens*w.vocab)
	state, next := m.NewState(1), prompt
	for t := range w.tokens {
		row := logits[t*w.vocab:][:w.vocab]
		if err := m.Forward(state, infer.Call{IDs: next, Which: infer.Last, Logits: row}); err != nil {
			return nil, nil, err
		}
		ids = append(ids, largest(row))
		next = ids[len(ids)-1:]
	}
	return ids, logits, nil
}

func largest(row []float32) (id int32) {
	for i, x := range row {
		if x > row[id] {
			id = int32(i)
		}
	}
	return id
}

func apart(a, b []float32) (most float64) {
	for i := range a {
		most = math.Max(most, math.Abs(float64(a[i])-float64(b[i])))
	}
	return most
}

// dequantised makes ternary products what most other kernels make them: each code and each weight is a float32, divided and
// multiplied by its scale, and the products are added up in floats.
func dequantised(s *kernel.Set) {
	s.Few = 1 // a token at a time through MatVec below
	product := func(dst []float32, w *pack.Matrix, s0, s1 int, x []float32, factor float32) {
		row := make([]int8, w.Cols)
		// factor is m/s, with m the matrix's scale: the code's own factor is 1/s.
		code := factor / w.Scale
		for r := s0 * pack.SuperblockRows; r < min(s1*pack.SuperblockRows, w.Rows); r++ {
			w.DecodeRow(row, r)
			var sum float32
			for k, trit := range row {
				sum += (float32(trit) * w.Scale) * (x[k] * code)
			}
			dst[r] = sum
		}
	}
	s.MatMul = func(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
		values := make([]float32, w.Cols)
		for t := range n {
			for k := range values {
				values[k] = float32(x[t*w.Cols+k])
			}
			product(dst[t*ldd:], w, s0, s1, values, scale[t])
		}
	}
	s.Prepare = func(prepared []int16, x []int8) {
		for k, v := range x {
			prepared[place(k)] = int16(v)
		}
	}
	s.MatVec = func(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
		values := make([]float32, w.Cols)
		for k := range values {
			values[k] = float32(prepared[place(k)])
		}
		product(dst, w, s0, s1, values, scale)
	}
	s.PrepareFew = func(prepared []int16, x []int8, K, n, j0, j1 int) {
		for k := j0 * pack.TritsPerWord; k < min(j1*pack.TritsPerWord, K); k++ {
			prepared[place(k)] = int16(x[k])
		}
	}
	s.MatVecFew = func(dst []float32, _ int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, _ int) {
		s.MatVec(dst, w, s0, s1, prepared, scale[0])
	}
}

// place is where a code lies in what Prepare makes, in the part of its word.
func place(k int) int {
	return k/pack.TritsPerWord*kernel.PreparedLen(1) + k%pack.TritsPerWord
}

// Energy of one operation in pJ at 7 nm: Jouppi et al., Ten Lessons From Three Generations Shaped Google's TPUv4i (ISCA
// 2021), table 2; memory is DDR, 64 bits, from the same.
const (
	picoAddInt8    = 0.007
	picoAddInt32   = 0.03
	picoAddFP16    = 0.16
	picoMulFP16    = 0.34
	picoAddFP32    = 0.38
	picoMulFP32    = 1.31
	picoMemory64   = 1300.0
	bitsPacked     = 16.0 / 9
	bitsHalf       = 16.0
	nonzeroAtLarge = 0.65 // of the paper's 370M model's weights
)

// energy adds (c): operations of a token, counted where they are executed, and by shape, times the constants.
func energy(t *Table, e exactness) {
	for _, c := range []struct {
		name string
		pico Number
	}{{"int8 add", picoAddInt8}, {"int32 add", picoAddInt32}, {"float16 add", picoAddFP16}, {"float16 multiply", picoMulFP16}, {"float32 add", picoAddFP32}, {"float32 multiply", picoMulFP32}, {"64 bits from DRAM", picoMemory64}} {
		t.row("(c) constant, 7 nm", c.name, "pJ", none(), c.pico)
	}
	t.row("(c) float16 multiply and add against one add of int8", "ratio", "times", 71.4, (picoAddFP16+picoMulFP16)/picoAddInt8)
	t.row("(c) the same, sums in int32 as in our kernels", "ratio", "times", none(), (picoAddFP16+picoMulFP16)/picoAddInt32)
	counted := "(c) counted, a token of the trained model"
	t.row(counted, "additions because of a weight", "", none(), Number(e.Adds))
	t.row(counted, "zero weights skipped", "", none(), Number(e.Zeros))
	t.row(counted, "multiplications of a weight", "", 0, Number(e.Weights))
	t.row(counted, "other multiplications: norms, gates, scales", "", none(), Number(e.Others))
	for _, name := range []string{"370m", "1.3b", "2.7b", "13b"} {
		s, _ := bench.Published(name)
		_, ternary := spec.Parameters(s.Model)
		n := float64(ternary)
		setting := "(c) " + name + ", a token's products by shape"
		t.row(setting, "additions, ternary", "", none(), Number(nonzeroAtLarge*n))
		t.row(setting, "multiplications and additions, float16", "", none(), Number(n))
		t.row(setting, "arithmetic, ternary", "mJ", none(), Number(1e-9*nonzeroAtLarge*n*picoAddInt32))
		t.row(setting, "arithmetic, float16", "mJ", none(), Number(1e-9*n*(picoAddFP16+picoMulFP16)))
		t.row(setting, "weights from DRAM, packed", "mJ", none(), Number(1e-9*n*bitsPacked/64*picoMemory64))
		t.row(setting, "weights from DRAM, float16", "mJ", none(), Number(1e-9*n*bitsHalf/64*picoMemory64))
	}
	t.note("(c) BitNet's 71.4 is one multiplication and addition of float16 over one addition of int8. A sum of thousands of codes does not fit 8 bits: with 32-bit sums the ratio is 16.7. One token at a time, reading the weights costs far more than either.")
}

// fpga adds (d): the FPGA's rows recomputed (v7, table 5 with bursting; A8 of the figures).
func fpga(t *Table) {
	for _, p := range []struct {
		width          int
		block, printed float64
		rate           Number
	}{{512, 0.67, 43, 62}, {1024, 1.75, 112, none()}, {2048, 7.13, 456, 23.8}} {
		setting := fmt.Sprintf("(d) FPGA, width %d, 24 blocks", p.width)
		t.row(setting, "tokens/s with bursting, projected", "tokens/s", p.rate, Number(1000/(24*p.block)))
		t.row(setting, "tokens/s as measured", "tokens/s", none(), Number(1000/(24*p.printed)))
	}
	t.note("(d) The paper's 23.8 tokens/s for width 2048 is 24 blocks of width 1024 (42.0 ms); its own time for a block of width 2048 gives 5.8. Bursting is a projected factor of 64, not a measurement.")
}
