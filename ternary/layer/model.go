package layer

import (
	"fmt"

	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// Part is one half of a block: it adds to the residual stream. A block is two of them, PartAttention and PartMLP, whatever
// they are made of.
type Part interface {
	// Name is the part's name in TapName, the same in every layer.
	Name() string
	// NewBuffers makes memory for N tokens of one call; scratch is [N, d]. Parts of one name may share it.
	NewBuffers(N int, scratch []float32) Buffers
	// NewState returns what the part carries from token to token before the first one, or nil when that is nothing.
	NewState(batch int) State
	// Run writes h + part(h) to dst [N, d], which may be h.
	Run(e *Env, dst, h []float32, b *Batch, s State, buf Buffers)
}

// Buffers is a part's memory, of a type of its own.
type Buffers any

// State is what a part carries from token to token of a batch of sequences.
type State interface {
	Reset()          // to before the first token
	Copy(from State) // to another state of the same part, of as many sequences or of one, which all then go on from
}

// Batch is the tokens of one call: B sequences, T each. Mask and Starts [B·T] may be nil: see TokenMixer.Forward.
type Batch struct {
	B, T   int
	Mask   []float32
	Starts []bool
}

// Model is a whole model as its layers, over a pack.Model whose values it uses in place: when training rewrites those, the
// next forward pass sees it (what is derived from them, after Update).
type Model struct {
	Config     spec.Config
	Embeddings []float32 // [V, d]
	Parts      []Part    // in order, layer by layer
	Head       Head

	update []func()
}

// New assembles the layers. It panics when the architecture of the valid configuration has no blocks here.
func New(p *pack.Model) *Model {
	m := &Model{Config: p.Config, Embeddings: p.Dense(spec.EmbeddingName(p.Config)), Head: newHead(p)}
	switch p.Config.Arch {
	case spec.ArchMatMulFree:
		m.matMulFreeBlocks(p)
	case spec.ArchRWKV4:
		m.rwkv4Blocks(p)
	case spec.ArchTransformer, spec.ArchBitNet:
		m.attentionBlocks(parts{p})
	default:
		panic("layer: no blocks for architecture " + p.Config.Arch)
	}
	m.Update()
	return m
}

// Update recomputes what is derived from weights after they have changed.
func (m *Model) Update() {
	for _, f := range m.update {
		f()
	}
}

// Embed writes the embeddings of ids to dst [N, d]. Every id is below V.
func (m *Model) Embed(dst []float32, ids []int32) {
	d := m.Config.HiddenSize
	for t, id := range ids {
		copy(dst[t*d:][:d], m.Embeddings[int(id)*d:][:d])
	}
}

// Layer returns the layer that part i belongs to: parts come in pairs.
func Layer(part int) int { return part / 2 }

// TapEmbeddings is the tap before the first block.
const TapEmbeddings = "embeddings"

// TapName names the residual stream behind a part of a model: TapEmbeddings, or a part of layer l. Both paths label what
// they compare with it.
func TapName(part string, l int) string {
	if part == TapEmbeddings {
		return part
	}
	return fmt.Sprintf("layers.%d.%s", l, part)
}
