package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Text is counted in blocks, the same ones whatever the number of threads, and blocks are added up in their order: so
// it does not depend on threads which words are forgotten where memory is short.
const trainBlockBytes = 1 << 20

const defaultWordBytes = 32 << 20

// trainBlock is some texts in a row.
type trainBlock struct {
	text   []byte
	ends   []int // of the texts in it
	words  []string
	counts []int64
	index  map[string]int32
}

// wordCounts says how often each word occurs.
type wordCounts struct {
	words     []string // in the order of their first occurrence
	counts    []int64
	index     map[string]int32
	bytes     int // of words
	limit     int
	forgotten int64
}

func newWordCounts(limit int) wordCounts {
	if limit == 0 {
		limit = defaultWordBytes
	}
	return wordCounts{index: map[string]int32{}, limit: limit}
}

// Add counts the words of a text: a document, or as much of one as is at hand. What is added in one call is split as one
// text, except that a text above a mebibyte is cut where a line ends and a letter follows, or else between two words,
// and only where a mebibyte has neither, between two characters. text is not kept.
func (t *Trainer) Add(text []byte) {
	t.bytes += int64(len(text))
	for len(text) > 0 {
		n := len(text)
		if n > trainBlockBytes {
			n = safeCut(text[:trainBlockBytes+1])
		}
		t.add(text[:n])
		text = text[n:]
	}
}

func (t *Trainer) add(text []byte) {
	if len(t.blocks) == 0 || len(t.blocks[len(t.blocks)-1].text) >= trainBlockBytes {
		if len(t.blocks) >= max(1, t.options.Threads) {
			t.flush()
		}
		b := &trainBlock{index: map[string]int32{}}
		if n := len(t.free); n > 0 {
			b, t.free = t.free[n-1], t.free[:n-1]
		}
		t.blocks = append(t.blocks, b)
	}
	b := t.blocks[len(t.blocks)-1]
	b.text = append(b.text, text...)
	b.ends = append(b.ends, len(b.text))
}

// safeCut returns where to cut text, in front of its last byte: behind the last line end with text on its line in front
// and a letter behind; all known patterns end a word there in any case. Else in front of a space between letters.
func safeCut(text []byte) int {
	isLetter := func(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
	space := 0
	for at := len(text) - 1; at > 1; at-- {
		switch {
		case text[at-1] == '\n' && isLetter(text[at]) && text[at-2] > ' ' && text[at-2] < utf8.RuneSelf:
			return at
		case space == 0 && text[at-1] == ' ' && isLetter(text[at]) && isLetter(text[at-2]):
			space = at - 1
		}
	}
	if space > 0 {
		return space
	}
	at := len(text) - 1
	for back := 0; back < utf8.UTFMax && at > 1 && !utf8.RuneStart(text[at]); back++ {
		at--
	}
	return at
}

// flush counts the blocks that wait, side by side, and adds them up.
func (t *Trainer) flush() {
	var wait sync.WaitGroup
	for _, b := range t.blocks {
		wait.Add(1)
		go func() {
			defer wait.Done()
			b.count(t.next)
		}()
	}
	wait.Wait()
	for _, b := range t.blocks {
		t.words.add(b)
		b.reset()
	}
	t.free, t.blocks = append(t.free, t.blocks...), t.blocks[:0]
}

func (b *trainBlock) reset() {
	clear(b.index)
	b.text, b.ends, b.words, b.counts = b.text[:0], b.ends[:0], b.words[:0], b.counts[:0]
}

func (b *trainBlock) count(next func(text []byte) int) {
	start := 0
	for _, end := range b.ends {
		text := b.text[start:end]
		for len(text) > 0 {
			n := next(text)
			for word := text[:n]; len(word) > 0; {
				cut := min(len(word), maxWord)
				b.seen(word[:cut])
				word = word[cut:]
			}
			text = text[n:]
		}
		start = end
	}
}

func (b *trainBlock) seen(word []byte) {
	if i, ok := b.index[string(word)]; ok {
		b.counts[i]++
		return
	}
	w := string(word)
	b.index[w] = int32(len(b.words))
	b.words, b.counts = append(b.words, w), append(b.counts, 1)
}

func (c *wordCounts) add(b *trainBlock) {
	for i, w := range b.words {
		if at, ok := c.index[w]; ok {
			c.counts[at] += b.counts[i]
			continue
		}
		c.index[w] = int32(len(c.words))
		c.words, c.counts = append(c.words, w), append(c.counts, b.counts[i])
		c.bytes += len(w)
	}
	if c.bytes > c.limit {
		c.forget()
	}
}

// forget drops the rarest words until the rest is at most half of what is allowed. Of words that occur equally often,
// those go that come later in the order of bytes.
func (c *wordCounts) forget() {
	order := make([]int32, len(c.words))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c.counts[a] != c.counts[b] {
			if c.counts[a] > c.counts[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(c.words[a], c.words[b])
	})
	kept, bytes := 0, 0
	for kept < len(order) && bytes+len(c.words[order[kept]]) <= c.limit/2 {
		bytes += len(c.words[order[kept]])
		kept++
	}
	for _, i := range order[kept:] {
		c.forgotten += c.counts[i]
	}
	words, counts := make([]string, kept), make([]int64, kept)
	clear(c.index)
	for at, i := range order[:kept] {
		words[at], counts[at] = c.words[i], c.counts[i]
		c.index[words[at]] = int32(at)
	}
	c.words, c.counts, c.bytes = words, counts, bytes
}
