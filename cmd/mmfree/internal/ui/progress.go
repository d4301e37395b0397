package ui

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	redrawEvery = 100 * time.Millisecond // on a terminal: as often as the eye follows
	plainEvery  = 5 * time.Second        // elsewhere, and rarer as the run grows long
	plainShare  = 20                     // … namely when another 1/20 of the time is over: 90 lines in an hour
)

// Status is what a progress line says. Zero or NaN means unknown and is left out, but for Loss.
type Status struct {
	What            string  // what Step counts where it is no training step; then there is no Loss
	Step, Steps     int64   // done, and planned
	Loss            float64 // nats a token
	ValBPB          float64 // of the last evaluation, bits per byte
	TokensPerSecond float64
	RSSBytes        int64
	Note            string // of what is trained, in few words
	LR              float64
	ETA, Elapsed    time.Duration
}

// Progress shows the status of a run: on a terminal as one line drawn again and again, elsewhere as a plain line now
// and then. It is for one goroutine. Failing writes are ignored: a run does not end because nobody watches it.
type Progress struct {
	w     io.Writer
	width func() int
	now   func() time.Time

	start, last time.Time // of the first line and of the latest
	shown       int       // columns of the line that stands on the terminal
}

// NewProgress writes to w, commonly stderr. width returns the columns of the terminal, 0 when w is none, and is asked
// for every line, since a window may change; now is the clock.
func NewProgress(w io.Writer, width func() int, now func() time.Time) *Progress {
	return &Progress{w: w, width: width, now: now}
}

// Update shows s, unless the last line is too young.
func (p *Progress) Update(s Status) {
	now, width := p.now(), p.width()
	if p.start.IsZero() {
		p.start = now
	} else {
		wait := redrawEvery
		if width == 0 {
			wait = max(plainEvery, now.Sub(p.start)/plainShare)
		}
		if now.Sub(p.last) < wait {
			return
		}
	}
	p.last = now
	p.draw(s.line(width, false), width)
}

// Finish shows s as the last line, whatever the clock says, and leaves it standing.
func (p *Progress) Finish(s Status) {
	width := p.width()
	p.draw(s.line(width, true), width)
	p.Stop()
}

// Println writes a message of its own line above the progress line, which the next Update draws again.
func (p *Progress) Println(message string) {
	if p.shown > 0 {
		fmt.Fprint(p.w, "\r", strings.Repeat(" ", p.shown), "\r")
		p.shown, p.last = 0, time.Time{}
	}
	fmt.Fprintln(p.w, message)
}

// Stop leaves the line as it stands and begins a new one, for something else to print. In a pipe it does nothing.
func (p *Progress) Stop() {
	if p.shown > 0 {
		fmt.Fprintln(p.w)
		p.shown = 0
	}
}

func (p *Progress) draw(line string, width int) {
	if width == 0 {
		fmt.Fprintln(p.w, line)
		return
	}
	// Blanks instead of an escape sequence wipe the rest of a longer line: every terminal knows them. One write, so
	// that no half line is seen.
	columns := utf8.RuneCountInString(line)
	blanks := max(0, min(p.shown, width-1)-columns)
	fmt.Fprint(p.w, "\r", line, strings.Repeat(" ", blanks))
	p.shown = columns
}

// line is s in one line. On a terminal it is shorter than width by one, because many wrap when the last column is
// written; what matters least is left out first. final says how long it took instead of how long it will.
func (s Status) line(width int, final bool) string {
	type field struct {
		text string
		keep int // the smallest goes first
	}
	var fields []field
	add := func(keep int, known bool, format string, args ...any) {
		if known {
			fields = append(fields, field{fmt.Sprintf(format, args...), keep})
		}
	}
	known := func(x float64) bool { return x != 0 && !math.IsNaN(x) }

	step := "step " + thousands(s.Step)
	if s.What != "" {
		step = s.What + " " + thousands(s.Step)
	}
	if s.Steps > 0 {
		step += "/" + thousands(s.Steps)
	}
	add(9, true, "%s", step)
	switch {
	case s.Steps > 0:
		add(6, true, "%d%%", int64(100*float64(s.Step)/float64(s.Steps)))
	case s.ETA > 0: // a budget of time
		add(6, true, "%d%%", int64(100*s.Elapsed.Seconds()/(s.Elapsed+s.ETA).Seconds()))
	}
	add(8, s.What == "", "loss %.3f", s.Loss)
	add(5, known(s.ValBPB), "val %.3f bpb", s.ValBPB)
	add(4, known(s.TokensPerSecond), "%s tok/s", Count(s.TokensPerSecond))
	add(2, s.Note != "", "%s", s.Note)
	add(2, known(s.LR), "lr %.2g", s.LR)
	add(3, s.RSSBytes > 0, "%s", Bytes(s.RSSBytes))
	if final {
		add(7, s.Elapsed > 0, "took %s", Duration(s.Elapsed))
	} else {
		add(1, s.Elapsed > 0, "%s gone", Duration(s.Elapsed))
		add(7, s.ETA > 0, "%s left", Duration(s.ETA))
	}

	for {
		texts, least := make([]string, len(fields)), 0
		for i, f := range fields {
			texts[i] = f.text
			if f.keep < fields[least].keep {
				least = i
			}
		}
		line := strings.Join(texts, "  ")
		switch {
		case width == 0 || len(line) < width: // the line is ASCII: a byte is a column
			return line
		case len(fields) == 1:
			return line[:width-1]
		}
		fields = append(fields[:least], fields[least+1:]...)
	}
}
