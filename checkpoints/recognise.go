package checkpoints

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/safetensors"
)

// Kind is what a path holds.
type Kind string

// Kinds of models.
const (
	KindRun         Kind = "run"         // a run folder
	KindCheckpoint  Kind = "checkpoint"  // one step of a run
	KindHF          Kind = "hf"          // a folder as transformers writes it
	KindPacked      Kind = "packed"      // a packed file
	KindGGUF        Kind = "gguf"        // a file of the llama.cpp family
	KindSafetensors Kind = "safetensors" // any other safetensors file: tensors without a configuration
)

// Recognise tells what a path holds, from its content and never from its name. Nothing but heads of files is read.
func Recognise(path string) (Kind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", unreadable(path, err)
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
	case has(hf.ConfigName, hf.ModelName), has(hf.ConfigName, hf.IndexName):
		return KindHF, nil
	case has(hf.ConfigName, "pytorch_model.bin"):
		return "", &Error{
			Path: path, Problem: "holds pytorch_model.bin, a format that is not supported yet",
			Fix: "write the model as safetensors: save_pretrained(..., safe_serialization=True)",
		}
	case has(latestName):
		return "", &Error{Path: path, Problem: "is the folder of a run's checkpoints", Fix: "name the run folder above it, or one step-N inside it"}
	}
	steps, err := listSteps(filepath.Join(path, checkpointsName))
	if err == nil && len(steps) > 0 { // killed before the first `latest`
		return KindRun, nil
	}
	return "", &Error{
		Path:    path,
		Problem: "is no model: there is no config.yaml or checkpoints/latest (run), manifest.json with model.safetensors (checkpoint), or config.json with model.safetensors or its index (Hugging Face)",
		Fix:     "name a run folder, a checkpoint, a Hugging Face folder or a packed file",
	}
}

func recogniseFile(path string) (Kind, error) {
	var magic [4]byte
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() { // a named pipe would wait for its other end
		f, err := os.Open(path)
		if err != nil {
			return "", unreadable(path, err)
		}
		_, err = io.ReadFull(f, magic[:])
		f.Close()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", unreadable(path, err)
		}
	}
	switch string(magic[:]) {
	case "GGUF":
		return KindGGUF, nil
	case "PK\x03\x04":
		return "", &Error{Path: path, Problem: "is a PyTorch or zip archive, a format that is not supported yet", Fix: "write the model as safetensors: save_pretrained(..., safe_serialization=True)"}
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

// problem returns what is wrong without the path, which the wrapping error names.
func problem(err error) string {
	if fe := (*safetensors.FormatError)(nil); errors.As(err, &fe) {
		bare := *fe
		bare.File = ""
		return bare.Error()
	}
	return err.Error()
}
