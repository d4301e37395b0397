package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Types of pieces, as sentencepiece_model.proto and GGUF files number them.
const (
	pieceNormal = 1 + iota
	pieceUnknown
	pieceControl
	pieceUser
	pieceUnused
	pieceByte
)

// Kinds of models, as sentencepiece_model.proto numbers them.
const (
	modelUnigram = 1
	modelBPE     = 2
)

// spaceMark is U+2581, which stands for a space in pieces.
const (
	spaceMark = "\u2581"
	spaceRune = '\u2581'
)

// spPiece is one entry of a SentencePiece vocabulary; its place is its id.
type spPiece struct {
	text  string
	score float32
	kind  int
}

// spModel is what a SentencePiece .model file says that changes ids or text. Defaults are those of the proto file.
type spModel struct {
	pieces         []spPiece
	kind           int
	byteFallback   bool
	spaceAtEnd     bool // treat_whitespace_as_suffix
	unkSurface     string
	bos, eos, pad  string // names of pieces
	charsmap       []byte
	addDummyPrefix bool
	removeExtra    bool // remove_extra_whitespaces
	escape         bool // escape_whitespaces
	rewrites       bool // has a denormalizer
}

func defaultModel() spModel {
	return spModel{
		kind: modelUnigram, unkSurface: " \u2047 ", bos: "<s>", eos: "</s>", pad: "<pad>",
		addDummyPrefix: true, removeExtra: true, escape: true,
	}
}

const (
	maxPieces     = 1 << 21 // eight times the largest vocabulary published
	maxPieceBytes = 1 << 12
	maxFile       = 256 << 20
)

// field is one field of a protocol buffer message: bits for numbers, bytes for what has a length.
type field struct {
	number int
	bits   uint64
	bytes  []byte
}

// errCut says that a message ends inside a field.
var errCut = errors.New("ends inside a field")

// eachField calls f for every field of a message. Groups, which the proto file does not use, are refused.
// Source: protobuf.dev/programming-guides/encoding.
func eachField(message []byte, f func(field) error) error {
	for at := 0; at < len(message); {
		tag, n := binary.Uvarint(message[at:])
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return fmt.Errorf("at %d: not a field", at)
		}
		begin := at
		at += n
		v := field{number: int(tag >> 3)}
		size := 0
		switch tag & 7 {
		case 0:
			if v.bits, size = binary.Uvarint(message[at:]); size <= 0 {
				return fmt.Errorf("at %d: %w", begin, errCut)
			}
		case 1:
			if size = 8; len(message)-at < size {
				return fmt.Errorf("at %d: %w", begin, errCut)
			}
			v.bits = binary.LittleEndian.Uint64(message[at:])
		case 5:
			if size = 4; len(message)-at < size {
				return fmt.Errorf("at %d: %w", begin, errCut)
			}
			v.bits = uint64(binary.LittleEndian.Uint32(message[at:]))
		case 2:
			length, n := binary.Uvarint(message[at:])
			if n <= 0 || length > uint64(len(message)-at-n) {
				return fmt.Errorf("at %d: %w", begin, errCut)
			}
			v.bytes = message[at+n : at+n+int(length)]
			size = n + int(length)
		default:
			return fmt.Errorf("at %d: wire type %d is not known", begin, tag&7)
		}
		at += size
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// readModel reads a .model file. Source: sentencepiece_model.proto of github.com/google/sentencepiece.
func readModel(file []byte) (*spModel, error) {
	if len(file) > maxFile {
		return nil, fmt.Errorf("%d bytes are more than a .model file of %d", len(file), maxFile)
	}
	m := defaultModel()
	err := eachField(file, func(v field) error {
		switch v.number {
		case 1:
			p, err := readPiece(v.bytes)
			if err != nil {
				return fmt.Errorf("piece %d: %w", len(m.pieces), err)
			}
			if len(m.pieces) == maxPieces {
				return fmt.Errorf("more than %d pieces", maxPieces)
			}
			m.pieces = append(m.pieces, p)
		case 2:
			return m.readTrainer(v.bytes)
		case 3:
			return m.readNormalizer(v.bytes)
		case 5:
			return eachField(v.bytes, func(v field) error {
				m.rewrites = m.rewrites || v.number == 2 && len(v.bytes) > 0
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &m, nil
}

func readPiece(message []byte) (spPiece, error) {
	p := spPiece{kind: pieceNormal}
	err := eachField(message, func(v field) error {
		switch v.number {
		case 1:
			p.text = string(v.bytes)
		case 2:
			p.score = math.Float32frombits(uint32(v.bits))
		case 3:
			p.kind = int(min(v.bits, math.MaxInt32))
		}
		return nil
	})
	return p, err
}

func (m *spModel) readTrainer(message []byte) error {
	return eachField(message, func(v field) error {
		switch v.number {
		case 3:
			m.kind = int(min(v.bits, math.MaxInt32))
		case 24:
			m.spaceAtEnd = v.bits != 0
		case 35:
			m.byteFallback = v.bits != 0
		case 44:
			m.unkSurface = string(v.bytes)
		case 46:
			m.bos = string(v.bytes)
		case 47:
			m.eos = string(v.bytes)
		case 48:
			m.pad = string(v.bytes)
		}
		return nil
	})
}

func (m *spModel) readNormalizer(message []byte) error {
	return eachField(message, func(v field) error {
		switch v.number {
		case 2:
			m.charsmap = v.bytes
		case 3:
			m.addDummyPrefix = v.bits != 0
		case 4:
			m.removeExtra = v.bits != 0
		case 5:
			m.escape = v.bits != 0
		}
		return nil
	})
}

// write makes a .model file of m, which readModel reads back.
func (m *spModel) write() []byte {
	var out, part []byte
	number := func(dst []byte, field int, v uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(field)<<3), v)
	}
	length := func(dst []byte, field int, v []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(dst, uint64(field)<<3|2), uint64(len(v))), v...)
	}
	truth := func(dst []byte, field int, v bool) []byte {
		if v {
			return number(dst, field, 1)
		}
		return number(dst, field, 0)
	}
	for _, p := range m.pieces {
		part = length(part[:0], 1, []byte(p.text))
		part = binary.LittleEndian.AppendUint32(binary.AppendUvarint(part, 2<<3|5), math.Float32bits(p.score))
		if p.kind != pieceNormal {
			part = number(part, 3, uint64(p.kind))
		}
		out = length(out, 1, part)
	}
	part = number(part[:0], 3, uint64(m.kind))
	part = number(part, 4, uint64(len(m.pieces)))
	part = truth(part, 24, m.spaceAtEnd)
	part = truth(part, 35, m.byteFallback)
	part = length(part, 44, []byte(m.unkSurface))
	part = length(part, 46, []byte(m.bos))
	part = length(part, 47, []byte(m.eos))
	part = length(part, 48, []byte(m.pad))
	out = length(out, 2, part)
	part = length(part[:0], 2, m.charsmap)
	part = truth(part, 3, m.addDummyPrefix)
	part = truth(part, 4, m.removeExtra)
	part = truth(part, 5, m.escape)
	return length(out, 3, part)
}
