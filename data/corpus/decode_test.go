package corpus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"path/filepath"
	"testing"
)

func TestLoadDecodes(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("packed")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	root := tree(t, map[string]string{
		"a.txt": "\xef\xbb\xbfraw\xff\r\n", "b.jsonl": "{\"text\":\"one\"}\n{\"text\":\"two\\n\"}\n", "c.txt.gz": packed.String(),
	})
	c, err := Load([]string{root})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(c.Text), "\xef\xbb\xbfraw\xff\r\none\ntwo\npacked"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	bad := tree(t, map[string]string{"x.jsonl": "{\"text\":\"one\"}\nno\n", "y.txt": "y"})
	for _, path := range []string{bad, Stdin, filepath.Join(bad, "y.txt=2")} {
		if _, err := Load([]string{path}); !errors.Is(err, ErrCorpus) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := load([]string{filepath.Join(root, "c.txt.gz")}, 5); !errors.Is(err, ErrCorpus) {
		t.Errorf("larger than the limit: %v", err)
	}
}
