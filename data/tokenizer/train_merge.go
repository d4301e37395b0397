package tokenizer

import "container/heap"

// bpeTraining learns merges from counted words. Each step merges the pair of neighbours that occurs most often, counted
// with the words' counts; of equals the one whose left id, then whose right id is lowest. Source: Sennrich, Haddow and
// Birch 2016, algorithm 1, over bytes as in GPT-2; order of ids and ties as the trainer of Hugging Face's tokenizers
// (models/bpe/trainer.rs) has them.
type bpeTraining struct {
	tokens []string
	ids    map[string]int32 // of tokens
	merges [][2]string

	symbols []int32 // of all words in a row, each word at its front part
	starts  []int   // of each word in symbols
	lengths []int32 // symbols left of each word
	counts  []int64 // of each word
	textual int64   // bytes of all occurrences

	pairs map[uint64]int32 // left<<32 | right: index into the three below
	keys  []uint64
	freq  []int64
	where [][]int32 // words that may hold the pair; a word that no longer does is passed over
	queue pairQueue
	grown []int32 // pairs whose count rose in the present merge, each once
	risen []bool  // by pair: it is in grown
}

func newBPETraining(words *wordCounts, o TrainOptions) *bpeTraining {
	r := &bpeTraining{ids: map[string]int32{}, pairs: map[uint64]int32{}, counts: words.counts}
	for _, s := range o.Special {
		r.token(s)
	}
	var byteID [256]int32
	for _, b := range bytesByChar() {
		byteID[b] = r.token(string(byteChars[b]))
	}
	r.symbols = make([]int32, 0, words.bytes)
	for i, w := range words.words {
		r.starts = append(r.starts, len(r.symbols))
		r.lengths = append(r.lengths, int32(len(w)))
		r.textual += int64(len(w)) * words.counts[i]
		for _, b := range []byte(w) {
			r.symbols = append(r.symbols, byteID[b])
		}
	}
	for w := range r.starts {
		symbols := r.word(w)
		for i := 1; i < len(symbols); i++ {
			r.change(symbols[i-1], symbols[i], r.counts[w], int32(w))
		}
	}
	r.enqueue()
	return r
}

// bytesByChar returns the bytes in the order of the characters that stand for them.
func bytesByChar() []byte {
	alphabet := byteChars
	at := map[rune]byte{}
	var last rune
	for b, r := range alphabet {
		at[r], last = byte(b), max(last, r)
	}
	var order []byte
	for r := rune(0); r <= last; r++ {
		if b, ok := at[r]; ok {
			order = append(order, b)
		}
	}
	return order
}

func (r *bpeTraining) token(s string) int32 {
	id := int32(len(r.tokens))
	r.ids[s] = id
	r.tokens = append(r.tokens, s)
	return id
}

func (r *bpeTraining) word(w int) []int32 { return r.symbols[r.starts[w]:][:r.lengths[w]] }

// change adds n to the count of a pair in word w.
func (r *bpeTraining) change(left, right int32, n int64, w int32) {
	key := uint64(left)<<32 | uint64(right)
	p, ok := r.pairs[key]
	if !ok {
		p = int32(len(r.keys))
		r.pairs[key] = p
		r.keys, r.freq = append(r.keys, key), append(r.freq, 0)
		r.where, r.risen = append(r.where, nil), append(r.risen, false)
	}
	r.freq[p] += n
	if n <= 0 {
		return
	}
	if at := r.where[p]; len(at) == 0 || at[len(at)-1] != w {
		r.where[p] = append(at, w)
	}
	if !r.risen[p] {
		r.risen[p] = true
		r.grown = append(r.grown, p)
	}
}

// enqueue enters the pairs whose counts rose. An older entry of one may be left; it is put right when it comes up.
func (r *bpeTraining) enqueue() {
	for _, p := range r.grown {
		r.risen[p] = false
		if n := r.freq[p]; n > 0 {
			heap.Push(&r.queue, pairCount{n, r.keys[p], p})
		}
	}
	r.grown = r.grown[:0]
}

func (r *bpeTraining) run(o TrainOptions) {
	least := int64(max(1, o.MinFrequency))
	for len(r.tokens) < o.VocabSize && len(r.queue) > 0 {
		top := r.queue[0]
		if n := r.freq[top.pair]; n != top.n { // merges since have changed it
			if r.queue[0].n = n; n < least {
				heap.Pop(&r.queue)
			} else {
				heap.Fix(&r.queue, 0)
			}
			continue
		}
		if top.n < least {
			return
		}
		heap.Pop(&r.queue)
		left, right := int32(top.key>>32), int32(uint32(top.key))
		product := r.tokens[left] + r.tokens[right]
		id, known := r.ids[product]
		switch {
		case known && int(id) < len(o.Special):
			continue // text that spells a special token does not become one
		case !known:
			id = r.token(product)
		}
		r.merges = append(r.merges, [2]string{r.tokens[left], r.tokens[right]})
		r.merge(top.pair, left, right, id)
	}
}

// merge replaces the pair in all words.
func (r *bpeTraining) merge(p, left, right, id int32) {
	words := r.where[p]
	r.where[p] = nil
	for _, w := range words {
		symbols, n := r.word(int(w)), r.counts[w]
		to := 0
		for from := 0; from < len(symbols); from++ {
			s := symbols[from]
			if s != left || from+1 == len(symbols) || symbols[from+1] != right {
				symbols[to] = s
				to++
				continue
			}
			r.change(left, right, -n, w)
			if to > 0 {
				r.change(symbols[to-1], left, -n, w)
				r.change(symbols[to-1], id, n, w)
			}
			if from+2 < len(symbols) {
				r.change(right, symbols[from+2], -n, w)
				r.change(id, symbols[from+2], n, w)
			}
			symbols[to] = id
			to++
			from++
		}
		r.lengths[w] = int32(to)
	}
	r.enqueue()
}

func (r *bpeTraining) bytesPerToken() float64 {
	var tokens int64
	for w, n := range r.counts {
		tokens += n * int64(r.lengths[w])
	}
	if tokens == 0 {
		return 0
	}
	return float64(r.textual) / float64(tokens)
}

// pairCount is a pair as it was counted when it entered the queue.
type pairCount struct {
	n    int64
	key  uint64
	pair int32
}

// pairQueue has the pair to merge next in front.
type pairQueue []pairCount

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	if q[i].n != q[j].n {
		return q[i].n > q[j].n
	}
	return q[i].key < q[j].key
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push appends; it is called by package heap.
func (q *pairQueue) Push(x any) { *q = append(*q, x.(pairCount)) }

// Pop removes the last; it is called by package heap.
func (q *pairQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
