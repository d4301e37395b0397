package train

import (
	"context"
	"errors"
	"path/filepath"

	"mmfree/checkpoints"
	"mmfree/data/corpus"
	"mmfree/train/verify"
)

// MaxVerifyTokens bounds what is asked of one verification.
const MaxVerifyTokens = 1 << 28

// verifyWindow is the number of tokens that run together where the model's run does not say.
const verifyWindow = 256

// VerifyRequest says what to compare a model's training path with, and on which tokens: those of a text, or random ones.
type VerifyRequest struct {
	Packed  string // a packed file; empty: the run's own, or codes made from the weights
	Text    string // a text file; empty: random tokens
	Tokens  int    // how many; 0: enough for a million logits
	Seed    uint64 // of the random tokens
	Machine Machine
}

// Verify compares the training forward pass with the packed path. That they differ is no error: see Report.Identical.
func (m *Model) Verify(ctx context.Context, r VerifyRequest) (report *verify.Report, err error) {
	if r.Packed != "" {
		if err := m.OpenPacked(r.Packed); err != nil {
			return nil, err
		}
	}
	if m.damaged != nil {
		return nil, m.damaged
	}
	// With weights to compare with, damage shows as a difference, which says more; without, both paths would share it.
	if m.Weights == nil {
		if err := m.CheckSum(); err != nil {
			return nil, err
		}
	}
	ids, err := m.verifyIDs(r)
	if err != nil {
		return nil, err
	}
	p, err := m.Packed()
	if err != nil {
		return nil, err
	}
	s, err := m.Session(r.Machine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return verify.Run(ctx, verify.Request{
		Session: s, Packed: p, Set: r.Machine.Set, Pool: r.Machine.Pool, IDs: ids, SeqLen: m.window(),
	})
}

func (m *Model) verifyIDs(r VerifyRequest) ([]int32, error) {
	V := m.Config.VocabSize
	if r.Text == "" {
		n := r.Tokens
		if n == 0 {
			n = verify.Tokens(V)
		}
		return RandomIDs(n, V, r.Seed), nil
	}
	tok, err := m.Tokenizer()
	if err != nil {
		return nil, err
	}
	text, err := corpus.Load([]string{r.Text})
	if err != nil {
		return nil, err
	}
	ids, err := tok.Encode(nil, text.Text)
	if err != nil {
		return nil, err
	}
	return ids, checkIDs(r.Text, [][]int32{ids}, V)
}

// window returns the length of the sequences that the model was trained on, where its run says so.
func (m *Model) window() int {
	if m.Kind == checkpoints.KindRun {
		if c, err := ReadConfig(filepath.Join(m.Path, ConfigFile)); err == nil && c.Data.SeqLen > 0 {
			return c.Data.SeqLen
		}
	}
	return verifyWindow
}
