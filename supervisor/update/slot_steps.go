package update

import (
	"fmt"
	"io"
	"time"
)

// Steps prints what an update does for a person on a slow terminal: a line for
// each step, and at every tenth how fast it is and how long it takes yet.
type Steps struct {
	Out io.Writer
	Now func() time.Time

	text  string
	began time.Time
	from  int64 // bytes that were done when it began
	tenth int64
}

// Step is an Updater's Step.
func (s *Steps) Step(text string, done, total int64) {
	now := s.Now()
	if text != s.text {
		s.text, s.began, s.from, s.tenth = text, now, done, 0
		fmt.Fprintln(s.Out, text)
	}
	if total == 0 || done*10/total <= s.tenth {
		return
	}
	s.tenth = done * 10 / total
	const mib = 1 << 20
	line := fmt.Sprintf("  %3d %% of %.1f MiB", done*100/total, float64(total)/mib)
	if took := now.Sub(s.began).Seconds(); took > 0 && done > s.from {
		speed := float64(done-s.from) / took
		line += fmt.Sprintf(", %.1f MiB/s, %.0f s left", speed/mib, float64(total-done)/speed)
	}
	fmt.Fprintln(s.Out, line)
}
