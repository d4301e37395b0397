package safetensors

const (
	fixCopy = "the file is cut short, damaged or not safetensors: copy it again and compare checksums"
	fixJSON = "the file is damaged or was written by a faulty program: get it again from its source"
)
