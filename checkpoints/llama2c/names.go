package llama2c

import (
	"math"
	"slices"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// names pairs this program's names of tensors, without ".weight", with llama2.c's; those of layers behind their prefixes.
var names = map[string]string{
	"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output",
	"input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
	"mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2", "mlp.up_proj": "feed_forward.w3",
}

const layerPrefix = "model.layers."

// foreign returns llama2.c's name for a tensor, without ".weight", or "" where it has none.
func foreign(name string) string {
	name = strings.TrimSuffix(name, ".weight")
	rest, ok := strings.CutPrefix(name, layerPrefix)
	if !ok {
		return names[name]
	}
	layer, part, _ := strings.Cut(rest, ".")
	if names[part] == "" {
		return ""
	}
	return "layers." + layer + "." + names[part]
}

// Tensors returns the tensors of a model whose file has llama2.c's names. find returns a tensor of the file by its whole name;
// file stands for it in errors. A ternary matrix is NAME.ternary, I8 of −1, 0 and +1, with its NAME.scale, one F32.
func Tensors(file string, c spec.Config, find func(name string) (stored.Raw, bool)) ([]stored.Tensor, error) {
	return tensors(file, c, func(t spec.Tensor, name string) (out stored.Tensor, err error) {
		const fix = "config.json and the weights do not belong together, or the file is damaged"
		bad := func(problem string) (stored.Tensor, error) {
			return out, &format.Error{File: file, Tensor: name, Offset: -1, Problem: problem, Fix: fix}
		}
		if t.Kind != spec.Ternary {
			raw, ok := find(name + ".weight")
			switch {
			case !ok:
				return bad("is missing")
			case !slices.Equal(raw.Shape, t.Shape):
				return bad(stored.Misshapen(raw.Shape, t.Shape))
			case !raw.DType.Float():
				return bad("has dtype " + string(raw.DType) + ", which is no float this program reads")
			}
			return stored.Floats(t, raw), nil
		}
		raw, ok := find(name + ".ternary")
		scale, scaled := find(name + ".scale")
		switch {
		case !ok || !scaled:
			return bad("is missing, or its scale is: " + name + ".ternary and " + name + ".scale are wanted")
		case !slices.Equal(raw.Shape, t.Shape):
			return bad(stored.Misshapen(raw.Shape, t.Shape))
		case raw.DType != "I8" || scale.DType != dtype.F32 || len(scale.Bytes) != dtype.F32.Bits()/8:
			return bad("is " + string(raw.DType) + " with a scale of " + string(scale.DType) + "; I8 and one F32 are wanted")
		}
		var s [1]float32
		if err := dtype.Decode(s[:], scale.Bytes, dtype.F32); err != nil {
			return bad(err.Error())
		}
		cols := t.Shape[1]
		read := func(dst []int8, row int) error {
			for j, b := range raw.Bytes[row*cols:][:len(dst)] {
				if dst[j] = int8(b); dst[j] < -1 || dst[j] > 1 {
					_, err := bad("has a code that is not −1, 0 or +1")
					return err
				}
			}
			return nil
		}
		return ternary(file, t, raw.DType, int64(len(raw.Bytes)+len(scale.Bytes)), s[0], read)
	})
}

// ternary makes a tensor of codes. bitllama2.c divides what enters a matrix by its length, so that the factor of a code is the
// file's scale divided by the columns.
func ternary(file string, t spec.Tensor, typ dtype.Type, bytes int64, scale float32, read func([]int8, int) error) (stored.Tensor, error) {
	m := float32(float64(scale) / float64(t.Shape[1]))
	if !(m > 0) || math.IsInf(float64(m), 0) {
		return stored.Tensor{}, &format.Error{File: file, Tensor: foreign(t.Name), Offset: -1, Problem: "its scale is no positive number", Fix: "the file is damaged: get it again from its source"}
	}
	return stored.Codes(t, typ, bytes, m, read), nil
}

// tensors lists the tensors of a model, each made by open, which gets llama2.c's name. Gains that llama2.c does not have are ones.
func tensors(file string, c spec.Config, open func(t spec.Tensor, name string) (stored.Tensor, error)) ([]stored.Tensor, error) {
	var list []stored.Tensor
	_, _, width := c.Attention()
	for _, t := range spec.Tensors(c) {
		name := foreign(t.Name)
		if name == "" {
			list = append(list, stored.Ones(t))
			continue
		}
		out, err := open(t, name)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(name, "wq") || strings.HasSuffix(name, "wk") {
			out = out.Reorder(stored.RotaryPairs(width))
		}
		list = append(list, out)
	}
	return list, nil
}
