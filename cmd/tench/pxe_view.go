package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"tench/pxe/event"
	"tench/pxe/track"
)

// pxeView shows a netboot server: on a terminal a line a box, drawn again where
// it is as things go on; elsewhere a line for each change; to a script each event
// in JSON.
type pxeView struct {
	out    io.Writer
	screen *os.File // nil where lines are not drawn again
	script bool
	events chan event.Event
	lost   chan struct{} // holds one, for that events were lost

	drawn int                  // lines on the screen that are drawn again
	said  map[event.MAC]string // what the last line of a box was about
	other string               // the other DHCP server that was told of
}

func newPXEView(out io.Writer, script bool) *pxeView {
	v := &pxeView{out: out, script: script, events: make(chan event.Event, 4096), lost: make(chan struct{}, 1), said: map[event.MAC]string{}}
	if f, ok := out.(*os.File); ok && !script && term.IsTerminal(int(f.Fd())) {
		v.screen = f
	}
	return v
}

// event takes what happened; it is an event.Sink. A reader that is too slow loses
// events, and is told so: the boxes do not wait for it.
func (v *pxeView) event(e event.Event) {
	if !v.script && !noted[e.Kind] {
		return // the table shows it
	}
	select {
	case v.events <- e:
	default:
		select {
		case v.lost <- struct{}{}:
		default:
		}
	}
}

// noted are the events that have a line of their own for a person.
var noted = map[event.Kind]bool{event.Armed: true, event.Disarmed: true, event.Failed: true, event.Foreign: true, event.Serving: true, event.Trouble: true}

// run shows until ctx ends, and what came before that to its end.
func (v *pxeView) run(ctx context.Context, table *track.Table) {
	changes, stop := table.Watch()
	defer stop()
	tick := time.NewTicker(time.Second) // time limits pass, and nobody tells
	defer tick.Stop()
	for {
		v.show(table)
		select {
		case <-ctx.Done():
			v.drain()
			v.show(table)
			return
		case e := <-v.events:
			v.take(e)
			v.drain()
		case <-v.lost:
			v.take(event.Event{Time: time.Now(), Kind: event.Trouble, Text: "events came faster than they could be written, and some are missing here"})
		case <-tick.C:
		case <-changes:
			select { // several changes are one
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
}

// drain takes the events that wait.
func (v *pxeView) drain() {
	for {
		select {
		case e := <-v.events:
			v.take(e)
		default:
			return
		}
	}
}

// take writes one event.
func (v *pxeView) take(e event.Event) {
	if v.script {
		v.json(e)
		return
	}
	if e.Kind == event.Foreign {
		if v.other == e.IP.String() {
			return // it goes on answering
		}
		v.other = e.IP.String()
	}
	v.erase()
	who := ""
	if !e.Box.IsZero() {
		who = e.Box.String() + " "
	}
	fmt.Fprintf(v.out, "%s  %s%s\n", e.Time.Local().Format("15:04:05"), who, track.Line(e))
}

// json writes one event on one line that steers no terminal.
func (v *pxeView) json(e event.Event) {
	const long = 1024
	for _, text := range []*string{&e.File, &e.Text, &e.Rule, &e.Loader} {
		*text = event.Plain(*text, long)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return // a time beyond the year 9999
	}
	_, _ = v.out.Write(append(line, '\n')) // a script that does not listen is no reason to stop
}

// show draws the boxes, or says what is new of them.
func (v *pxeView) show(table *track.Table) {
	switch {
	case v.script:
	case v.screen != nil:
		width, height, err := term.GetSize(int(v.screen.Fd()))
		if err != nil {
			width, height = 80, 24
		}
		v.draw(pxeLines(table.Snapshot(), width, height))
	default:
		v.news(table.Snapshot())
	}
}

// news writes a line for each box that is another than it was.
func (v *pxeView) news(list []track.Box) {
	was := v.said
	v.said = map[event.MAC]string{} // of those that are there: strangers come and go
	for _, b := range list {
		about := fmt.Sprint(b.Stage, b.Diagnosis)
		if b.Total > 0 {
			about += fmt.Sprint(4 * b.Done / b.Total) // a line at each quarter
		}
		if b.Seen.IsZero() {
			continue
		}
		if v.said[b.MAC] = about; was[b.MAC] == about {
			continue
		}
		fmt.Fprintf(v.out, "%s  %s\n", b.Seen.Local().Format("15:04:05"), strings.Join(pxeBox(b, 0), " "))
	}
}

// Of a terminal (ECMA-48): the cursor up, erase to the end of the line, erase to
// the end of the screen, and the wrapping of lines off and on (DEC's).
const (
	cursorUp  = "\x1b[%dA"
	eraseLine = "\x1b[K"
	eraseRest = "\x1b[J"
	wrapOff   = "\x1b[?7l"
	wrapOn    = "\x1b[?7h"
)

// draw puts lines in the place of those that it put last.
func (v *pxeView) draw(lines []string) {
	var b bytes.Buffer
	if v.drawn > 0 {
		fmt.Fprintf(&b, cursorUp, v.drawn)
	}
	b.WriteString("\r" + wrapOff)
	for _, line := range lines {
		b.WriteString(line + eraseLine + "\n")
	}
	b.WriteString(eraseRest + wrapOn)
	v.drawn = len(lines)
	_, _ = v.out.Write(b.Bytes())
}

// erase makes room for a line that stays.
func (v *pxeView) erase() {
	if v.drawn > 0 {
		fmt.Fprintf(v.out, cursorUp+"\r"+eraseRest, v.drawn)
		v.drawn = 0
	}
}

// pxeLines are the boxes on a screen of width and height. Where it is too small
// for all, those that need somebody, and then those that are at work, come first.
func pxeLines(list []track.Box, width, height int) []string {
	if len(list) == 0 {
		return []string{"no box was heard of yet: put a cable in, and switch one on"}
	}
	var lines []string
	hidden := 0
	for rank := range 3 {
		for _, b := range list {
			if pxeRank(b) != rank {
				continue
			}
			about := pxeBox(b, width)
			if len(lines)+len(about) > max(1, height-2) { // one for what is hidden, one for the cursor
				hidden++
				continue
			}
			lines = append(lines, about...)
		}
	}
	if hidden > 0 {
		lines = append(lines, fmt.Sprintf("and %d more boxes", hidden))
	}
	return lines
}

// pxeRank is how soon a person should see a box.
func pxeRank(b track.Box) int {
	switch {
	case b.Diagnosis != "":
		return 0
	case b.Stage > track.Disk && b.Stage < track.Healthy:
		return 1
	}
	return 2
}

// pxeBox is a box in a line, and in lines below what is wrong with it where that
// is too long; a width of 0 is any.
func pxeBox(b track.Box, width int) []string {
	stage := b.Stage.String()
	if b.Stage == track.Quiet && b.Install != nil {
		stage = "armed"
	}
	line := fmt.Sprintf("%-17s  %-14s", cut(b.Title(), 17), stage)
	if detail := pxeDetail(b); detail != "" {
		line += "  " + detail
	}
	if b.Diagnosis == "" {
		return []string{cut(strings.TrimRight(line, " "), width-1)}
	}
	if whole := line + "  " + b.Diagnosis; width == 0 || utf8.RuneCountInString(whole) < width {
		return []string{whole}
	}
	lines := []string{cut(strings.TrimRight(line, " "), width-1)}
	for _, words := range wrapWords(b.Diagnosis, max(20, width-5)) {
		lines = append(lines, "    "+words)
	}
	return lines
}

// pxeDetail is how far a box is in its stage.
func pxeDetail(b track.Box) string {
	var parts []string
	if b.Total > 0 {
		parts = append(parts, fmt.Sprintf("%3d %%", int(100*min(1, float64(b.Done)/float64(b.Total)))))
	}
	if b.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%.1f MiB/s", b.Rate/(1<<20)))
	}
	if b.Left > 0 {
		parts = append(parts, took(time.Duration(b.Left*float64(time.Second)))+" left")
	}
	switch {
	case b.File != "":
		parts = append(parts, b.File)
	case b.Diagnosis != "":
	case b.Text != "":
		parts = append(parts, b.Text)
	case b.Stage < track.Loader:
		parts = append(parts, b.Who)
	}
	return strings.Join(parts, "  ")
}

// cut is the beginning of a text; a width below 1 is any.
func cut(text string, width int) string {
	if width < 1 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// wrapWords breaks a text at its spaces.
func wrapWords(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
