package tokenizer

import "fmt"

// parseTemplate reads a post-processor: the ids that it puts before and behind a single text. Each must be below size.
func parseTemplate(v any, size int) (before, after []int32, err error) {
	parts, err := flatten("post_processor", v, "processors")
	if err != nil {
		return nil, nil, err
	}
	for _, p := range parts {
		var b, a []int32
		switch p.kind() {
		case "ByteLevel": // changes offsets only
			p.flag("add_prefix_space", true)
			p.flag("trim_offsets", true)
			p.flag("use_regex", true)
		case "TemplateProcessing":
			b, a = p.template()
		case "RobertaProcessing":
			p.flag("trim_offsets", true)
			p.flag("add_prefix_space", true)
			b, a = p.named("cls"), p.named("sep")
		case "BertProcessing":
			b, a = p.named("cls"), p.named("sep")
		default:
			return nil, nil, p.unsupported()
		}
		if err := p.done(); err != nil {
			return nil, nil, err
		}
		before, after = append(b, before...), append(after, a...)
	}
	for _, ids := range [][]int32{before, after} {
		for _, id := range ids {
			if int(id) >= size {
				return nil, nil, fmt.Errorf("post_processor: id %d is not in the vocabulary of %d", id, size)
			}
		}
	}
	return before, after, nil
}

// named reads a token and its id.
func (p *part) named(key string) []int32 {
	pair := p.list(key)
	if len(pair) != 2 {
		return wrongKind[[]int32](p, key, pair)
	}
	return p.ids(key, pair[1:])
}

func (p *part) ids(key string, list []any) (ids []int32) {
	for _, v := range list {
		id, ok := v.(float64)
		if !ok || id < 0 || id >= maxPieces || id != float64(int32(id)) {
			return wrongKind[[]int32](p, key, v)
		}
		ids = append(ids, int32(id))
	}
	return ids
}

// template reads the template of a single text. That of a pair is of no use here.
func (p *part) template() (before, after []int32) {
	p.value("pair")
	v, _ := p.value("special_tokens")
	tokens, _ := v.(map[string]any)
	seen := false
	for _, v := range p.list("single") {
		item, _ := v.(map[string]any)
		if text, ok := item["Sequence"].(map[string]any); ok && !seen && text["id"] == "A" && len(item) == 1 {
			seen = true
			continue
		}
		special, ok := item["SpecialToken"].(map[string]any)
		name, _ := special["id"].(string)
		token, _ := tokens[name].(map[string]any)
		list, _ := token["ids"].([]any)
		if !ok || len(item) != 1 || len(list) == 0 {
			p.fail("unsupported %s: a template with %v", p.path, v)
			return nil, nil
		}
		if ids := p.ids("special_tokens", list); seen {
			after = append(after, ids...)
		} else {
			before = append(before, ids...)
		}
	}
	if !seen {
		p.fail("unsupported %s: a template without a text", p.path)
	}
	return before, after
}
