// Package pytorch reads the tensors of pytorch_model.bin: the zip archive that torch.save writes.
//
// The archive holds data.pkl, a program for Python's pickle machine that names the tensors, and their bytes in entries of their
// own. unpickle.go is that machine with nothing in it that could do harm: it knows numbers, texts, tuples, lists, dictionaries
// and tensors, no name outside a short list means anything to it, and nothing is executed. archive.go finds the bytes, which are
// used in place. May not enter: what tensors mean (hf). Start at file.go.
package pytorch
