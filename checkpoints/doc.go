// Package checkpoints knows the run folder and tells formats apart: saving a step whole or not at all, finding the
// newest whole one again, keeping the ones that matter, and recognising what a path holds.
//
//	RUN/checkpoints/step-N/            config.json model.safetensors optimizer.safetensors state.json tokenizer.json
//	                                   manifest.json: size and checksum of each of them, written last
//	RUN/checkpoints/latest             "step-N": the newest whole checkpoint
//	RUN/checkpoints/best               "step-N LOSS": the one with the lowest validation loss
//
// However a run ends, killed or out of power, the newest whole checkpoint loads. The formats themselves live below:
// safetensors, hf, packed. May not enter: the training graph, what state.json means (train). Start at run.go.
package checkpoints
