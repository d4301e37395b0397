package checkpoints

import (
	"errors"
	"strings"
	"testing"
)

const goodManifest = `{"format":"mmfree-checkpoint","version":2,"step":3,"files":{"config.json":{"bytes":1,"xxh64":"00"},
"model.safetensors":{},"optimizer.safetensors":{},"state.json":{}}}`

func TestParseManifest(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good", goodManifest, ""},
		{"empty", "", "not a manifest"},
		{"other", "{}", "not the manifest"},
		{"older", strings.NewReplacer(`"version":2`, `"version":1`, "xxh64", "sha256").Replace(goodManifest), ""},
		{"newer", strings.Replace(goodManifest, `"version":2`, `"version":3`, 1), "version 3"},
		{"no version", strings.Replace(goodManifest, `"version":2`, `"version":0`, 1), "version 0"},
		{"step", strings.Replace(goodManifest, `"step":3`, `"step":-3`, 1), "step -3"},
		{"outside", strings.Replace(goodManifest, `"config.json"`, `"../config.json"`, 1), "not a file of this folder"},
		{"not listed", strings.Replace(goodManifest, `"state.json"`, `"x"`, 1), "does not list state.json"},
	} {
		_, err := parseManifest("M", []byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(goodManifest))
	f.Add([]byte(`{"files":{"..":{"bytes":-1}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest("M", text)
		if err != nil {
			if !errors.Is(err, ErrCheckpoint) {
				t.Fatalf("error of another class: %v", err)
			}
			return
		}
		for name := range m.Files {
			if strings.ContainsAny(name, `/\`) || name == ".." {
				t.Fatalf("a name leads outside: %q", name)
			}
		}
	})
}
