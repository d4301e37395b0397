package layer_test

import (
	"testing"

	"mmfree/ternary/layer"
)

func TestShare(t *testing.T) {
	for _, c := range []struct{ n, threads, most, unit, want int }{
		{512, 2, 168, 14, 126}, // four of 126 and one of 8: 260 of 512 at most, where blocks of 168 are 336
		{1408, 2, 168, 14, 140},
		{280, 2, 280, 14, 140},
		{1, 2, 280, 14, 14},
		{5, 1, 280, 1, 5},
		{64, 4, 8, 16, 16}, // no block is below a unit
	} {
		if got := layer.Share(c.n, c.threads, c.most, c.unit); got != c.want {
			t.Errorf("%d items of %d threads, at most %d in units of %d: blocks of %d, want %d", c.n, c.threads, c.most, c.unit, got, c.want)
		}
	}
	// Dealt by hand, no size in the range gives the busiest thread less.
	dealt := func(n, threads, size int) (most int) {
		load := make([]int, threads)
		for b := range layer.Blocks(n, size) {
			from, to := layer.Span(b, size, n)
			load[b%threads] += to - from
			most = max(most, load[b%threads])
		}
		return most
	}
	for n := 1; n < 900; n += 7 {
		for threads := 1; threads < 6; threads++ {
			size := layer.Share(n, threads, 168, 14)
			if size%14 != 0 || size < 14 || size > 168 {
				t.Fatalf("%d items of %d threads: blocks of %d", n, threads, size)
			}
			for other := size; other <= 168 && other <= size*2 && other < n/threads; other += 14 {
				if dealt(n, threads, other) < dealt(n, threads, size) {
					t.Errorf("%d items of %d threads: blocks of %d give one thread %d, of %d %d", n, threads, size, dealt(n, threads, size), other, dealt(n, threads, other))
				}
			}
		}
	}
}
