package tokenizer

import "slices"

const bytesName = "bytes"

// Bytes has one id for each byte value, namely the value. It takes any text, and no vocabulary has to be chosen.
type Bytes struct{}

// Name returns "bytes".
func (Bytes) Name() string { return bytesName }

// VocabSize returns 256.
func (Bytes) VocabSize() int { return 256 }

// Encode appends the bytes of text to dst. It never fails.
func (Bytes) Encode(dst []int32, text []byte) ([]int32, error) {
	dst = slices.Grow(dst, len(text))
	for _, c := range text {
		dst = append(dst, int32(c))
	}
	return dst, nil
}

// EncodeSpecial is Encode: no id has another meaning.
func (b Bytes) EncodeSpecial(dst []int32, text []byte) ([]int32, error) { return b.Encode(dst, text) }

// Specials returns none.
func (Bytes) Specials() Specials { return noSpecials() }

// Decode appends the bytes that ids name to dst.
func (Bytes) Decode(dst []byte, ids []int32) ([]byte, error) {
	dst = slices.Grow(dst, len(ids))
	for i, id := range ids {
		if uint32(id) > 255 {
			return dst, outOfRange(bytesName, ids, i, 256)
		}
		dst = append(dst, byte(id))
	}
	return dst, nil
}

// JSON returns the byte-level BPE without merges that gives the same ids.
func (Bytes) JSON() ([]byte, error) { return bytesJSON() }
