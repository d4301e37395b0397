// Package layer is the only forward pass of each layer.
//
// Training and inference call these functions over the same pack.Model, which is why their bits agree: there is nothing
// left for them to disagree about. Each layer works on slices, takes its kernels and workers from an Env, and leaves
// what the backward pass needs in buffers that the caller owns. May not enter: files, the graph, gradients, sampling.
// Start at model.go,
// then bitlinear.go and mixer.go; attention.go for the transformer and BitNet, timemixer.go for RWKV-4.
//
// Legend: B sequences, T tokens of each, N = B·T rows ordered sequence by sequence, d hidden size, D recurrence width,
// I MLP width, V vocabulary, L layers. Activations are row-major [N, width].
package layer
