package eval

import (
	"fmt"

	"mmfree/data/tasks"
	"mmfree/data/tokenizer"
)

// BOS says whether contexts begin with the tokenizer's special tokens.
type BOS string

// Choices of BOS. Results of 2024 and before follow BOSNone, whatever the tokenizer's default.
const (
	BOSNone      BOS = "none"
	BOSTokenizer BOS = "tokenizer"
)

// Coder cuts texts into what a model reads.
type Coder struct {
	Tokenizer tokenizer.Tokenizer
	BOS       BOS
	Prefix    int32 // stands before a text that has no context
	MaxLength int   // tokens that the model reads at most
}

// encode returns the ids of a text with the special tokens round it that Coder asks for.
func (c *Coder) encode(text string) ([]int32, error) {
	if c.BOS == BOSTokenizer {
		return c.Tokenizer.EncodeSpecial(nil, []byte(text))
	}
	return c.Tokenizer.Encode(nil, []byte(text))
}

// Pair returns the sequence that scores a continuation behind a context. The continuation's tokens are those of both
// texts together behind as many as the context alone has; white space at the context's end counts with the
// continuation. Longer sequences lose tokens from the front. Source: api/model.py, models/huggingface.py.
func (c *Coder) Pair(r tasks.Request) (Sequence, error) {
	context, space := tasks.SplitTrailingSpace(r.Context)
	continuation := space + r.Continuation
	var before, behind []int32
	if context == "" {
		ids, err := c.Tokenizer.Encode(nil, []byte(continuation))
		if err != nil {
			return Sequence{}, err
		}
		before, behind = []int32{c.Prefix}, ids
		if len(ids) > 0 && ids[0] == c.Prefix {
			before, behind = ids[:1], ids[1:]
		}
	} else {
		whole, err := c.encode(context + continuation)
		if err != nil {
			return Sequence{}, err
		}
		alone, err := c.encode(context)
		if err != nil {
			return Sequence{}, err
		}
		n := min(len(alone), len(whole))
		before, behind = whole[:n], whole[n:]
	}
	return c.cut(before, behind)
}

// cut makes a sequence of what is read and what is scored.
func (c *Coder) cut(before, behind []int32) (Sequence, error) {
	switch {
	case len(behind) == 0:
		return Sequence{}, &Error{"a continuation", "has no tokens of its own", "leave the item out"}
	case len(behind) > c.MaxLength:
		return Sequence{}, &Error{"a continuation", fmt.Sprintf("of %d tokens is longer than the model reads, %d", len(behind), c.MaxLength), "raise --window"}
	}
	ids := append(append(make([]int32, 0, len(before)+len(behind)), before...), behind...)
	if long := len(ids) - (c.MaxLength + 1); long > 0 {
		ids = ids[long:]
	}
	ids = ids[:len(ids)-1]
	return Sequence{IDs: ids, From: len(ids) - len(behind), Targets: behind}, nil
}
