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
	p.bar = p.newBar(step+" "+detail, -1, "")
}

// Progress moves the live line: bytes of a download, objects of a compile.
func (p *progress) Progress(done, total int64, unit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return
	}
	if total != p.total {
		p.stop()
		p.bar, p.total = p.newBar(p.step, total, unit), total
	}
	_ = p.bar.Set64(done)
}

func (p *progress) newBar(text string, total int64, unit string) *progressbar.ProgressBar {
	p.total = total
	options := []progressbar.Option{
		progressbar.OptionSetWriter(p.out),
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

func (p *progress) stop() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar, p.total = nil, 0
	}
}

// took prints a duration for a person: 0.4 s, 12 s, 8 min 3 s.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
}
