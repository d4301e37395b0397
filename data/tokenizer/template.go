package tokenizer

import "fmt"

// parseTemplate reads a post-processor: the ids that it puts before and behind a single text.
func parseTemplate(part map[string]any) (before, after []int32, err error) {
	if part == nil {
		return nil, nil, nil
	}
	switch part["type"] {
	case "ByteLevel": // changes offsets only
		return nil, nil, nil
	case "Sequence":
		list, _ := part["processors"].([]any)
		for _, v := range list {
			inner, _ := v.(map[string]any)
			if inner["type"] == "Sequence" {
				return nil, nil, fmt.Errorf("unsupported post_processor: a sequence in a sequence")
			}
			b, a, err := parseTemplate(inner)
			if err != nil {
				return nil, nil, err
			}
			before, after = append(b, before...), append(after, a...)
		}
		return before, after, nil
	case "TemplateProcessing":
	default:
		return nil, nil, fmt.Errorf("unsupported post_processor %v", part["type"])
	}
	single, _ := part["single"].([]any)
	tokens, _ := part["special_tokens"].(map[string]any)
	seen := false
	for _, v := range single {
		item, _ := v.(map[string]any)
		if _, ok := item["Sequence"].(map[string]any); ok && !seen {
			seen = true
			continue
		}
		special, ok := item["SpecialToken"].(map[string]any)
		name, _ := special["id"].(string)
		token, _ := tokens[name].(map[string]any)
		ids, _ := token["ids"].([]any)
		if !ok || len(ids) == 0 {
			return nil, nil, fmt.Errorf("unsupported post_processor: a template with %v", v)
		}
		for _, v := range ids {
			id, ok := v.(float64)
			if !ok || id < 0 || id >= maxPieces || id != float64(int32(id)) {
				return nil, nil, fmt.Errorf("post_processor: id %v of %q", v, name)
			}
			if seen {
				after = append(after, int32(id))
			} else {
				before = append(before, int32(id))
			}
		}
	}
	if !seen {
		return nil, nil, fmt.Errorf("unsupported post_processor: a template without a text")
	}
	return before, after, nil
}
