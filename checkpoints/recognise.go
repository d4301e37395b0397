package checkpoints

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/llama2c"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/pytorch"
	"mmfree/checkpoints/safetensors"
)

// Kind is what a path holds.
type Kind string

// Kinds of models.
const (
	KindRun         Kind = "run"         // a run folder
	KindCheckpoint  Kind = "checkpoint"  // one step of a run
	KindHF          Kind = "hf"          // a folder as transformers writes it
	KindHFBitNet    Kind = "hf-bitnet"   // such a folder with its ternary tensors packed; KindOf tells it
	KindPacked      Kind = "packed"      // a packed file
	KindGGUF        Kind = "gguf"        // a file of the llama.cpp family, or a folder of a model's parts
	KindLlama2C     Kind = "llama2.c"    // a .bin file of llama2.c or bitllama2.c
	KindPyTorch     Kind = "pytorch"     // an archive of torch.save: tensors without a configuration
	KindSafetensors Kind = "safetensors" // any other safetensors file: tensors without a configuration
)

// Recognise tells what a path holds, from its content and never from its name. Nothing but heads of files is read.
func Recognise(path string) (Kind, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if former := durable.Former(durable.OS{}, path); former != "" {
			return "", &Error{
				Path: path, Problem: "is missing: a process was killed while it replaced the folder", Cause: err,
				Fix: "what was there is whole: mv " + former + " " + path + ", or write it again",
			}
		}
	}
	if err != nil {
		return "", Unreadable(path, err)
	}
	if info.IsDir() {
		return recogniseFolder(path)
	}
	return recogniseFile(path)
}

func recogniseFolder(path string) (Kind, error) {
	has := func(names ...string) bool {
		for _, n := range names {
			if _, err := os.Stat(filepath.Join(path, n)); err != nil {
				return false
			}
		}
		return true
	}
	switch {
	case has(manifestName, hf.ModelName):
		return KindCheckpoint, nil
	case has(runConfigName), has(checkpointsName, latestName):
		return KindRun, nil
	case has(hf.ConfigName) && hf.HasWeights(path), has(hf.IndexName), has(filepath.Join("..", hf.ConfigName), hf.ModelName):
		return KindHF, nil
	case has(latestName):
		return "", &Error{Path: path, Problem: "is the folder of a run's checkpoints", Fix: "name the run folder above it, or one step-N inside it"}
	case gguf.HasModel(path):
		return KindGGUF, nil
	}
	run := &Run{fs: durable.OS{}, dir: filepath.Join(path, checkpointsName)}
	steps, err := run.listSteps()
	if err == nil && len(steps) > 0 { // killed before the first `latest`
		return KindRun, nil
	}
	return "", &Error{
		Path:    path,
		Problem: "is no model: there is no config.yaml or checkpoints/latest (run), manifest.json with model.safetensors (checkpoint), config.json with model.safetensors or its index (Hugging Face), or .gguf file",
		Fix:     "name a run folder, a checkpoint, a Hugging Face folder or a packed file",
	}
}

func recogniseFile(path string) (Kind, error) {
	head, size, err := readHead(path)
	if err != nil {
		return "", err
	}
	begins := func(magic string) bool { return strings.HasPrefix(string(head), magic) }
	switch {
	case begins("GGUF"):
		return KindGGUF, nil
	case llama2c.Recognise(head, size):
		return KindLlama2C, nil
	case begins(pytorch.Magic):
		return KindPyTorch, nil
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return "", &Error{
			Path: path, Problem: "is no model: neither GGUF nor a good safetensors file: " + problem(err),
			Fix: "name a run folder, a checkpoint, a Hugging Face folder or a packed file", Cause: err,
		}
	}
	defer f.Close()
	if f.Metadata()["format"] == packed.FormatName {
		return KindPacked, nil
	}
	return KindSafetensors, nil
}

// readHead returns the first bytes of a regular file, and its size; nothing of what is none.
func readHead(path string) (head []byte, size int64, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // a named pipe would wait for its other end
		return nil, 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, Unreadable(path, err)
	}
	defer f.Close()
	if head, err = io.ReadAll(io.LimitReader(f, llama2c.HeadBytes)); err != nil {
		return nil, 0, Unreadable(path, err)
	}
	return head, info.Size(), nil
}

// problem returns what is wrong without the path, which the wrapping error names.
func problem(err error) string {
	if fe := (*format.Error)(nil); errors.As(err, &fe) {
		bare := *fe
		bare.File = ""
		return bare.Error()
	}
	return err.Error()
}
