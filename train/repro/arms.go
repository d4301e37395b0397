package repro

import (
	"mmfree/ternary/spec"
	"mmfree/train"
)

// size is a miniature model's shape; both families have the same number of weights at each.
type size struct {
	name          string
	width, layers int
	mlp           int // 8/3 of width, up to a multiple of 64
}

// sizes returns the miniatures: 0.3M, 1M, 3M and 9M weights in the blocks.
func sizes() []size {
	return []size{{"S0", 64, 6, 192}, {"S1", 128, 5, 384}, {"S2", 192, 7, 512}, {"S3", 320, 7, 896}}
}

// sizesOf returns the sizes that a budget compares.
func sizesOf(b Budget) []size {
	return of(b, []size{{"T0", 32, 2, 64}, {"T1", 64, 2, 64}}, sizes()[:2], sizes())
}

// blockWeights is N, the weights of the blocks: 4d² + 3·d·I a layer.
func (s size) blockWeights() float64 {
	d, i := float64(s.width), float64(s.mlp)
	return float64(s.layers) * (4*d*d + 3*d*i)
}

// arm is one of the models that are compared.
type arm struct {
	name, title string
	mixer       string // attention or recurrence
	ternary     bool
	model       func(c *spec.Config)
	float       bool // a ternary architecture in full precision: quant.schedule float
}

// Names of the arms, which runs' folders carry.
const (
	floatAttention   = "transformer"
	ternaryAttention = "bitnet"
	floatMLGRU       = "matmulfree-float"
	ternaryMLGRU     = "matmulfree"
	floatRWKV4       = "rwkv4-float" // of R6 alone, as its ternary twin
	ternaryRWKV4     = "rwkv4"
)

// arms returns Transformer++ and the MatMul-free model, each in full precision and ternary: the paper compares only the
// first and the last, where mixer and precision differ at once.
func arms() []arm {
	arch := func(name string) func(c *spec.Config) { return func(c *spec.Config) { c.Arch = name } }
	return []arm{
		{name: floatAttention, title: "Transformer++, float", mixer: "attention", model: arch(spec.ArchTransformer)},
		{name: ternaryAttention, title: "Transformer++, ternary (BitNet b1.58)", mixer: "attention", ternary: true, model: arch(spec.ArchBitNet)},
		{name: floatMLGRU, title: "MLGRU, float", mixer: "MLGRU", model: arch(spec.ArchMatMulFree), float: true},
		{name: ternaryMLGRU, title: "MLGRU, ternary (MatMul-free LM)", mixer: "MLGRU", ternary: true, model: arch(spec.ArchMatMulFree)},
	}
}

// rwkv4Arms returns the MatMul-free RWKV-4, in full precision and ternary.
func rwkv4Arms() []arm {
	model := func(c *spec.Config) { c.Arch = spec.ArchRWKV4 }
	return []arm{
		{name: floatRWKV4, title: "RWKV-4, float", mixer: "RWKV-4", model: model, float: true},
		{name: ternaryRWKV4, title: "RWKV-4, ternary", mixer: "RWKV-4", ternary: true, model: model},
	}
}

func armNamed(name string) arm {
	for _, a := range append(arms(), rwkv4Arms()...) {
		if a.name == name {
			return a
		}
	}
	return arm{}
}

// sequence and batch of every miniature run.
const (
	seqLen      = 128
	batchSize   = 8
	stepTokens  = seqLen * batchSize
	evaluations = 20 // of a run, over the first tokens of the held-out text
)

// config returns a run's configuration: the same for every arm but for the model. The rate falls along a cosine to 0.
func (l *lab) config(a arm, s size, tokens int, lr float64, seed uint64) train.Config {
	c := train.Default()
	a.model(&c.Model)
	c.Model.HiddenSize, c.Model.NumHiddenLayers, c.Model.IntermediateSize = s.width, s.layers, s.mlp
	c.Model.NumAttentionHeads = max(1, s.width/32)
	c.Data.Corpus, c.Data.Tokenizer = l.corpus, train.TokenizerChars
	c.Data.SeqLen, c.Data.BatchSize, c.Data.ValFraction = seqLen, batchSize, 0.1
	if a.float {
		c.Quant.Schedule = "float"
	}
	h := &c.Train
	h.HealthEvery = 0
	h.Steps = max(4, tokens/stepTokens)
	h.LR, h.Schedule, h.MinLRRatio, h.WarmupSteps = lr, "cosine", 0, max(1, h.Steps/20)
	h.LogEvery = max(1, h.Steps/200)
	h.EvalEvery, h.EvalTokens, h.SaveEvery, h.KeepLast = max(1, h.Steps/evaluations), of(l.budget, 1024, 4096, 16384), 0, 1
	if l.budget == Full {
		h.SaveEvery = max(1, h.Steps/4)
	}
	h.Seed = seed
	c.Sample.Tokens = 0
	return c
}
