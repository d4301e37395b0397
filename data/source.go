package data

// Source is ids in a row and the places among them where documents start. It never changes, and any number of goroutines
// may read it: data/shard's Stream is one, of files that are used in place.
type Source interface {
	Len() int                  // ids
	Read(dst []int32, at int)  // fills dst with the ids from at on; at+len(dst) is at most Len
	Starts(dst []bool, at int) // sets dst[i] to whether a document starts at id at+i
}

// IDs is a source in memory, of one document.
type IDs []int32

// Len returns the number of ids.
func (s IDs) Len() int { return len(s) }

// Read fills dst with the ids from at on.
func (s IDs) Read(dst []int32, at int) { copy(dst, s[at:at+len(dst)]) }

// Starts marks the first id of all.
func (s IDs) Starts(dst []bool, at int) {
	clear(dst)
	if at == 0 && len(dst) > 0 {
		dst[0] = true
	}
}

// section is a part of a source.
type section struct {
	Source
	from, to int
}

func (c *section) Len() int                  { return c.to - c.from }
func (c *section) Read(dst []int32, at int)  { c.Source.Read(dst, c.from+at) }
func (c *section) Starts(dst []bool, at int) { c.Source.Starts(dst, c.from+at) }

// Read returns the first n ids of a source.
func Read(s Source, n int) []int32 {
	ids := make([]int32, n)
	s.Read(ids, 0)
	return ids
}
