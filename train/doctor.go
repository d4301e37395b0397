package train

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mmfree/checkpoints"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/stored"
	"mmfree/data/shard"
	"mmfree/data/tokenizer"
	"mmfree/ternary/spec"
)

// Check is one thing that Doctor looked at.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was seen, or what is wrong
	Fix    string `json:"fix"`    // what to do; empty where all is well
}

// doctor collects checks.
type doctor struct{ checks []Check }

func (d *doctor) well(name, format string, args ...any) {
	d.checks = append(d.checks, Check{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) ill(name, fix, format string, args ...any) {
	d.checks = append(d.checks, Check{Name: name, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// fault records an error, with the hint that it brings.
func (d *doctor) fault(name string, err error) {
	fix := "get the files again from their source"
	if h := interface{ Hint() string }(nil); errors.As(err, &h) && h.Hint() != "" {
		fix = h.Hint()
	}
	d.ill(name, fix, "%v", err)
}

// Doctor looks for what commonly goes wrong with a model, a run folder or a prepared corpus, and says what to do. Values are
// read, a tensor at a time. An error is a path that is not there; everything else is a check.
func Doctor(path string) ([]Check, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, checkpoints.Unreadable(path, err)
	}
	d := &doctor{}
	if shard.IsSet(path) {
		d.corpus(path)
		return d.checks, nil
	}
	kind, err := checkpoints.Recognise(path)
	if err != nil {
		d.fault("format", err)
		return d.checks, nil
	}
	folder := ""
	switch kind {
	case checkpoints.KindRun:
		newest, warnings, err := checkpoints.Newest(path)
		if err != nil {
			d.fault("checkpoints", err)
			return d.checks, nil
		}
		if len(warnings) > 0 {
			d.ill("checkpoints", "what is damaged can be removed; training resumes from the newest whole one", "%s", strings.Join(warnings, "; "))
		} else {
			d.well("checkpoints", "the newest, %s, is whole", filepath.Base(newest.Dir))
		}
		folder = newest.Dir
	case checkpoints.KindCheckpoint, checkpoints.KindHF:
		folder = path
	}
	if folder == "" || d.folder(folder) {
		d.model(path)
	}
	return d.checks, nil
}

// corpus checks a prepared corpus.
func (d *doctor) corpus(path string) {
	set, err := shard.Open(path)
	if err == nil {
		err = errors.Join(set.Verify(), set.Close())
	}
	if err != nil {
		d.fault("shards", err)
		return
	}
	d.well("shards", "every file is whole: sizes and checksums agree with the index")
}

// folder checks config.json against the tensors as they stand. It reports whether the model can be opened.
func (d *doctor) folder(dir string) bool {
	find, names, done, err := hf.Tensors(dir)
	if err != nil {
		d.fault("files", err)
		return false
	}
	defer done()
	d.well("files", "%d tensors, in whole files", len(names))
	c, err := hf.ReadConfig(dir)
	if err != nil {
		if m, openErr := hf.Open(dir); openErr == nil { // the configuration lies in the folder above
			return m.Close() == nil
		}
		d.fault("config", err)
		return false
	}
	d.well("config", "%s, d %d, %d layers, vocabulary %d", c.Arch, c.HiddenSize, c.NumHiddenLayers, c.VocabSize)
	m, err := hf.Open(dir)
	if err == nil {
		d.head(find, &c)
		return m.Close() == nil
	}
	var turned []string
	for _, t := range spec.Tensors(c) {
		raw, ok := find(t.Name)
		if ok && len(t.Shape) == 2 && t.Shape[0] != t.Shape[1] && slices.Equal(raw.Shape, []int{t.Shape[1], t.Shape[0]}) {
			turned = append(turned, t.Name)
		}
	}
	_, hasHead := find(spec.HeadName)
	switch {
	case len(turned) > 0:
		d.ill("shapes", "the program that wrote the folder stores matrices as [in, out]: transpose them to [out, in]",
			"%d matrices are transposed, the first is %s", len(turned), turned[0])
	case !hasHead && !c.TieWordEmbeddings && strings.Contains(err.Error(), "1 missing tensors: "+spec.HeadName):
		d.ill("head", `set "tie_word_embeddings": true in config.json if the head is the embedding matrix, else get the weights again`,
			"config.json says that the head has a matrix of its own, and %s is not there", spec.HeadName)
	default:
		d.fault("shapes", err)
	}
	return false
}

// head compares a head that the configuration calls tied with the embeddings.
func (d *doctor) head(find func(string) (stored.Raw, bool), c *spec.Config) {
	head, ok := find(spec.HeadName)
	embeddings, _ := find(spec.EmbeddingName(*c))
	same := ok && head.DType == embeddings.DType && bytes.Equal(head.Bytes, embeddings.Bytes)
	switch {
	case c.TieWordEmbeddings && ok && !same:
		d.ill("head", `set "tie_word_embeddings": false in config.json`,
			"config.json says that the head is the embedding matrix, and %s is another: it is left out", spec.HeadName)
	case c.TieWordEmbeddings:
		d.well("head", "tied to the embeddings")
	case same:
		d.well("head", `a copy of the embeddings; "tie_word_embeddings": true would save it`)
	default:
		d.well("head", "a matrix of its own")
	}
}

// model checks what can be opened: values, scales, norms, tokenizer.
func (d *doctor) model(path string) {
	m, err := OpenToConvert(path)
	if err != nil {
		d.fault("model", err)
		return
	}
	defer m.Close()
	if m.file != nil && m.stored == nil {
		if err := m.file.Verify(); err != nil {
			d.fault("checksum", err)
		} else {
			d.well("checksum", "agrees with the data")
		}
	}
	content := m.content()
	if !d.values(m, content) {
		return // what follows would be about damage
	}
	d.scales(content)
	d.norms(content)
	d.tokenizer(m)
}

// values looks for NaNs and infinities, and for tensors of nothing but zeros.
func (d *doctor) values(m *Model, content *stored.Model) bool {
	var empty []string
	for i := range content.Tensors {
		t := &content.Tensors[i]
		zero := true
		err := t.Each(func(v []float32, _ int) error {
			for _, x := range v {
				zero = zero && x == 0
			}
			return nil
		})
		if err != nil {
			d.fault("values", m.named(err))
			return false
		}
		if zero && t.Kind != spec.Bounds {
			empty = append(empty, t.Name)
		}
	}
	if len(empty) > 0 {
		d.ill("values", "these weights were never loaded or never trained: get the model again", "%d tensors are all zero, the first is %s", len(empty), empty[0])
		return true
	}
	d.well("values", "no NaN, no infinity, no empty tensor")
	return true
}

// Mean magnitudes of trained weights lie well between these.
const (
	leastScale = 1e-6
	mostScale  = 16
)

// scales looks at the scales of ternary tensors.
func (d *doctor) scales(content *stored.Model) {
	if content.Doubt != "" {
		d.ill("scales", "check a text: if it comes out as noise, the other convention is meant; correct quantization_config.linear_class", "%s", content.Doubt)
		return
	}
	var all []float64
	for i := range content.Tensors {
		t := &content.Tensors[i]
		if t.Kind != spec.Ternary {
			continue
		}
		scale, err := t.CodeScale()
		if err != nil {
			d.fault("scales", err)
			return
		}
		all = append(all, float64(scale))
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	low, middle, high := all[0], all[len(all)/2], all[len(all)-1]
	if middle > mostScale || middle < leastScale {
		d.ill("scales", "the scales were read in the wrong convention: import the original again, and see what scale_convention says",
			"the middle of %d scales is %.3g, which is no mean magnitude of weights: it looks like one over it", len(all), middle)
		return
	}
	how := "means of magnitudes"
	if content.Scales != "" {
		how = content.Scales
	}
	d.well("scales", "from %.3g to %.3g, the middle %.3g; %s", low, high, middle, how)
}

// Where a gain g is multiplied into the columns of the matrix behind it, the logarithm of a column's mean magnitude grows by
// log g: the slope of the one over the other, which training leaves near 0.25 (stories260K: the middle of 26 matrices), grows
// by 1. Between the two lies the line.
const (
	foldedSlope = 0.75
	leastSpread = 0.05 // of the logarithms of gains, below which they say nothing
)

// norms looks for gains that are in the matrices already and still stand beside them.
func (d *doctor) norms(content *stored.Model) {
	at := map[string]*stored.Tensor{}
	for i := range content.Tensors {
		at[content.Tensors[i].Name] = &content.Tensors[i]
	}
	var slopes []float64
	for i := range content.Tensors {
		t := &content.Tensors[i]
		gain := at[gainOf(t.Name, at)]
		if gain == nil || t.IsCodes() || len(t.Shape) != 2 {
			continue
		}
		slope, tells, err := followsGain(t, gain)
		if err != nil {
			d.fault("norms", err)
			return
		}
		if tells {
			slopes = append(slopes, slope)
		}
	}
	if len(slopes) == 0 {
		return
	}
	slices.Sort(slopes)
	middle := slopes[len(slopes)/2]
	if middle > foldedSlope {
		d.ill("norms", "the program that wrote the model multiplied gains into the matrices and kept the gains: set those gains to 1, or convert again without folding",
			"the columns of %d matrices grow with the gains of the norm before them (slope %.2f, where training leaves about 0.25): the gains seem to be applied twice", len(slopes), middle)
		return
	}
	d.well("norms", "gains are not in the %d matrices behind them (slope %.2f)", len(slopes), middle)
}

// gainOf returns the name of the gain whose norm makes a matrix's input.
func gainOf(name string, at map[string]*stored.Tensor) string {
	base := strings.TrimSuffix(name, ".weight")
	if own := base + ".norm.weight"; at[own] != nil {
		return own
	}
	block, part, found := cutLast(base, ".self_attn.")
	if found {
		if part == "o_proj" {
			return block + ".self_attn.attn_sub_norm.weight"
		}
		return block + ".input_layernorm.weight"
	}
	if block, part, found = cutLast(base, ".mlp."); found {
		if part == "down_proj" {
			return block + ".mlp.ffn_sub_norm.weight"
		}
		return block + ".post_attention_layernorm.weight"
	}
	if name == spec.HeadName {
		return spec.FinalNormName
	}
	return ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// followsGain returns the slope of the logarithms of a matrix's mean magnitudes of columns over those of the gains. tells is
// false where gains hardly differ.
func followsGain(t, gain *stored.Tensor) (slope float64, tells bool, err error) {
	_, cols := t.Rows()
	sums := make([]float64, cols)
	if err := t.Each(func(v []float32, at int) error {
		for j, x := range v {
			sums[(at+j)%cols] += math.Abs(float64(x))
		}
		return nil
	}); err != nil {
		return 0, false, err
	}
	g := make([]float32, cols)
	if gain.Elements() != cols {
		return 0, false, nil
	}
	if err := gain.ReadRows(g, 0); err != nil {
		return 0, false, err
	}
	var n, x, y, xx, xy float64
	for j := range g {
		if g[j] == 0 || sums[j] == 0 {
			continue
		}
		a, b := math.Log(math.Abs(float64(g[j]))), math.Log(sums[j])
		n, x, y, xx, xy = n+1, x+a, y+b, xx+a*a, xy+a*b
	}
	const fewest = 8
	spread := math.Sqrt(max(0, xx/n-x/n*x/n))
	if n < fewest || spread < leastSpread {
		return 0, false, nil
	}
	return (xy/n - x/n*y/n) / (spread * spread), true, nil
}

// paddedVocabulary is by how much a model's vocabulary may be larger than its tokenizer's: rounded up for speed.
const paddedVocabulary = 1024

// tokenizer checks the tokenizer against the model, and that texts begin as the model has learned.
func (d *doctor) tokenizer(m *Model) {
	if m.TokenizerJSON() == nil {
		d.ill("tokenizer", "put its tokenizer.json beside the model; ids can be given without", "the model has none")
		return
	}
	tok, err := m.Tokenizer()
	if err != nil {
		d.fault("tokenizer", err)
		return
	}
	n, V := tok.VocabSize(), m.Config.VocabSize
	switch {
	case n > V:
		d.ill("tokenizer", "put the tokenizer.json beside the model that it was trained with", "it has %d tokens, the model %d: it is another model's, or tokens were added behind the training", n, V)
		return
	case V-n >= paddedVocabulary:
		d.ill("tokenizer", "put the tokenizer.json beside the model that it was trained with", "it has %d tokens, the model %d: it is another model's", n, V)
		return
	}
	d.well("tokenizer", "%s, %d tokens for a vocabulary of %d", tok.Name(), n, V)
	d.bos(m, tok)
}

// bos checks that a text begins with the token that config.json says it does.
func (d *doctor) bos(m *Model, tok tokenizer.Tokenizer) {
	want := m.Config.BOSTokenID
	switch {
	case want == nil:
		return
	case *want >= m.Config.VocabSize:
		d.ill("bos", "correct bos_token_id in config.json", "bos_token_id is %d, the vocabulary has %d tokens", *want, m.Config.VocabSize)
		return
	}
	ids, err := tok.EncodeSpecial(nil, []byte("a"))
	if err != nil {
		ids, err = tok.EncodeSpecial(nil, []byte(" "))
	}
	own := tok.Specials().BOS
	switch {
	case err != nil:
		d.fault("bos", err)
	case len(ids) > 0 && int(ids[0]) == *want:
		d.well("bos", "texts begin with token %d", *want)
	case own >= 0 && int(own) != *want:
		d.ill("bos", "make bos_token_id in config.json and the tokenizer's agree", "config.json says token %d, the tokenizer %d", *want, own)
	case own >= 0:
		d.ill("bos", "set add_bos_token in tokenizer_config.json, or let the post-processor of tokenizer.json put it there; without it the model reads texts as it never did in training",
			"config.json says that texts begin with token %d, and the tokenizer does not put it there", *want)
	default:
		d.well("bos", "config.json names token %d; the tokenizer has no token that begins a text", *want)
	}
}
