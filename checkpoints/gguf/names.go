package gguf

import (
	"strings"

	"mmfree/ternary/spec"
)

// Names of architectures in general.architecture.
const (
	archLlama      = "llama"        // spec.ArchTransformer
	archBitNet     = "bitnet"       // spec.ArchBitNet with SwiGLU
	archBitNetReLU = "bitnet-b1.58" // with squared ReLU, as bitnet.cpp names it
	archMatMulFree = "matmulfree"   // this project's
)

// outer pairs this program's names of tensors outside the layers, without ".weight", with those of GGUF files.
var outer = map[string]string{
	"model.embed_tokens": "token_embd", "model.embeddings": "token_embd", "model.lower_bounds": "lower_bounds",
	"model.norm": "output_norm", "lm_head": "output",
}

// attentionNames does so for the layers of a transformer or BitNet, behind the layers' prefixes.
var attentionNames = map[string]string{
	"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output", "self_attn.attn_sub_norm": "attn_sub_norm", "post_attention_layernorm": "ffn_norm",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.ffn_sub_norm": "ffn_sub_norm",
}

// matMulFreeNames does so for the layers of the MatMul-free model.
var matMulFreeNames = map[string]string{
	"attn_norm": "attn_norm", "attn.i_proj": "attn_i", "attn.f_proj": "attn_f", "attn.g_proj": "attn_g",
	"attn.g_norm": "attn_g_norm", "attn.o_proj": "attn_output", "mlp_norm": "ffn_norm",
	"mlp.gate_proj": "ffn_gate_up", "mlp.down_proj": "ffn_down",
}

// sharedNorms names the norms of BitNet's graph that stand for the norms inside projections (spec.NormBitLinear), where those
// that read the same values have the same gains.
var sharedNorms = map[string]string{
	"self_attn.q_proj": "attn_norm", "self_attn.k_proj": "attn_norm", "self_attn.v_proj": "attn_norm", "self_attn.o_proj": "attn_sub_norm",
	"mlp.gate_proj": "ffn_norm", "mlp.up_proj": "ffn_norm", "mlp.down_proj": "ffn_sub_norm",
}

const (
	layerPrefix  = "model.layers."
	weightSuffix = ".weight"
	normSuffix   = ".norm"
	scaleSuffix  = ".scale" // a ternary tensor's scale, where the type of its codes has none
)

// foreign returns the name that a tensor has in a file, without ".weight", or "" where it has none. shared: norms inside
// projections are BitNet's norms.
func foreign(arch, name string, shared bool) string {
	name = strings.TrimSuffix(name, weightSuffix)
	rest, ok := strings.CutPrefix(name, layerPrefix)
	if !ok {
		if known := outer[name]; known != "" {
			return known
		}
		return behind(outer[strings.TrimSuffix(name, normSuffix)], normSuffix)
	}
	table := attentionNames
	if arch == spec.ArchMatMulFree {
		table = matMulFreeNames
	}
	layer, part, _ := strings.Cut(rest, ".")
	known := table[part]
	if bare, inner := strings.CutSuffix(part, normSuffix); known == "" && inner {
		if known = behind(table[bare], normSuffix); shared {
			known = sharedNorms[bare]
		}
	}
	if known == "" {
		return ""
	}
	return "blk." + layer + "." + known
}

// behind is s with a suffix, or "" for "".
func behind(s, suffix string) string {
	if s == "" {
		return ""
	}
	return s + suffix
}

// isQuery and isKey tell the tensors whose rows are rotated.
func isQuery(name string) bool { return strings.HasSuffix(name, ".self_attn.q_proj.weight") }
func isKey(name string) bool   { return strings.HasSuffix(name, ".self_attn.k_proj.weight") }
