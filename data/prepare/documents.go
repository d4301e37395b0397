package prepare

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"math"

	"mmfree/data/corpus"
)

// Parts of a set.
const (
	partTrain = iota
	partVal
	parts
)

// piece is a kept document, or a part of one that is longer than corpus.PieceBytes.
type piece struct {
	text        []byte // until the next call
	sum         [sha256.Size]byte
	number      int64 // among the pieces kept
	part        int
	source      int
	at          int64 // as corpus.Doc.Start
	first, last bool
	start, end  int // of text in its job
}

// documents gives the pieces of the documents that are kept. A document's sum is the SHA-256 of its text; of one that is
// longer than a piece, of its pieces' sums. What is chosen by sum goes by the first piece's, so that it is known when the
// document begins.
type documents struct {
	reader *corpus.Reader
	dedup  bool
	val    float64

	seen  map[key]struct{} // documents
	long  map[key]struct{} // first pieces of documents in several
	again bits             // documents of the source, by number, that came before

	source, pass int
	number       int // of the document in this pass over the source
	pieces       int64
	part         int
	open         verdict   // on the document that is being read
	whole        hash.Hash // of the sums of its pieces
	spool        *spool    // its pieces, while nobody knows whether it came before
	counts       counts
}

// counts says what became of the documents. Read is all that a Reader gave out, repeated passes included: those kept and
// those of the other three.
type counts struct {
	Read       int64 `json:"documents_read"`
	Duplicates int64 `json:"duplicates"`
	Unchosen   int64 `json:"unchosen"`         // left out by the fraction of a weight
	HeldAgain  int64 `json:"held_out_repeats"` // second and later readings of documents that are held out
}

type verdict int

const (
	keep verdict = iota
	drop
	wait // in the spool
)

// key is the first half of a sum: two of 2⁴⁰ documents share one with a chance of 2⁻⁴⁹.
type key [sha256.Size / 2]byte

func newDocuments(r *corpus.Reader, o *Options) *documents {
	return &documents{reader: r, dedup: o.Dedup, val: o.ValFraction, seen: map[key]struct{}{}, long: map[key]struct{}{}, source: -1, whole: sha256.New()}
}

// close releases what is on disk.
func (d *documents) close() error {
	if d.spool == nil {
		return nil
	}
	s := d.spool
	d.spool = nil
	return s.close()
}

// next returns the next piece, or io.EOF.
func (d *documents) next() (piece, error) {
	for {
		if d.spool != nil && d.spool.reading {
			p, err := d.spool.next()
			if errors.Is(err, io.EOF) {
				if err = d.close(); err == nil {
					continue
				}
			}
			if err != nil {
				return piece{}, err
			}
			return d.give(p), nil
		}
		doc, err := d.reader.Next()
		if err != nil {
			return piece{}, err
		}
		p := piece{text: doc.Text, sum: sha256.Sum256(doc.Text), source: doc.Source, at: doc.Start, first: doc.First, last: doc.Last}
		if doc.First {
			d.begin(&doc, &p)
		}
		if !doc.First || !doc.Last {
			d.whole.Write(p.sum[:])
		}
		if d.open == wait {
			if err := d.spool.add(&p); err != nil {
				return piece{}, err
			}
		}
		if doc.Last && !doc.First {
			if err := d.end(doc.Pass); err != nil {
				return piece{}, err
			}
		}
		if d.open == keep {
			return d.give(p), nil
		}
	}
}

func (d *documents) give(p piece) piece {
	p.part, p.number = d.part, d.pieces
	d.pieces++
	return p
}

// begin decides on a document by its first piece.
func (d *documents) begin(doc *corpus.Doc, p *piece) {
	if doc.Source != d.source {
		d.again = d.again[:0]
	}
	if doc.Source != d.source || doc.Pass != d.pass {
		d.source, d.pass, d.number = doc.Source, doc.Pass, 0
	}
	number := d.number
	d.number++
	d.counts.Read++
	d.whole.Reset()
	d.open, d.part = keep, partTrain
	if share(p.sum[:8]) < d.val {
		d.part = partVal
	}
	switch {
	case doc.Share < 1 && share(p.sum[8:16]) >= doc.Share:
		d.open = drop
		d.counts.Unchosen++
	case d.dedup && d.cameBefore(doc, p, number):
		d.open = drop
		d.counts.Duplicates++
	case doc.Pass > 0 && d.part == partVal:
		d.open = drop
		d.counts.HeldAgain++
	}
	if d.spool != nil {
		d.open = wait
	}
}

// cameBefore tells whether the document is a duplicate. Where that cannot be known yet, it opens a spool.
func (d *documents) cameBefore(doc *corpus.Doc, p *piece, number int) bool {
	if doc.Pass > 0 {
		return d.again.get(number) // as in the first pass
	}
	k := key(p.sum[:len(key{})])
	if doc.Last {
		if !remember(d.seen, k) {
			return false
		}
		d.again.set(number)
		return true
	}
	if remember(d.long, k) { // as long as no other document begins so, this one is new
		d.spool = &spool{}
	}
	return false
}

// remember adds k and tells whether it was there.
func remember(m map[key]struct{}, k key) bool {
	if _, ok := m[k]; ok {
		return true
	}
	m[k] = struct{}{}
	return false
}

// end decides on a document of several pieces when the last one is read.
func (d *documents) end(pass int) error {
	if !d.dedup || pass > 0 || d.open == drop {
		return nil
	}
	before := remember(d.seen, key(d.whole.Sum(nil)[:len(key{})]))
	if d.open != wait {
		return nil
	}
	d.open = drop // the piece at hand is in the spool
	if !before {
		return d.spool.rewind()
	}
	d.again.set(d.number - 1)
	d.counts.Duplicates++
	return d.close()
}

// share maps eight bytes of a sum to [0, 1).
func share(b []byte) float64 { return float64(binary.BigEndian.Uint64(b)>>11) * math.Exp2(-53) }

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(i int) {
	for i/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b bits) get(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }
