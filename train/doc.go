// Package train is the room of what a training run is: its configuration, its schedule, its loop, its end.
//
// In: a Config (YAML, or a recipe of train/recipes). Out: a run folder and a result. May not enter: terminals and
// printing (cmd), the arithmetic of layers (ternary/layer), gorgonia (autograd), bytes on disk (checkpoints).
// Start at config.go; config_fields.go holds the table that YAML, --set and config.yaml's comments all come from.
package train
