package metrics

import "testing"

func TestParseStatus(t *testing.T) {
	for _, tc := range []struct {
		status string
		want   int64
	}{
		{"Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 99 kB\n", 1234 << 10},
		{"VmHWM:\t1 kB", 1 << 10},
		{"VmRSS:\t99 kB\n", 0},
		{"VmHWM:\t1234\n", 0},
		{"VmHWM:\tmany kB\n", 0},
		{"VmHWM:\t-1 kB\n", 0},
		{"VmHWM:\t99999999999999999999 kB\n", 0},
		{"", 0},
	} {
		if got := parseStatus([]byte(tc.status), "VmHWM:"); got != tc.want {
			t.Errorf("%q: got %d, want %d", tc.status, got, tc.want)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("VmHWM:\t1 kB\n"))
	f.Fuzz(func(t *testing.T, status []byte) {
		if n := parseStatus(status, "VmHWM:"); n < 0 {
			t.Errorf("%d bytes", n)
		}
	})
}
