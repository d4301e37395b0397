package ui

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clock is a time that moves when told.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func fixed(width int) func() int { return func() int { return width } }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func status(step int64) Status {
	return Status{
		Step: step, Steps: 5000, Loss: 1.23456, ValBPB: 1.78, TokensPerSecond: 12_345, RSSBytes: 412e6, LR: 0.003,
		ETA: 192 * time.Second, Elapsed: 62 * time.Second,
	}
}

func TestLine(t *testing.T) {
	whole := status(1200)
	for _, tc := range []struct {
		name  string
		s     Status
		width int
		final bool
		want  string
	}{
		{"pipe", whole, 0, false, "step 1,200/5,000  24%  loss 1.235  val 1.780 bpb  12.3k tok/s  lr 0.003  412.0 MB  1m02s gone  3m12s left"},
		{"wide", whole, 200, false, "step 1,200/5,000  24%  loss 1.235  val 1.780 bpb  12.3k tok/s  lr 0.003  412.0 MB  1m02s gone  3m12s left"},
		{"80 columns", whole, 80, false, "step 1,200/5,000  24%  loss 1.235  val 1.780 bpb  12.3k tok/s  3m12s left"},
		{"40 columns", whole, 40, false, "step 1,200/5,000  loss 1.235"},
		{"10 columns", whole, 10, false, "step 1,20"},
		{"final", whole, 0, true, "step 1,200/5,000  24%  loss 1.235  val 1.780 bpb  12.3k tok/s  lr 0.003  412.0 MB  took 1m02s"},
		{"bare", Status{Step: 1, Loss: math.NaN(), ValBPB: math.NaN()}, 0, false, "step 1  loss NaN"},
		{"time budget", Status{Step: 7, Loss: 2, Elapsed: time.Minute, ETA: 3 * time.Minute}, 0, false, "step 7  25%  loss 2.000  1m00s gone  3m00s left"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.s.line(tc.width, tc.final); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestLineFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Status{
			Step: rapid.Int64().Draw(t, "step"), Steps: rapid.Int64().Draw(t, "steps"), Loss: rapid.Float64().Draw(t, "loss"),
			ValBPB: rapid.Float64().Draw(t, "val"), TokensPerSecond: rapid.Float64().Draw(t, "rate"), LR: rapid.Float64().Draw(t, "lr"),
			RSSBytes: rapid.Int64().Draw(t, "rss"), ETA: time.Duration(rapid.Int64().Draw(t, "eta")), Elapsed: time.Duration(rapid.Int64().Draw(t, "elapsed")),
		}
		width := rapid.IntRange(1, 200).Draw(t, "width")
		if line := s.line(width, rapid.Bool().Draw(t, "final")); len(line) >= width {
			t.Fatalf("%d columns of %d: %q", len(line), width, line)
		}
	})
}

func TestProgressOnATerminal(t *testing.T) {
	var b strings.Builder
	c, columns := newClock(), 80
	p := NewProgress(&b, func() int { return columns }, c.now)
	p.Update(Status{Step: 1, Loss: 10})
	c.t = c.t.Add(99 * time.Millisecond)
	p.Update(Status{Step: 2, Loss: 9}) // too soon
	c.t = c.t.Add(time.Millisecond)
	p.Update(Status{Step: 3, Loss: 8})
	p.Println("saved")
	p.Update(Status{Step: 4, Loss: 7}) // at once, since the line is gone
	columns = 12                       // the window shrinks
	c.t = c.t.Add(time.Second)
	p.Update(Status{Step: 5, Loss: 6})
	p.Finish(Status{Step: 6, Loss: 5})
	p.Stop() // nothing stands any more
	want := "\rstep 1  loss 10.000" +
		"\rstep 3  loss 8.000 " +
		"\r                  \rsaved\n" +
		"\rstep 4  loss 7.000" +
		"\rstep 5     " +
		"\rstep 6\n"
	if got := b.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestProgressInAPipe(t *testing.T) {
	var b strings.Builder
	c := newClock()
	p := NewProgress(&b, fixed(0), c.now)
	for range 3600 * 10 { // an hour of ten steps a second
		p.Update(Status{Step: 1, Loss: 1})
		c.t = c.t.Add(100 * time.Millisecond)
	}
	lines := strings.Count(b.String(), "\n")
	if lines < 30 || lines > 120 {
		t.Errorf("%d lines in an hour", lines)
	}
	if strings.Contains(b.String(), "\r") {
		t.Error("cursor movement in a log")
	}
	b.Reset()
	p.Println("saved")
	p.Finish(Status{Step: 2, Loss: 1})
	if got := b.String(); got != "saved\nstep 2  loss 1.000\n" {
		t.Errorf("got %q", got)
	}

	b.Reset()
	c = newClock()
	p = NewProgress(&b, fixed(0), c.now)
	for range 25 { // 25 s of steps, each of one second: first line, then one every 5 s
		p.Update(Status{Step: 1, Loss: 1})
		c.t = c.t.Add(time.Second)
	}
	if lines := strings.Count(b.String(), "\n"); lines != 5 {
		t.Errorf("%d lines in 25 s", lines)
	}
}
