package door

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// quiet logs lines that strangers cause: a few at once, one every ten seconds in
// the long run, and with each how many were left out.
type quiet struct {
	log func(format string, args ...any)
	now func() time.Time

	mu      sync.Mutex // guards the rest
	credit  int
	at      time.Time
	omitted int
}

const (
	quietBurst = 10
	quietPause = 10 * time.Second
)

func newQuiet(log func(format string, args ...any), now func() time.Time) *quiet {
	return &quiet{log: log, now: now, credit: quietBurst, at: now()}
}

func (q *quiet) say(format string, args ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	earned := int(q.now().Sub(q.at) / quietPause)
	if earned > 0 {
		q.credit, q.at = min(quietBurst, q.credit+earned), q.at.Add(time.Duration(earned)*quietPause)
	}
	if q.credit == 0 {
		q.omitted++
		return
	}
	q.credit--
	text := fmt.Sprintf(format, args...)
	if q.omitted > 0 {
		text += fmt.Sprintf(" (%d lines like this were left out)", q.omitted)
		q.omitted = 0
	}
	q.log("%s", text)
}

// plain keeps what a stranger sent from steering a terminal, and short.
func plain(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
