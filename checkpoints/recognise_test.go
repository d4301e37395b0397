package checkpoints_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/ternary/pack"
)

func TestRecognise(t *testing.T) {
	_, run := savedRun(t, 1)
	dir := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	touch := func(path, content string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
	w := parts(t, 1).Weights
	_, err := hf.Save(durable.OS{}, in("hf"), w, hf.Options{})
	must(t, err)
	m, err := pack.Build(w)
	must(t, err)
	_, err = packed.Write(durable.OS{}, in("any name"), m, packed.Meta{})
	must(t, err)
	touch(in("sharded", "config.json"), "{}")
	touch(in("sharded", "model.safetensors.index.json"), "{}")
	touch(in("torch", "config.json"), "{}")
	touch(in("torch", "pytorch_model.bin"), "")
	touch(in("started", "config.yaml"), "")
	touch(in("killed", "checkpoints", "step-3", "config.json"), "")
	touch(in("empty", "x"), "")
	touch(in("gguf"), "GGUF\x03\x00\x00\x00")
	touch(in("zip"), "PK\x03\x04....")
	touch(in("short"), "GG")
	must(t, os.Mkdir(in("replaced.old-0123456789abcdef"), 0o755))
	touch(in("text"), strings.Repeat("a text ", 100))
	for _, c := range []struct {
		path string
		kind checkpoints.Kind
		want string
	}{
		{run, checkpoints.KindRun, ""},
		{in("started"), checkpoints.KindRun, ""},
		{in("killed"), checkpoints.KindRun, ""},
		{stepDir(run, 1), checkpoints.KindCheckpoint, ""},
		{in("hf"), checkpoints.KindHF, ""},
		{in("sharded"), checkpoints.KindHF, ""},
		{in("any name"), checkpoints.KindPacked, ""},
		{in("hf", "model.safetensors"), checkpoints.KindSafetensors, ""},
		{filepath.Join(run, "checkpoints"), "", "folder of a run's checkpoints"},
		{in("torch"), checkpoints.KindHF, ""},
		{in("gguf"), checkpoints.KindGGUF, ""},
		{in("zip"), checkpoints.KindPyTorch, ""},
		{in("short"), "", "too few"},
		{in("text"), "", "neither GGUF nor a good safetensors"},
		{in("empty"), "", "manifest.json"},
		{in("absent"), "", "no such file"},
		{in("replaced"), "", "killed while it replaced the folder"},
	} {
		kind, err := checkpoints.Recognise(c.path)
		if kind != c.kind || (err == nil) != (c.want == "") {
			t.Errorf("%s: got %q, %v", c.path, kind, err)
			continue
		}
		if err == nil {
			continue
		}
		var e *checkpoints.Error
		if !errors.As(err, &e) || !errors.Is(err, checkpoints.ErrCheckpoint) || e.Path != c.path || e.Hint() == "" || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), c.path) != 1 {
			t.Errorf("%s: error %v", c.path, err)
		}
	}
}
