//go:build !unix

package safetensors

import "io"

// load reads a file into memory, in proportion to what is really there.
func load(path string) (data []byte, unload func() error, err error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err = io.ReadAll(f)
	return data, func() error { return nil }, err
}
