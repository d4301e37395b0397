package tokenizer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	hf "github.com/sugarme/tokenizer"
)

// FromMerges makes a byte-level BPE with GPT-2's pattern of the older pair of files: vocab.json and merges.txt. Tokens
// between <| and |> in the vocabulary are special. name is the files', for errors.
func FromMerges(vocab, merges []byte, name string) (Tokenizer, error) {
	fail := func(problem string) (Tokenizer, error) {
		return nil, &Error{Source: name, Offset: -1, Problem: problem, Fix: "copy vocab.json and merges.txt of one tokenizer whole"}
	}
	if len(vocab) > maxJSON || len(merges) > maxJSON {
		return fail(fmt.Sprintf("more than %d bytes", maxJSON))
	}
	var ids map[string]any
	if err := json.Unmarshal(vocab, &ids); err != nil {
		return fail("vocab.json: " + err.Error())
	}
	added := []hf.TokenConfig{}
	for token, id := range ids {
		if n, ok := id.(float64); ok && strings.HasPrefix(token, "<|") && strings.HasSuffix(token, "|>") {
			added = append(added, hf.TokenConfig{Id: int64(n), Content: token, Special: true})
		}
	}
	list := []string{}
	for line := range strings.Lines(string(merges)) {
		line = strings.TrimRight(line, "\r\n")
		if line != "" && !strings.HasPrefix(line, "#version") {
			list = append(list, line)
		}
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	file, err := writeAdded(added, byteLevel, byteLevel, map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": ids, "merges": list,
	})
	if err != nil {
		return fail(err.Error())
	}
	return Parse(file, name)
}

// ParseBinary reads llama2.c's tokenizer.bin: the length of the longest piece, then score, length and text of each piece,
// spaces as spaces. The format leaves types out; by its convention id 0 is unknown, 1 and 2 are BOS and EOS, and the bytes
// follow.
func ParseBinary(file []byte, name string) (*SentencePiece, error) {
	cut := func(at int) error {
		return &Error{Source: name, Offset: int64(at), Problem: "not a tokenizer.bin, or cut short", Fix: "copy the file again"}
	}
	if len(file) < 4 || len(file) > maxFile {
		return nil, cut(0)
	}
	m := defaultModel()
	m.kind, m.removeExtra, m.byteFallback = modelBPE, false, true
	for at := 4; at < len(file); {
		if len(file)-at < 8 || len(m.pieces) == maxPieces {
			return nil, cut(at)
		}
		score, n := binary.LittleEndian.Uint32(file[at:]), binary.LittleEndian.Uint32(file[at+4:])
		if at += 8; n > maxPieceBytes || int(n) > len(file)-at {
			return nil, cut(at)
		}
		p := spPiece{text: string(file[at : at+int(n)]), score: math.Float32frombits(score), kind: pieceNormal}
		switch id := len(m.pieces); {
		case id == 0:
			p.kind = pieceUnknown
		case id == 1 || id == 2:
			p.kind, p.text = pieceControl, strings.TrimSpace(p.text)
		case id < 259:
			p.kind = pieceByte
		default:
			p.text = strings.ReplaceAll(p.text, " ", spaceMark)
		}
		m.pieces = append(m.pieces, p)
		at += int(n)
	}
	s, err := newSentencePiece(&m)
	if err != nil {
		return nil, modelError(name, err.Error())
	}
	return s, nil
}

// ParseAny reads a tokenizer.json, a .model or a tokenizer.bin, whichever the file is.
func ParseAny(file []byte, name string) (Tokenizer, error) {
	if start := bytes.TrimLeft(file, " \t\r\n"); len(start) == 0 || start[0] == '{' {
		return Parse(file, name)
	}
	if len(file) > 4 && file[0] == 1<<3|2 { // the first field of a .model is a piece; no longest piece has such a length
		if s, err := ParseModel(file, name); err == nil || !strings.HasSuffix(name, ".bin") {
			return concrete(s, err)
		}
	}
	if strings.HasSuffix(name, ".model") {
		return concrete(ParseModel(file, name))
	}
	return concrete(ParseBinary(file, name))
}

// concrete keeps a nil *SentencePiece from becoming a Tokenizer that is not nil.
func concrete(s *SentencePiece, err error) (Tokenizer, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
