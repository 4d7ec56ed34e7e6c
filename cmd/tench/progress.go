package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"tench/build"
)

// progress shows a build: one line per step when it is done, and on a terminal
// a live line while it works. It is the build.Reporter of the host tool.
type progress struct {
	out  io.Writer
	live bool

	mu    sync.Mutex // the build reports from several goroutines
	step  string     // whose line it is
	bar   *progressbar.ProgressBar
	total int64
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, live: ok && term.IsTerminal(int(f.Fd()))}
}

// Start says that a step begins to work; on a terminal it gets a live line.
func (p *progress) Start(step, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	if !p.live {
		fmt.Fprintf(p.out, "%-14s %s …\n", step, detail)
		return
	}
	p.step = step
	fmt.Fprintf(oneLine{p.out}, "%-14s %.60s …", step, detail) // stop takes it away
}

// Progress moves the live line: bytes of a download, objects of a compile. With a
// total of 0 there is nothing to count, and a unit that is not "B" says what is
// waited for.
func (p *progress) Progress(done, total int64, unit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case total == 0 && unit == "B":
		return
	case total == 0:
		p.stop()
		fmt.Fprintf(p.out, "%s …\n", unit)
		return
	case p.step == "": // no terminal, or nothing was started
		return
	case p.bar == nil || total != p.total:
		step := p.step
		p.stop()
		p.step, p.bar = step, p.newBar(step, total, unit)
	}
	_ = p.bar.Set64(done)
}

func (p *progress) newBar(text string, total int64, unit string) *progressbar.ProgressBar {
	p.total = total
	options := []progressbar.Option{
		progressbar.OptionSetWriter(oneLine{p.out}),
		progressbar.OptionSetDescription(fmt.Sprintf("%-14s", text)),
		progressbar.OptionShowBytes(unit == "B"),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionShowCount(),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(200 * time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionSetWidth(20),
	}
	if unit != "B" { // bytes have their own rate
		options = append(options, progressbar.OptionSetItsString(unit), progressbar.OptionShowIts())
	}
	return progressbar.NewOptions64(total, options...)
}

// Done prints the line that stays.
func (p *progress) Done(s build.StepReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	size := ""
	if s.Size > 0 {
		size = humanize.IBytes(uint64(s.Size))
	}
	fmt.Fprintf(p.out, "%-14s %-7s %8s %10s  %s\n", s.Step, s.Outcome, took(s.Took), size, s.Detail)
}

// Note prints a line that stays, of work that is no step of a build.
func (p *progress) Note(step, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	fmt.Fprintf(p.out, "%-14s %s\n", step, text)
}

// Warn prints a line that the operator should not miss.
func (p *progress) Warn(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	fmt.Fprintf(p.out, "warning: %s\n", text)
}

// Clear takes the live line away, for who writes something else to the terminal.
func (p *progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
}

// stop takes the live line away.
func (p *progress) stop() {
	switch {
	case p.bar != nil:
		_ = p.bar.Clear()
	case p.step != "":
		fmt.Fprint(p.out, clearLine)
	}
	p.step, p.bar, p.total = "", nil, 0
}

// oneLine writes what is longer than a line of the terminal without wrapping it:
// nothing would take away what wrapped.
type oneLine struct{ io.Writer }

func (l oneLine) Write(text []byte) (int, error) {
	if _, err := fmt.Fprintf(l.Writer, wrapOff+"%s"+wrapOn, text); err != nil {
		return 0, err
	}
	return len(text), nil
}

// clearLine has a terminal forget the line that the cursor is in (ECMA-48: CR, EL).
// A question begins with it, where a live line may be.
const clearLine = "\r\x1b[K"

// took prints a duration for a person: 0.4 s, 12 s, 8:03 min.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
}
