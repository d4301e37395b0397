package tasks

import (
	"regexp"
	"strings"
)

// wikitext renders a page of WikiText-2 raw: the detokenised text is scored, the original one is counted.
func wikitext(line []byte) (Item, error) {
	var v struct {
		Page *string `json:"page"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	page, err := text("page", v.Page)
	if err != nil {
		return Item{}, err
	}
	return Page(page, true), nil
}

// Page makes the item of a text that is scored whole, detokenised or as it is.
func Page(page string, detokenise bool) Item {
	item := Item{Gold: -1, Words: countWords(page), Bytes: len(page)}
	if detokenise {
		page = Detokenise(page)
	}
	item.Requests = []Request{{"", page}}
	return item
}

// The spans that lose the space just inside them, in the order in which they are looked for. Quotes pair from left to
// right, over lines too, and an odd apostrophe shifts all later pairs: that is what the figures in papers come from.
var spans = []*regexp.Regexp{
	regexp.MustCompile(`\(` + pythonSpace + `*([^\)]*?)` + pythonSpace + `*\)`),
	regexp.MustCompile(`\[` + pythonSpace + `*([^\]]*?)` + pythonSpace + `*\]`),
	regexp.MustCompile(`\{` + pythonSpace + `*([^\}]*?)` + pythonSpace + `*\}`),
	regexp.MustCompile(`"` + pythonSpace + `*([^"]*?)` + pythonSpace + `*"`),
	regexp.MustCompile(`'` + pythonSpace + `*([^']*?)` + pythonSpace + `*'`),
}

var spanEnds = []string{"($1)", "[$1]", "{$1}", `"$1"`, "'$1'"}

// Detokenise undoes WikiText's tokenisation. The replacements and their order are those of
// tasks/wikitext/preprocess_wikitext.py.
func Detokenise(s string) string {
	replace := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
		}
	}
	replace("s '", "s'", " @-@ ", "-", " @,@ ", ",", " @.@ ", ".")
	replace(" : ", ": ", " ; ", "; ", " . ", ". ", " ! ", "! ", " ? ", "? ", " , ", ", ")
	for i, span := range spans {
		s = span.ReplaceAllString(s, spanEnds[i])
	}
	replace("= = = =", "====", "= = =", "===", "= =", "==")
	replace(" ° ", "°", " \n", "\n", "\n ", "\n", " N ", " 1 ", " 's", "'s")
	return s
}
