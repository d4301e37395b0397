package tokenizer

import (
	"fmt"
	"unicode/utf8"

	"mmfree/data/tokenizer/split"
)

// MinTrainedVocab is the smallest vocabulary that can be trained: one token a byte.
const MinTrainedVocab = 256

const (
	maxTrainedVocab = 1 << 20
	maxSpecials     = 4096
	maxSpecialBytes = 1024
)

// trainPattern returns the pattern that a name stands for, or nothing.
func trainPattern(name string) string {
	switch name {
	case "", "gpt2":
		return split.GPT2
	case "llama3":
		return split.Llama3
	case "qwen2":
		return split.Qwen2
	}
	return ""
}

// TrainOptions says what vocabulary is wanted. Nothing in it but MemoryBytes can make two runs on one text differ in more
// than it says; Threads changes no byte.
type TrainOptions struct {
	VocabSize    int      // ids wanted, special tokens and the 256 bytes among them; fewer come out where the text has no more pairs
	MinFrequency int      // a pair that occurs less often is not merged; below 1 counts as 1
	Special      []string // tokens that stand for no text, which get the ids 0, 1, …
	PreTokenizer string   // gpt2, llama3 or qwen2: the patterns of package split; empty = gpt2
	Threads      int      // below 1 counts as 1
	// MemoryBytes bounds the text of the distinct words that are counted; 0 = 32 MiB, for which training needs about
	// ten times as much. Counts are exact until distinct words exceed it. Then the rarest are forgotten, as many as bring
	// them to half of it, and again later: Trained.Forgotten says how many occurrences that were.
	MemoryBytes int
}

// maxWord cuts longer words, so that the cost of a merge stays in proportion to the text: a file without a single space
// would be one word, which every merge walks.
const maxWord = 512

// Trainer counts the words of a corpus and makes a byte-level BPE vocabulary of them. Not for concurrent use; it runs
// Threads goroutines of its own inside its calls.
type Trainer struct {
	options TrainOptions
	pattern string
	next    func(text []byte) int // length of the first word of a text that is not empty
	blocks  []*trainBlock         // full ones that wait, and behind them the one that is filled
	free    []*trainBlock
	words   wordCounts
	bytes   int64
}

// NewTrainer checks the options.
func NewTrainer(o TrainOptions) (*Trainer, error) {
	t := &Trainer{options: o, pattern: trainPattern(o.PreTokenizer)}
	fault := func(fix, format string, args ...any) (*Trainer, error) {
		return nil, &Error{Source: "training a vocabulary", Offset: -1, Problem: fmt.Sprintf(format, args...), Fix: fix}
	}
	if t.pattern == "" {
		return fault("choose gpt2, llama3 or qwen2", "no such pre-tokenizer: %q", o.PreTokenizer)
	}
	if len(o.Special) > maxSpecials {
		return fault("name fewer", "%d special tokens are more than %d", len(o.Special), maxSpecials)
	}
	if least := MinTrainedVocab + len(o.Special); o.VocabSize < least || o.VocabSize > maxTrainedVocab {
		return fault(fmt.Sprintf("choose a whole number from %d to %d", least, maxTrainedVocab),
			"a vocabulary of %d tokens, where the bytes and the special tokens alone are %d", o.VocabSize, least)
	}
	if o.MemoryBytes < 0 {
		return fault("choose 0, or how many bytes of distinct words are kept", "the memory for words is %d bytes", o.MemoryBytes)
	}
	seen := map[string]bool{}
	for _, s := range o.Special {
		switch {
		case s == "" || len(s) > maxSpecialBytes || !utf8.ValidString(s):
			return fault(fmt.Sprintf("use UTF-8 text of at most %d bytes", maxSpecialBytes), "the special token %.40q cannot be used", s)
		case utf8.RuneCountInString(s) == 1:
			return fault("use a longer word, such as <s>", "the special token %q is a single character, which may stand for a byte", s)
		case seen[s]:
			return fault("name it once", "the special token %q is named twice", s)
		}
		seen[s] = true
	}
	splitter, err := split.New(t.pattern)
	if err != nil {
		return nil, err
	}
	t.next = func(text []byte) int {
		n, _ := splitter.Next(text)
		return n
	}
	t.words = newWordCounts(o.MemoryBytes)
	return t, nil
}

// Trained is a byte-level BPE vocabulary.
type Trained struct {
	Tokens []string    // by id: special tokens, bytes in the order of their characters, products of merges
	Merges [][2]string // in the order in which they were learned
	Bytes  int64       // of the text that was counted
	// BytesPerToken is the mean over the text: what encoding it text by text gives, as long as Forgotten is 0.
	BytesPerToken float64
	Words         int   // distinct words that were counted
	Forgotten     int64 // occurrences of words that were dropped to bound memory

	specials int
	pattern  string
}

// Train makes the vocabulary of everything that was added. It fails where that was nothing.
func (t *Trainer) Train() (*Trained, error) {
	t.flush()
	if t.bytes == 0 {
		return nil, &Error{
			Source: "training a vocabulary", Offset: -1, Problem: "no text to learn from",
			Fix: "give a corpus that is not empty, or use the tokenizer bytes",
		}
	}
	r := newBPETraining(&t.words, t.options)
	r.run(t.options)
	return &Trained{
		Tokens: r.tokens, Merges: r.merges, Bytes: t.bytes, BytesPerToken: r.bytesPerToken(),
		Words: len(t.words.counts), Forgotten: t.words.forgotten, specials: len(t.options.Special), pattern: t.pattern,
	}, nil
}

// NewBPE trains a vocabulary on text and returns its tokenizer.
func NewBPE(text []byte, o TrainOptions) (Tokenizer, error) {
	t, err := NewTrainer(o)
	if err != nil {
		return nil, err
	}
	t.Add(text)
	trained, err := t.Train()
	if err != nil {
		return nil, err
	}
	file, err := trained.JSON()
	if err != nil {
		return nil, err
	}
	return Parse(file, "the trained vocabulary")
}
