package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// A cache of a teacher's targets is a head and then records of equal size, one a sequence of the run, in the order in which
// the run meets them:
//
//	head    "mmfree-targets-1" | length uint32 | JSON of cacheIdentity
//	record  CRC-32C of the rest uint32 | CRC-32C of the sequence's ids uint32 | [T, K] ids int32 | [T, K] log-probabilities
//	        float32 | [T] log-probability of all others float32
//
// all little-endian. A record that a crash cut short is made again; a damaged one is passed over.
const cacheMagic = "mmfree-targets-1"

const maxCacheHead = 1 << 16

// cacheIdentity is all that the records depend on.
type cacheIdentity struct {
	Teacher     string  `json:"teacher_sha256"` // of its values
	Corpus      string  `json:"corpus_sha256"`
	Replay      string  `json:"replay_sha256"`
	ReplayShare float64 `json:"replay_share"`
	Tokenizer   string  `json:"tokenizer_sha256"`
	ValFraction float64 `json:"val_fraction"`
	Seed        uint64  `json:"seed"`
	SeqLen      int     `json:"seq_len"`
	Carry       int     `json:"carry_windows,omitempty"` // and the sequences of a step, which the order then depends on; 0: not carried
	Rows        int     `json:"rows,omitempty"`
	TopK        int     `json:"top_k"`
	Temperature float64 `json:"temperature"`
}

// identity says what the run's targets depend on.
func (x *teacher) identity(t *run, p *pack.Model) cacheIdentity {
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	id := cacheIdentity{
		Teacher: digest(p), Corpus: t.text.sha256, Replay: t.text.replaySHA256, ReplayShare: t.text.replayShare,
		Tokenizer: sum(t.tokenizerJSON), ValFraction: t.Config.Data.ValFraction, Seed: t.Config.Train.Seed,
		SeqLen: x.T, TopK: x.targets.K, Temperature: x.config.Temperature,
	}
	if carry := t.Config.Data.Carry; carry > 1 {
		id.Carry, id.Rows = carry, t.Config.rows()
	}
	return id
}

// digest is the SHA-256 of a model's configuration and values.
func digest(p *pack.Model) string {
	h := sha256.New() // never fails to write
	config, err := json.Marshal(p.Config)
	if err == nil {
		h.Write(config)
	}
	var b []byte
	for _, t := range p.Tensors {
		b = append(b[:0], t.Name...)
		if t.Kind == spec.Ternary {
			m := p.Matrix(t.Name)
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(m.Scale))
			for _, w := range m.Words {
				b = binary.LittleEndian.AppendUint16(b, w)
			}
		} else {
			b = appendFloats(b, p.Dense(t.Name))
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// record is what the teacher says about one sequence: [T, K], [T, K] and [T].
type record struct {
	ids           []int32
	logP, logRest []float32
}

// teacherCache is an open cache.
type teacherCache struct {
	path    string
	id      cacheIdentity
	warning string

	data   []byte // of the file when it was opened
	unload func() error
	begin  int // of the first record
	have   uint64
	next   uint64 // number of the record that is appended next
	log    *durable.Log
	buf    []byte
}

func (c *teacherCache) size() int { return 8 + 4*c.id.SeqLen*(2*c.id.TopK+1) }

// openTeacherCache opens a cache, or begins one where there is none.
func openTeacherCache(fsys durable.FS, path string, id cacheIdentity) (*teacherCache, error) {
	if int64(id.SeqLen)*int64(2*id.TopK+1) > 1<<28 {
		return nil, &ConfigError{Key: "distill.top_k", Problem: fmt.Sprintf("%d tokens of %d positions are more than a gigabyte a sequence", id.TopK, id.SeqLen), Fix: "lower it"}
	}
	c := &teacherCache{path: path, id: id}
	var err error
	if c.data, c.unload, err = fsys.Map(path); errors.Is(err, fs.ErrNotExist) {
		if err := fsys.MkdirAll(filepath.Dir(path)); err != nil {
			return nil, &durable.WriteError{Path: filepath.Dir(path), Op: "make", Err: err}
		}
		head, err := cacheHead(id)
		if err != nil {
			return nil, err
		}
		if err := durable.WriteFile(fsys, path, durable.Bytes(head)); err != nil {
			return nil, err
		}
		c.data, c.unload, err = fsys.Map(path)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, &InputError{Source: path, Problem: "cannot be read: " + durable.Cause(err).Error(), Fix: "name another distill.cache"}
	}
	fail := func(err error) (*teacherCache, error) { return nil, errors.Join(err, c.unload()) }
	theirs, begin, err := parseCacheHead(c.data)
	if err != nil {
		return fail(&InputError{Source: path, Problem: err.Error(), Fix: "remove it, or name another distill.cache"})
	}
	if theirs != id {
		return fail(&InputError{
			Source: path, Problem: "was made by another teacher, or for another text, order, length, top_k or temperature",
			Fix: "name another distill.cache, or remove this one",
		})
	}
	c.begin = begin
	c.have = uint64((len(c.data) - begin) / c.size())
	c.next = c.have
	if whole := begin + int(c.have)*c.size(); whole < len(c.data) {
		err := durable.WriteFile(fsys, path, durable.Bytes(c.data[:whole]))
		if err != nil {
			return fail(err)
		}
		c.warning = path + ": the last record was cut short and is made again"
	}
	if c.log, err = durable.OpenLog(fsys, path); err != nil {
		return fail(err)
	}
	return c, nil
}

func cacheHead(id cacheIdentity) ([]byte, error) {
	text, err := json.Marshal(id)
	return append(binary.LittleEndian.AppendUint32([]byte(cacheMagic), uint32(len(text))), text...), err
}

// parseCacheHead reads the head of a cache and returns where its records begin.
func parseCacheHead(b []byte) (id cacheIdentity, begin int, err error) {
	const fixed = len(cacheMagic) + 4
	if len(b) < fixed || string(b[:len(cacheMagic)]) != cacheMagic {
		return id, 0, errors.New("is no cache of a teacher's targets")
	}
	n := binary.LittleEndian.Uint32(b[len(cacheMagic):])
	if n > maxCacheHead || int(n) > len(b)-fixed {
		return id, 0, fmt.Errorf("offset %d: a head of %d bytes in a file of %d", len(cacheMagic), n, len(b))
	}
	if err := json.Unmarshal(b[fixed:fixed+int(n)], &id); err != nil {
		return id, 0, fmt.Errorf("offset %d: %w", fixed, err)
	}
	return id, fixed + int(n), nil
}

// read fills r with record number k, of the sequence ids. It reports false where there is none, or a damaged one.
func (c *teacherCache) read(k uint64, ids []int32, r record) (bool, error) {
	if k >= c.have {
		return false, nil
	}
	b := c.data[c.begin+int(k)*c.size():][:c.size()]
	if crc(b[4:]) != binary.LittleEndian.Uint32(b) {
		return false, nil
	}
	if c.sum(ids) != binary.LittleEndian.Uint32(b[4:]) {
		return false, &InputError{
			Source: c.path, Problem: fmt.Sprintf("record %d is of another sequence", k), Fix: "remove it, or name another distill.cache",
		}
	}
	b = b[8:]
	for i := range r.ids {
		r.ids[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	b = takeFloats(r.logP, b[4*len(r.ids):])
	takeFloats(r.logRest, b)
	return true, nil
}

// append writes record number k, unless it is not the next: a run that began before the cache did has nothing to add to it.
func (c *teacherCache) append(k uint64, ids []int32, r record) error {
	if k != c.next {
		return nil
	}
	c.buf = append(c.buf[:0], 0, 0, 0, 0)
	c.buf = binary.LittleEndian.AppendUint32(c.buf, c.sum(ids))
	for _, id := range r.ids {
		c.buf = binary.LittleEndian.AppendUint32(c.buf, uint32(id))
	}
	c.buf = appendFloats(appendFloats(c.buf, r.logP), r.logRest)
	binary.LittleEndian.PutUint32(c.buf, crc(c.buf[4:]))
	c.next++
	return c.log.Append(c.buf)
}

func (c *teacherCache) close() error { return errors.Join(c.log.Close(), c.unload()) }

// sum is the checksum of a sequence.
func (c *teacherCache) sum(ids []int32) uint32 {
	b := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return crc(b)
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func appendFloats(b []byte, values []float32) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func takeFloats(dst []float32, b []byte) (rest []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return b[4*len(dst):]
}
