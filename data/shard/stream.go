package shard

import "sort"

// Stream is the ids of many parts as one array. It is immutable, hence safe for concurrent use.
type Stream struct {
	parts     []*Part
	from      []int // of each part in the array, and the array's length behind the last
	documents int
}

// NewStream makes one array of parts, in order.
func NewStream(parts []*Part) *Stream {
	s := &Stream{parts: parts, from: []int{0}}
	for i, p := range parts {
		s.from = append(s.from, s.from[i]+p.Len())
		s.documents += p.Documents()
	}
	return s
}

// Len returns the number of ids.
func (s *Stream) Len() int { return s.from[len(s.parts)] }

// Documents returns the number of documents.
func (s *Stream) Documents() int { return s.documents }

// Read fills dst with the ids from at on; at+len(dst) is at most Len. It does not allocate.
func (s *Stream) Read(dst []int32, at int) {
	for k := s.part(at); len(dst) > 0; k++ {
		n := min(len(dst), s.from[k+1]-at)
		s.parts[k].read(dst[:n], at-s.from[k])
		dst, at = dst[n:], at+n
	}
}

// Starts sets dst[i] to whether a document starts at id at+i; at+len(dst) is at most Len. It does not allocate.
func (s *Stream) Starts(dst []bool, at int) {
	clear(dst)
	for k := s.part(at); len(dst) > 0; k++ {
		n := min(len(dst), s.from[k+1]-at)
		s.parts[k].mark(dst[:n], at-s.from[k])
		dst, at = dst[n:], at+n
	}
}

// part returns the number of the part that holds id at.
func (s *Stream) part(at int) int {
	return sort.Search(len(s.parts), func(k int) bool { return s.from[k+1] > at })
}
