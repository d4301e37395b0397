package tokenizer

import "bytes"

// Stream decodes ids one by one into the text that decoding all of them at once gives: a vocabulary that puts a space
// before a text takes it away only at the beginning.
type Stream struct {
	tokenizer Tokenizer
	ids       []int32 // the last few
	old, new  []byte
}

// streamContext is how many ids are decoded again before each new one.
const streamContext = 8

// NewStream begins behind the ids of before, which may be none.
func NewStream(t Tokenizer, before []int32) *Stream {
	s := &Stream{tokenizer: t}
	s.ids = append(s.ids, before[max(0, len(before)-streamContext):]...)
	return s
}

// Next appends the text that id adds.
func (s *Stream) Next(dst []byte, id int32) ([]byte, error) {
	var err error
	if s.old, err = s.tokenizer.Decode(s.old[:0], s.ids); err != nil {
		return dst, err
	}
	s.ids = append(s.ids, id)
	if s.new, err = s.tokenizer.Decode(s.new[:0], s.ids); err != nil {
		return dst, err
	}
	if len(s.ids) > streamContext {
		s.ids = append(s.ids[:0], s.ids[len(s.ids)-streamContext:]...)
	}
	return append(dst, bytes.TrimPrefix(s.new, s.old)...), nil
}
