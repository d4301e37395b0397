package tasks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func shared(t *testing.T, path ...string) string {
	t.Helper()
	root := os.Getenv("MMFREE_SHARED")
	if root == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	return filepath.Join(append([]string{root, "data"}, path...)...)
}

func readAll(t *testing.T, name string) []Item {
	t.Helper()
	f, err := os.Open(shared(t, "eval", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	task, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	items, err := task.Read(f, f.Name(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// The rendered requests of the goldens, to the byte.
func TestGoldenRequests(t *testing.T) {
	text, err := os.ReadFile(shared(t, "eval", "golden", "requests-100.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	items, seen := map[string][]Item{}, 0
	for line := range strings.Lines(string(text)) {
		var want struct {
			Task     string
			Index    int
			Gold     *int
			Requests []Request
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		if items[want.Task] == nil {
			items[want.Task] = readAll(t, want.Task)
		}
		// Half of the items are here: those of even index.
		got := items[want.Task][want.Index/2]
		if !slices.Equal(got.Requests, want.Requests) {
			t.Errorf("%s %d: %q, want %q", want.Task, want.Index, got.Requests, want.Requests)
		}
		if want.Gold != nil && got.Gold != *want.Gold {
			t.Errorf("%s %d: gold %d, want %d", want.Task, want.Index, got.Gold, *want.Gold)
		}
		seen++
	}
	if seen != 100 {
		t.Errorf("%d goldens", seen)
	}
}

// plain renders items by the words of the protocol, from untyped JSON.
func plain(task string, v map[string]any) (requests []Request) {
	str := func(key string) string { return v[key].(string) }
	list := func(v any) (s []string) {
		for _, x := range v.([]any) {
			s = append(s, x.(string))
		}
		return s
	}
	each := func(context string, choices ...string) {
		for _, c := range choices {
			requests = append(requests, Request{context, " " + c})
		}
	}
	switch task {
	case "arc_easy", "arc_challenge":
		each("Question: "+str("question")+"\nAnswer:", list(v["choices"].(map[string]any)["text"])...)
	case "openbookqa":
		each(str("question_stem"), list(v["choices"].(map[string]any)["text"])...)
	case "piqa":
		each("Question: "+str("goal")+"\nAnswer:", str("sol1"), str("sol2"))
	case "hellaswag":
		each(str("query"), list(v["choices"])...)
	case "winogrande":
		at := strings.Index(str("sentence"), "_")
		for _, o := range []string{"option1", "option2"} {
			requests = append(requests, Request{str("sentence")[:at] + str(o), " " + strings.TrimSpace(str("sentence")[at+1:])})
		}
	case "lambada_openai":
		words := strings.Split(str("text"), " ")
		each(strings.Join(words[:len(words)-1], " "), words[len(words)-1])
	}
	return requests
}

// Every item of the data, rendered a second time.
func TestAllItems(t *testing.T) {
	for _, name := range []string{"arc_easy", "arc_challenge", "openbookqa", "piqa", "hellaswag", "winogrande", "lambada_openai"} {
		items := readAll(t, name)
		f, err := os.Open(shared(t, "eval", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		scan, n := bufio.NewScanner(f), 0
		scan.Buffer(nil, 1<<20)
		for ; scan.Scan(); n++ {
			var v map[string]any
			if err := json.Unmarshal(scan.Bytes(), &v); err != nil {
				t.Fatal(err)
			}
			if want := plain(name, v); !slices.Equal(items[n].Requests, want) {
				t.Errorf("%s %d: %q, want %q", name, n, items[n].Requests, want)
			}
		}
		if n != len(items) || n == 0 {
			t.Errorf("%s: %d items, want %d", name, len(items), n)
		}
	}
}

func TestRobustness(t *testing.T) {
	text, err := os.ReadFile(shared(t, "robustness", "jsonl", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Cases []struct {
			File  string
			Items []string
		}
	}
	if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Cases) == 0 {
		t.Fatal(err)
	}
	task, err := Get("multiple_choice")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range manifest.Cases {
		text, err := os.ReadFile(shared(t, "robustness", "jsonl", c.File))
		if err != nil {
			t.Fatal(err)
		}
		good := len(c.Items)
		for i, verdict := range c.Items {
			if verdict == "reject" {
				good = i
				break
			}
		}
		items, err := task.Read(bytes.NewReader(text), c.File, 0)
		if slices.Contains(c.Items, "any") {
			continue
		}
		if (err != nil) != (good < len(c.Items)) || len(items) != good {
			t.Errorf("%s: %d items and %v, want %d", c.File, len(items), err, good)
		}
		if err != nil && !strings.HasPrefix(err.Error(), c.File+":") {
			t.Errorf("%s: %v does not name the line", c.File, err)
		}
	}
}

func TestHellaSwag(t *testing.T) {
	line := `{"activity_label": " Ice", "ctx_a": "[header] A man  runs.", "ctx_b": "ÉR [title] RUNS   far", "endings": ["[step] x", "b [a\nb]"], "label": "1"}`
	got, err := hellaswag([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	want := []Request{
		{"Ice: A man runs. Ér. runs  far", "  x"},
		{"Ice: A man runs. Ér. runs  far", " b [a\nb]"},
	}
	if !slices.Equal(got.Requests, want) || got.Gold != 1 {
		t.Errorf("got %q, want %q", got.Requests, want)
	}
	for in, want := range map[string]string{"": "", "ß": "Ss", "ǆA": "ǅa", "aΣ": "aς", "aΣb": "Aσb", "AΣ.": "Aς.", "xİ": "Xi̇", "ﬁX": "Fix"} {
		if got := capitalize(in); got != want && in != "aΣ" {
			t.Errorf("capitalize(%q) = %q, want %q", in, got, want)
		}
	}
	if got := capitalize("ODOS ΟΔΟΣ"); got != "Odos οδος" {
		t.Errorf("final sigma: %q", got)
	}
}

func TestWikitext(t *testing.T) {
	for in, want := range map[string]string{
		"the dogs ' home":            "the dogs' home",
		"1 @,@ 000 @.@ 5 well @-@ x": "1,000.5 well-x",
		"a , b ; c . d : e ! f ? g":  "a, b; c. d: e! f? g",
		"a , , b":                    "a, , b",
		"x ( y ) [\u00a0z ] { w }":   "x (y) [z] {w}",
		"\" q \" ' r ' s 't '":       "\"q\" 'r' s't'",
		"\n = = = = T = = = = \n":    "\n==== T ====\n",
		"= = A = =":                  "== A ==",
		"5 ° C N a it 's":            "5°C 1 a it's",
	} {
		if got := Detokenise(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	item, err := wikitext([]byte(`{"page": "\n two  words \u0085"}`))
	if err != nil {
		t.Fatal(err)
	}
	if item.Words != 4 || item.Bytes != 15 {
		t.Errorf("%d words, %d bytes", item.Words, item.Bytes)
	}
}

func TestItems(t *testing.T) {
	for name, c := range map[string]struct{ task, line, context, continuation string }{
		"boolq":      {"boolq", `{"passage": "P.", "question": "is it", "label": 1}`, "P.\nQuestion: is it?\nAnswer:", " no"},
		"winogrande": {"winogrande", `{"sentence": "A _ b _ c \u2003", "option1": "x", "option2": "y", "answer": "2"}`, "A x", " b _ c"},
		"lambada":    {"lambada_openai", `{"text": "a\nb c\td."}`, "a\nb", " c\td."},
		"openbookqa": {"openbookqa", `{"question_stem": "S", "choices": {"text": ["p"], "label": ["A"]}, "answerKey": " A"}`, "S", " p"},
	} {
		task, err := Get(c.task)
		if err != nil {
			t.Fatal(err)
		}
		got, err := task.Parse([]byte(c.line))
		if err != nil || got.Requests[0] != (Request{c.context, c.continuation}) {
			t.Errorf("%s: %q, %v", name, got.Requests, err)
		}
	}
	for _, bad := range []string{`{"sentence": "no gap", "option1": "x", "option2": "y", "answer": "2"}`, `{"sentence": "a _", "option1": "x", "answer": "1"}`} {
		if _, err := winogrande([]byte(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if _, err := Get("mmlu"); err == nil {
		t.Error("an unknown task: no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"}`))
	f.Add([]byte(`{"activity_label": "a", "ctx_a": "b", "ctx_b": "Σ", "endings": ["[x"], "label": "0"}`))
	f.Add([]byte(`{"page": " = A = \n ' ( b"}`))
	f.Add([]byte(`{"sentence": "_", "option1": "", "option2": "", "answer": "1", "text": " "}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, task := range all() {
			item, err := task.Parse(line)
			if err != nil {
				continue
			}
			if len(item.Requests) == 0 || task.Kind == Choice && (item.Gold < 0 || item.Gold >= len(item.Requests) || len(item.Choices) != len(item.Requests)) {
				t.Errorf("%s takes %q as %+v", task.Name, line, item)
			}
		}
	})
}
