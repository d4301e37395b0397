package hf

import (
	"encoding/json"
	"strings"

	"mmfree/ternary/spec"
)

// oneBitClass is the class of the independent reproduction of BitNet b1.58 (1bitLLM), whose folders call themselves Llamas and
// have the norms before o_proj and down_proj under names of their own (spec §11).
const oneBitClass = "BitnetForCausalLM"

// oneBitName returns the name that such a folder has for a tensor.
func oneBitName(name string) string {
	name = strings.Replace(name, ".self_attn.attn_sub_norm.", ".self_attn.inner_attn_ln.", 1)
	return strings.Replace(name, ".mlp.ffn_sub_norm.", ".mlp.ffn_layernorm.", 1)
}

// translate makes a config.json of that class one of a BitNet: what it leaves out has the values of its own class, which are a
// Llama's, and its options for the bits of weights and activations must be the ones that the architecture defines.
func translate(text []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	var classes []string
	if json.Unmarshal(text, &fields) != nil || json.Unmarshal(fields["architectures"], &classes) != nil || len(classes) == 0 || classes[0] != oneBitClass {
		return text, nil
	}
	for key, want := range map[string]string{"weight_bits": "1", "input_bits": "8"} {
		if have, ok := fields[key]; ok && string(have) != want {
			return nil, &spec.ConfigError{Key: key, Problem: "is " + string(have) + ", not " + want, Fix: "only ternary weights and activations of 8 bits are defined"}
		}
		delete(fields, key)
	}
	for key, value := range map[string]string{
		"hidden_act": `"silu"`, "rms_norm_eps": "1e-6", "rope_theta": "10000.0", "vocab_size": "32000", "hidden_size": "4096",
		"intermediate_size": "11008", "num_hidden_layers": "32", "num_attention_heads": "32", "num_key_value_heads": "null",
		"bos_token_id": "1", "eos_token_id": "2",
	} {
		if _, stated := fields[key]; !stated {
			fields[key] = json.RawMessage(value)
		}
	}
	fields["model_type"] = json.RawMessage(`"bitnet"`)
	return json.Marshal(fields)
}
