package repro

import (
	"context"
	"errors"
	"fmt"
	"math"

	"mmfree/ternary/spec"
	"mmfree/train/bench"
	"mmfree/train/metrics"
)

func inferenceCosts() Experiment {
	return Experiment{
		ID: "R8", Title: "Inference memory and latency by size",
		Claim: "A packed MatMul-free model needs less memory and time than Transformer++, and the advantage grows with size: 11.6 and 4.6 times at 13B.",
		Rule: "memory is weights and state behind the text, Transformer++ at 16 bits, over the sizes with a vocabulary of 32,000; confirmed if the ratio of memory rises from size to size, and the ratio of latency is higher at the largest measured size " +
			"than at the smallest by 10%; contradicted if either ratio falls from the smallest to the largest by 10%; otherwise inconclusive.",
		do: runInference,
	}
}

// shaped is a size with its configuration for an architecture.
type shaped struct {
	name               string
	width, layers, mlp int // mlp 0: the rule of the published models
	vocab              int
}

func (s shaped) config(a string) spec.Config {
	c := spec.Default()
	c.Arch, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize, c.VocabSize = a, s.width, s.layers, s.mlp, s.vocab
	c.NumAttentionHeads = max(1, s.width/64)
	c.MaxPositionEmbeddings = 1 << 15
	return c
}

// shapes returns the miniatures, with a vocabulary of bytes, and with one of 32,000 the smallest shape of bitnet.cpp's tables and
// the published ones.
func shapes(b Budget) (list []shaped) {
	for _, s := range sizes() {
		list = append(list, shaped{s.name, s.width, s.layers, s.mlp, 256})
	}
	if b == Test {
		return list[:2]
	}
	list = append(list, shaped{"125M", 768, 11, 3072, 32000})
	for _, name := range []string{"370m", "1.3b", "2.7b", "13b"} {
		s, _ := bench.Published(name)
		list = append(list, shaped{name, s.Model.HiddenSize, s.Model.NumHiddenLayers, 0, s.Model.VocabSize})
	}
	return list
}

// measured is what decoding costs, or that it did not fit.
type measured struct {
	Costs []bench.DecodeCost `json:"costs"`
	Fits  bool               `json:"fits"`
}

// decode measures a shape; one that does not fit into memory is no error.
func (l *lab) decode(ctx context.Context, name string, s shaped, arch string, prompts []int, tokens int) (measured, error) {
	return measure(l, name, func() (measured, error) {
		costs, err := bench.Decode(ctx, l.bench(of(l.budget, 0.01, 5, 20)), bench.Shape{Name: s.name, Model: s.config(arch)}, prompts, tokens)
		if errors.Is(err, bench.ErrMemory) {
			return measured{}, nil
		}
		return measured{costs, true}, err
	})
}

// mostFloat is the largest Transformer++ that is made, in bytes of its float32 weights; the time of a larger one is taken from
// the rate at which this one's weights were read.
func mostFloat(b Budget) int64 { return of(b, int64(1)<<30, 2<<30, 8<<30) }

func runInference(ctx context.Context, l *lab, t *Table) error {
	paper := map[string][2][2]Number{ // memory in GB and latency in ms, MatMul-free and Transformer++ (v7, §5.2)
		"13b": {{4.19, 48.50}, {695.48, 3183.10}},
	}
	prompt, tokens := of(l.budget, 4, 128, 128), of(l.budget, 4, 64, 64)
	memory := metrics.Chart{Title: "R8: memory by size", X: "parameters", Y: "MB of weights and state", LogX: true, LogY: true}
	latency := metrics.Chart{Title: "R8: time of a token", X: "parameters", Y: "ms", LogX: true, LogY: true}
	names := [2]string{"MatMul-free, packed", "Transformer++"}
	var lines [4]metrics.Series
	var memoryRatios, timeRatios []float64
	var perByte float64 // seconds for a byte of float32 weights
	list := shapes(l.budget)
	largestVocab := list[len(list)-1].vocab
	for _, s := range list {
		mm, err := l.decode(ctx, "r8-matmulfree-"+s.name, s, spec.ArchMatMulFree, []int{prompt}, tokens)
		if err != nil {
			return err
		}
		own, float := bench.Sizes(s.config(spec.ArchMatMulFree)), bench.Sizes(s.config(spec.ArchTransformer))
		state := int64(s.layers) * int64(s.width) * 4
		cache := 2 * 4 * int64(s.layers) * int64(s.width) * int64(prompt+tokens)
		bytes := [2]float64{float64(own.Packed + own.Dense + state), float64(float.Dense + cache)}
		setting := fmt.Sprintf("%s, %d million parameters", s.name, own.All/1e6)
		p, known := paper[s.name]
		if !known {
			p = [2][2]Number{{none(), none()}, {none(), none()}}
		}
		t.row(setting, "memory, MatMul-free packed", "GB", p[0][0], Number(bytes[0]/1e9))
		t.row(setting, "memory, Transformer++ float32", "GB", none(), Number(bytes[1]/1e9))
		t.row(setting, "memory, Transformer++ at 16 bits", "GB", p[0][1], Number(bytes[1]/2e9))
		t.row(setting, "ratio of memory at 16 bits", "times", p[0][1]/p[0][0], Number(bytes[1]/2/bytes[0]))
		judged := s.vocab == largestVocab // embeddings are not packed: sizes compare where the vocabulary is the same
		if judged {
			memoryRatios = append(memoryRatios, bytes[1]/2/bytes[0])
		}
		for i := range bytes {
			lines[i].X, lines[i].Y = append(lines[i].X, float64(own.All)), append(lines[i].Y, bytes[i]/1e6)
		}
		if !mm.Fits {
			t.note("%s: the packed model does not fit into free memory here; its time was not measured.", s.name)
			continue
		}
		seconds, projected := math.NaN(), false
		if float.Dense <= mostFloat(l.budget) {
			m, err := l.decode(ctx, "r8-transformer-"+s.name, s, spec.ArchTransformer, []int{prompt}, tokens)
			if err != nil {
				return err
			}
			if m.Fits {
				seconds = m.Costs[0].TokenSeconds
				perByte = seconds / float64(float.Dense)
				t.row(setting, "prompt of 128, Transformer++ float32", "ms", none(), Number(1e3*m.Costs[0].PromptSeconds))
			}
		}
		if math.IsNaN(seconds) {
			seconds, projected = perByte*float64(float.Dense), true
		}
		ours := mm.Costs[0].TokenSeconds
		t.row(setting, "prompt of 128, MatMul-free packed", "ms", none(), Number(1e3*mm.Costs[0].PromptSeconds))
		t.row(setting, "a token, MatMul-free packed", "ms", none(), Number(1e3*ours))
		metric := "a token, Transformer++ float32"
		if projected {
			metric += ", projected from bytes"
		} else if judged {
			timeRatios = append(timeRatios, seconds/ours)
		}
		t.row(setting, metric, "ms", none(), Number(1e3*seconds))
		t.row(setting, "ratio of time", "times", p[1][1]/p[1][0], Number(seconds/ours))
		lines[2].X, lines[2].Y = append(lines[2].X, float64(own.All)), append(lines[2].Y, 1e3*ours)
		lines[3].X, lines[3].Y = append(lines[3].X, float64(own.All)), append(lines[3].Y, 1e3*seconds)
	}
	publishedLatency(t)
	for i := range lines {
		lines[i].Name, lines[i].Line, lines[i].Marks = names[i%2], true, true
	}
	lines[1].Name += " float32"
	lines[3].Name += " float32, the largest projected from bytes"
	memory.Series, latency.Series = lines[:2], lines[2:]
	rises := true
	for i := 1; i < len(memoryRatios); i++ {
		rises = rises && memoryRatios[i] > memoryRatios[i-1]
	}
	change := func(x []float64) float64 { return x[len(x)-1] / x[0] }
	if len(timeRatios) == 0 {
		timeRatios = []float64{math.NaN()}
	}
	because := fmt.Sprintf("ratio of memory %.2f to %.2f from the smallest to the largest size, ratio of time %.2f to %.2f over the sizes that were measured",
		memoryRatios[0], memoryRatios[len(memoryRatios)-1], timeRatios[0], timeRatios[len(timeRatios)-1])
	switch {
	case change(memoryRatios) < 0.9 || change(timeRatios) < 0.9:
		t.decide(Contradicted, "%s", because)
	case rises && change(timeRatios) >= 1.1:
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("Weights are random, as the paper's are above 2.7B. Embeddings of the MatMul-free model are float32 and count. The paper's latencies are of a text of 2048 tokens on a GPU, ours of one token behind a prompt of %d: only ratios compare.", prompt)
	t.note("The limit of the ratio at 16 bits is 16/1.78, nine trits in a 16-bit word; embeddings hold it back at small sizes.")
	if err := l.plot("r8-memory.png", memory); err != nil {
		return err
	}
	return l.plot("r8-time.png", latency)
}

// publishedLatency adds BitNet's and bitnet.cpp's figures: arXiv 2402.17764, table 1; 2410.16144, table 5 (i7-13700H, two threads).
func publishedLatency(t *Table) {
	for _, p := range []struct {
		size         string
		memory, time Number
	}{{"700M", 2.60, 1.23}, {"1.3B", 2.93, 1.67}, {"3B", 3.55, 2.71}} {
		t.row("BitNet b1.58 "+p.size+", GPU", "ratio of memory at 16 bits", "times", p.memory, none())
		t.row("BitNet b1.58 "+p.size+", GPU", "ratio of time", "times", p.time, none())
	}
	for _, p := range []struct {
		size           string
		float, ternary Number
	}{{"125M", 119.84, 316.35}, {"350M", 41.57, 137.68}, {"13B", 1.30, 7.09}} {
		t.row("bitnet.cpp "+p.size+", i7-13700H, 2 threads", "a token, ternary", "ms", 1000/p.ternary, none())
		t.row("bitnet.cpp "+p.size+", i7-13700H, 2 threads", "ratio of time to float16", "times", p.ternary/p.float, none())
	}
}

func constantCost() Experiment {
	return Experiment{
		ID: "R9", Title: "Constant cost per token",
		Claim: "The recurrence costs the same at every length, from 500 to 16,000 tokens; a cache of keys and values grows.",
		Rule: "confirmed if the MatMul-free model's time of a token varies by less than 5% over the lengths, its state is L·d numbers at each, and Transformer++'s time and state grow; contradicted if its state " +
			"grows, or its time by more than half; otherwise inconclusive.",
		do: runConstantCost,
	}
}

func runConstantCost(ctx context.Context, l *lab, t *Table) error {
	lengths := of(l.budget, []int{4, 8}, []int{128, 512, 1024, 2048, 4096}, []int{128, 512, 1024, 2048, 4096, 8192, 16384})
	s := sizes()[of(l.budget, 0, 2, 2)]
	shape := shaped{s.name, s.width, s.layers, s.mlp, 256}
	chart := metrics.Chart{Title: "R9: time of a token behind a text", X: "tokens before", Y: "ms", LogX: true, LogY: true}
	archs := [2]string{spec.ArchMatMulFree, spec.ArchTransformer}
	titles := [2]string{"MatMul-free", "Transformer++ with a cache"}
	var all [2][]bench.DecodeCost
	for i, arch := range archs {
		m, err := l.decode(ctx, "r9-"+arch, shape, arch, lengths, 200)
		if err != nil {
			return err
		}
		if !m.Fits {
			return fmt.Errorf("%w: %s of size %s does not fit", bench.ErrMemory, arch, s.name)
		}
		all[i] = m.Costs
		series := metrics.Series{Name: titles[i] + ", " + s.name, Line: true, Marks: true}
		for j, c := range m.Costs {
			setting := fmt.Sprintf("%s, behind %d tokens", titles[i], lengths[j])
			t.row(setting, "a token", "ms", none(), Number(1e3*c.TokenSeconds))
			t.row(setting, "reading them", "tokens/s", none(), Number(float64(c.Prompt)/c.PromptSeconds))
			t.row(setting, "state", "kB", none(), Number(float64(c.StateBytes)/1e3))
			series.X, series.Y = append(series.X, float64(c.Prompt)), append(series.Y, 1e3*c.TokenSeconds)
		}
		chart.Series = append(chart.Series, series)
	}
	for _, p := range []struct {
		length          string
		loihi, mm, attn Number
	}{{"500", 59.4, 13.4, 22.4}, {"1000", 59.4, 13.3, 22.9}, {"4000", 59.4, 13.5, 21.7}, {"16000", 59.4, 13.5, 20.9}} {
		t.row("370M, generating "+p.length, "MatMul-free, Loihi 2 system", "tokens/s", p.loihi, none())
		t.row("370M, generating "+p.length, "MatMul-free, H100", "tokens/s", p.mm, none())
		t.row("370M, generating "+p.length, "Transformer++, H100", "tokens/s", p.attn, none())
	}
	low, high := math.Inf(1), 0.0
	state := true
	for _, c := range all[0] {
		low, high = math.Min(low, c.TokenSeconds), math.Max(high, c.TokenSeconds)
		state = state && c.StateBytes == int64(4*s.layers*s.width)
	}
	n := len(lengths) - 1
	grows := all[1][n].TokenSeconds > all[1][0].TokenSeconds && all[1][n].StateBytes > all[1][0].StateBytes
	because := fmt.Sprintf("the MatMul-free time varies by %.1f%%, its state is L·d numbers at each length: %t; Transformer++'s token takes %.2f times as long behind %d tokens as behind %d",
		100*(high/low-1), state, all[1][n].TokenSeconds/all[1][0].TokenSeconds, lengths[n], lengths[0])
	switch {
	case !state || all[0][n].TokenSeconds > 1.5*all[0][0].TokenSeconds:
		t.decide(Contradicted, "%s", because)
	case high/low < 1.05 && grows:
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("Lengths take turns, token by token; each figure is the fastest tenth. On the paper's H100 the MatMul-free model generates slower than Transformer++ at every length; it is flat, and so nearly is the other.")
	return l.plot("r9.png", chart)
}
