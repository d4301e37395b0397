package split

import "fmt"

// Behavior says what becomes of what a pattern matches.
type Behavior uint8

// Behaviors, as tokenizer.json knows them.
const (
	Isolated           Behavior = iota // a match is a piece, and so is what lies between two
	Removed                            // matches are left out
	MergedWithPrevious                 // a match ends the piece that lies before it
	MergedWithNext                     // a match begins the piece that lies behind it
	Contiguous                         // matches side by side are one piece
)

// ParseBehavior returns the behavior of a name in tokenizer.json.
func ParseBehavior(name string) (Behavior, error) {
	for b, known := range [...]string{"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"} {
		if name == known {
			return Behavior(b), nil
		}
	}
	return 0, fmt.Errorf("behavior %q is not known", name)
}

// Cutter cuts text into pieces at the matches of a splitter. It is immutable.
type Cutter struct {
	splitter *Splitter
	behavior Behavior
	invert   bool // matches count as what lies between them, and that as matches
}

// NewCutter fails where a pattern matches the empty text and the behavior would have to say what becomes of that.
func NewCutter(s *Splitter, b Behavior, invert bool) (*Cutter, error) {
	if s.empty && (b != Isolated || invert) {
		return nil, fmt.Errorf("pattern %q: matches the empty text, which is supported for Isolated only", s.pattern)
	}
	return &Cutter{s, b, invert}, nil
}

// Plain returns the splitter whose pieces are those of the cutter, or nil.
func (c *Cutter) Plain() *Splitter {
	if c.behavior == Isolated {
		return c.splitter
	}
	return nil
}

// Next returns where the first piece of text begins and ends; from is len(text) when there is none. A text must not be cut
// before it is split, as with Splitter.Next. Source: NormalizedString::split of Hugging Face's tokenizers.
func (c *Cutter) Next(text []byte) (from, to int) {
	n, match := c.next(text)
	switch c.behavior {
	case Removed:
		for match && n > 0 {
			from += n
			n, match = c.next(text[from:])
		}
	case MergedWithPrevious:
		if m, is := c.next(text[n:]); !match && is {
			n += m
		}
	case MergedWithNext:
		if m, is := c.next(text[n:]); match && !is {
			n += m
		}
	case Contiguous:
		for n < len(text) {
			m, is := c.next(text[n:])
			if is != match {
				break
			}
			n += m
		}
	}
	return from, from + n
}

func (c *Cutter) next(text []byte) (int, bool) {
	n, match := c.splitter.Next(text)
	return n, match != c.invert
}
