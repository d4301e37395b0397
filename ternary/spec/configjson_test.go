package spec_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

func TestReadReferenceConfig(t *testing.T) {
	var c spec.Config
	if err := json.Unmarshal([]byte(`{"model_type":"hgrn_bit"}`), &c); err != nil {
		t.Fatal(err)
	}
	want := spec.Default()
	one, two := 1, 2
	want.BOSTokenID, want.EOSTokenID = &one, &two
	want.BitLinearEps, want.ActivationRounding = spec.BitLinearEpsFused, spec.HalfAway
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	// What a folder of the reference holds, unknown fields included.
	text := `{"architectures":["HGRNBitForCausalLM"],"attn_mode":"fused_recurrent","bos_token_id":1,"conv_size":4,
		"eos_token_id":null,"expand_ratio":1,"fuse_cross_entropy":true,"hidden_act":"swish","hidden_ratio":null,
		"hidden_size":1024,"initializer_range":0.02,"intermediate_size":null,"max_position_embeddings":2048,
		"model_type":"hgrn_bit","num_heads":8,"num_hidden_layers":24,"pad_token_id":0,"rms_norm_eps":1e-06,
		"share_conv_kernel":true,"tie_word_embeddings":false,"torch_dtype":"bfloat16","transformers_version":"4.39.3",
		"use_cache":true,"use_lower_bound":true,"use_short_conv":false,"vocab_size":32000,"weird":{"a":[1,2.50,"<b>"]}}`
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.EOSTokenID != nil || *c.PadTokenID != 0 || *c.BOSTokenID != 1 || c.NumHeads != 8 || c.HiddenRatio != 4 || c.MLPWidth() != 2816 {
		t.Errorf("got %+v", c)
	}
	for _, key := range []string{"torch_dtype", "transformers_version", "weird", "use_short_conv", "attn_mode", "hidden_act"} {
		if c.Extra[key] == nil {
			t.Errorf("unknown field %s was lost", key)
		}
	}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var was, is map[string]any
	if err := errors.Join(json.Unmarshal([]byte(text), &was), json.Unmarshal(out, &is)); err != nil {
		t.Fatal(err)
	}
	for key, v := range was {
		if key == "hidden_ratio" { // null means 4
			continue
		}
		if !reflect.DeepEqual(is[key], v) {
			t.Errorf("%s: read %v, written %v", key, v, is[key])
		}
	}
}

func TestConfigRoundTrip(t *testing.T) {
	pad := 3
	odd := spec.Default()
	odd.PadTokenID, odd.UseLowerBound, odd.ExpandRatio, odd.RMSNormEps, odd.IntermediateSize = &pad, false, 1.1, 3e-7, 1000
	tied := small()
	tied.TieWordEmbeddings, tied.DownProj, tied.NumHeads = true, spec.DownDenseUnnormed, 3
	tied.Extra = map[string]json.RawMessage{"note": json.RawMessage(`"kept"`)}
	rwkv4 := smallRWKV4()
	rwkv4.BitLinearEps, rwkv4.ActivationRounding, rwkv4.TieWordEmbeddings = spec.BitLinearEpsFused, spec.HalfAway, true
	for _, c := range []spec.Config{spec.Default(), odd, tied, rwkv4} {
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back spec.Config
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, c) {
			t.Errorf("read %+v, written %+v", back, c)
		}
		again, _ := json.Marshal(back)
		if string(again) != string(out) {
			t.Errorf("written %s, then %s", out, again)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	for _, c := range []struct{ fields, key string }{
		{`"use_short_conv":true`, "use_short_conv"},
		{`"use_short_conv":"no"`, "use_short_conv"},
		{`"attn_mode":"chunk"`, "attn_mode"},
		{`"model_type":"gpt2"`, "model_type"},
		{`"model_type":7`, "model_type"},
		{`"vocab_size":0`, "vocab_size"},
		{`"vocab_size":-1`, "vocab_size"},
		{`"vocab_size":1.5`, "vocab_size"},
		{`"vocab_size":"32000"`, "vocab_size"},
		{`"vocab_size":99999999999`, "vocab_size"},
		{`"hidden_size":0`, "hidden_size"},
		{`"hidden_size":200000`, "hidden_size"},
		{`"num_hidden_layers":0`, "num_hidden_layers"},
		{`"num_hidden_layers":5000`, "num_hidden_layers"},
		{`"num_heads":0`, "num_heads"},
		{`"num_heads":3`, "num_heads"},
		{`"hidden_ratio":0`, "hidden_ratio"},
		{`"hidden_ratio":100000`, "hidden_ratio"},
		{`"intermediate_size":-5`, "intermediate_size"},
		{`"intermediate_size":132104`, "intermediate_size"},
		{`"expand_ratio":2`, "expand_ratio"},
		{`"expand_ratio":0`, "expand_ratio"},
		{`"expand_ratio":-1,"use_lower_bound":false`, "expand_ratio"},
		{`"expand_ratio":1e300,"use_lower_bound":false`, "expand_ratio"},
		{`"rms_norm_eps":0`, "rms_norm_eps"},
		{`"rms_norm_eps":-1e-6`, "rms_norm_eps"},
		{`"initializer_range":0`, "initializer_range"},
		{`"bitlinear_eps":2`, "bitlinear_eps"},
		{`"activation_rounding":"up"`, "activation_rounding"},
		{`"down_proj":"none"`, "down_proj"},
		{`"pad_token_id":-1`, "pad_token_id"},
		{`"eos_token_id":[1,2]`, "eos_token_id"},
		{`"bos_token_id":3000000000`, "bos_token_id"},
		{`"model_type":"llama","attention_bias":true`, "attention_bias"},
		{`"model_type":"llama","mlp_bias":true`, "attention_bias"},
		{`"model_type":"llama","rope_scaling":{"factor":8}`, "rope_scaling"},
		{`"model_type":"llama","rope_parameters":{"rope_type":"yarn"}`, "rope_parameters"},
		{`"model_type":"llama","rope_parameters":{"partial_rotary_factor":0.5}`, "rope_parameters"},
		{`"model_type":"llama","rope_theta":0`, "rope_theta"},
		{`"model_type":"llama","hidden_act":"gelu"`, "hidden_act"},
		{`"model_type":"llama","hidden_act":"relu2"`, "hidden_act"},
		{`"model_type":"llama","num_attention_heads":3`, "num_attention_heads"},
		{`"model_type":"llama","num_attention_heads":-1`, "num_attention_heads"},
		{`"model_type":"llama","hidden_size":96`, "num_attention_heads"},
		{`"model_type":"llama","num_key_value_heads":5`, "num_key_value_heads"},
		{`"model_type":"llama","head_dim":100000`, "num_attention_heads"},
		{`"model_type":"llama","head_dim":-4`, "head_dim"},
		{`"model_type":"llama","max_position_embeddings":0`, "max_position_embeddings"},
		{`"model_type":"bitnet","norm_placement":"none"`, "norm_placement"},
		{`"model_type":"bitnet","lm_head":"gone"`, "lm_head"},
		{`"model_type":"bitnet","hidden_act":"gelu"`, "hidden_act"},
		{`"model_type":"bitnet","activation_rounding":"up"`, "activation_rounding"},
	} {
		text := `{` + c.fields + `}`
		if !strings.Contains(c.fields, "model_type") {
			text = `{"model_type":"hgrn_bit",` + c.fields + `}`
		}
		var got spec.Config
		err := got.UnmarshalJSON([]byte(text))
		var e *spec.ConfigError
		if !errors.As(err, &e) || !errors.Is(err, spec.ErrConfig) || e.Key != c.key || e.Hint() == "" {
			t.Errorf("%s: error %v, want one about %s with a hint", text, err, c.key)
		}
	}
	for _, text := range []string{``, `null`, `[]`, `7`, `{`, `{"model_type":"hgrn_bit"`} {
		var got spec.Config
		if err := got.UnmarshalJSON([]byte(text)); !errors.Is(err, spec.ErrConfig) {
			t.Errorf("%q: error %v, want ErrConfig", text, err)
		}
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	c := spec.Default()
	c.VocabSize, c.RMSNormEps, c.BitLinearEps, c.DownProj = 0, math.NaN(), math.Inf(1), ""
	err := c.Validate()
	for _, key := range []string{"vocab_size", "rms_norm_eps", "bitlinear_eps", "down_proj"} {
		if err == nil || !strings.Contains(err.Error(), "model."+key) {
			t.Errorf("error %v does not name %s", err, key)
		}
	}
	c = spec.Default()
	c.Arch, c.VocabSize = "rnn", 0
	err = c.Validate()
	for _, key := range []string{"arch", "vocab_size"} {
		if err == nil || !strings.Contains(err.Error(), "model."+key) {
			t.Errorf("error %v does not name %s", err, key)
		}
	}
	c = spec.Default()
	c.ExpandRatio, c.UseLowerBound = math.NaN(), false
	if err := c.Validate(); !errors.Is(err, spec.ErrConfig) {
		t.Errorf("expand_ratio NaN: error %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"hgrn_bit"}`))
	f.Add([]byte(`{"model_type":"hgrn_bit","vocab_size":97,"hidden_size":64,"intermediate_size":null,"x":[{}]}`))
	f.Add([]byte(`{"model_type":"llama","head_dim":6,"num_attention_heads":2,"num_key_value_heads":null,"rope_parameters":{"rope_theta":5}}`))
	f.Add([]byte(`{"model_type":"bitnet","norm_placement":"bitlinear","lm_head":"bitlinear","tie_word_embeddings":true}`))
	f.Add([]byte(`{"model_type":"hgrn_bit","expand_ratio":1.5,"use_lower_bound":false,"pad_token_id":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c spec.Config
		if err := c.UnmarshalJSON(data); err != nil {
			if !errors.Is(err, spec.ErrConfig) {
				t.Fatalf("error %v is not of the class", err)
			}
			return
		}
		if c.NumHiddenLayers <= 64 {
			spec.Tensors(c)
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back spec.Config
		if err := back.UnmarshalJSON(out); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(out) {
			t.Fatalf("written %s, then %s", out, again)
		}
	})
}

// TestReadAttentionConfig: what a folder of transformers holds becomes the architecture it names, and comes back.
func TestReadAttentionConfig(t *testing.T) {
	for _, c := range []struct {
		text, arch         string
		heads, keys, width int
		theta              float64
	}{
		{`{"model_type":"llama"}`, spec.ArchTransformer, 32, 32, 128, 10000},
		{`{"model_type":"llama","hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":null,
			"rope_scaling":null,"rope_parameters":{"rope_theta":500000,"rope_type":"default"}}`, spec.ArchTransformer, 4, 2, 16, 500000},
		{`{"model_type":"llama","hidden_size":64,"num_attention_heads":3,"head_dim":10}`, spec.ArchTransformer, 3, 3, 10, 10000},
		{`{"model_type":"bitnet"}`, spec.ArchBitNet, 20, 5, 128, 500000},
	} {
		var got, back spec.Config
		if err := json.Unmarshal([]byte(c.text), &got); err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		heads, keys, width := got.Attention()
		if got.Arch != c.arch || heads != c.heads || keys != c.keys || width != c.width || got.RopeTheta != c.theta {
			t.Errorf("%s: read %+v", c.text, got)
		}
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(spec.Tensors(back), spec.Tensors(got)) || back.RopeTheta != got.RopeTheta {
			t.Errorf("%s: written %s", c.text, out)
		}
	}
	// Left to the rules here, and spelled out for others.
	own := spec.Default()
	own.Arch, own.HiddenSize = spec.ArchTransformer, 256
	out, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out, &fields); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"model_type": "llama", "num_attention_heads": 4.0, "num_key_value_heads": 4.0, "intermediate_size": 768.0, "head_dim": 64.0,
	} {
		if fields[key] != want {
			t.Errorf("%s is written as %v, want %v", key, fields[key], want)
		}
	}
}
