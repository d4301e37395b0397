package eval

import (
	"math"
	"unicode/utf8"

	"mmfree/data/tasks"
)

// Scored is an item with its scores.
type Scored struct {
	tasks.Item
	Scores []Score
}

// Choose returns the index of the likeliest choice, the lowest of equals, by score and by score for each character.
func (s *Scored) Choose() (best, bestNorm int) {
	norm := func(i int) float64 {
		return s.Scores[i].LogLikelihood / float64(utf8.RuneCountInString(s.Choices[i]))
	}
	for i := range s.Scores {
		if s.Scores[i].LogLikelihood > s.Scores[best].LogLikelihood {
			best = i
		}
		if norm(i) > norm(bestNorm) {
			bestNorm = i
		}
	}
	return best, bestNorm
}

// Figures are a task's results. What a task does not have is NaN.
type Figures struct {
	N               int     `json:"n"`
	Acc             float64 `json:"acc"`
	AccStderr       float64 `json:"acc_stderr"`
	AccNorm         float64 `json:"acc_norm"`
	AccNormStderr   float64 `json:"acc_norm_stderr"`
	Perplexity      float64 `json:"perplexity"` // of LAMBADA's last words, each whole
	PerplexityError float64 `json:"perplexity_stderr"`
	WordPerplexity  float64 `json:"word_perplexity"`
	BytePerplexity  float64 `json:"byte_perplexity"`
	BitsPerByte     float64 `json:"bits_per_byte"`
	LogLikelihood   float64 `json:"loglikelihood"` // sum over all, of rolling pages and last words
	ScoredTokens    int     `json:"scored_tokens"` // whose likelihoods are in the figures
	ReadTokens      int     `json:"read_tokens"`   // by the model for the requests one by one; shared prefixes count each time
	TruncatedInputs int     `json:"truncated"`     // requests whose context lost tokens from its front
}

// Summarise computes a task's figures. Source: api/metrics.py.
func Summarise(t *tasks.Task, items []Scored) Figures {
	nan := math.NaN()
	f := Figures{N: len(items), Acc: nan, AccStderr: nan, AccNorm: nan, AccNormStderr: nan, Perplexity: nan, PerplexityError: nan, WordPerplexity: nan, BytePerplexity: nan, BitsPerByte: nan}
	hits, hitsNorm, words, bytes := 0, 0, 0, 0
	for i := range items {
		s := &items[i]
		switch t.Kind {
		case tasks.Choice:
			best, bestNorm := s.Choose()
			hits += count(best == s.Gold)
			hitsNorm += count(bestNorm == s.Gold)
		case tasks.Word:
			hits += count(s.Scores[0].Greedy)
			f.LogLikelihood += s.Scores[0].LogLikelihood
		case tasks.Rolling:
			f.LogLikelihood += s.Scores[0].LogLikelihood
			words, bytes = words+s.Words, bytes+s.Bytes
		}
	}
	n := float64(len(items))
	if t.Kind != tasks.Rolling {
		f.Acc, f.AccStderr = rate(hits, len(items))
	}
	switch t.Kind {
	case tasks.Choice:
		if !t.SameSuffix {
			f.AccNorm, f.AccNormStderr = rate(hitsNorm, len(items))
		}
	case tasks.Word:
		f.Perplexity = math.Exp(-f.LogLikelihood / n)
		f.PerplexityError = bootstrapPerplexity(items)
	case tasks.Rolling:
		f.WordPerplexity, f.BytePerplexity, f.BitsPerByte = perText(f.LogLikelihood, words, bytes)
	}
	return f
}

// perText divides a sum of log-likelihoods by the counts of the original text.
func perText(sum float64, words, bytes int) (wordPerplexity, bytePerplexity, bitsPerByte float64) {
	return math.Exp(-sum / float64(words)), math.Exp(-sum / float64(bytes)), -sum / (float64(bytes) * math.Ln2)
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// rate returns a mean of zeros and ones and its standard error, the sample deviation over √n: NaN for fewer than two.
func rate(hits, n int) (mean, stderr float64) {
	p := float64(hits) / float64(n)
	if n < 2 {
		return p, math.NaN()
	}
	return p, math.Sqrt(p * (1 - p) / float64(n-1))
}
