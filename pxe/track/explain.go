package track

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

// heard is how many events of a box are kept.
const heard = 48

// history is the last events of a box. Those of one transfer, and of one stage of
// the installer, are one.
type history struct {
	events []event.Event
	total  int
}

func (h *history) add(e event.Event) {
	h.total++
	if n := len(h.events); n > 0 && (e.Kind == event.Transfer || e.Kind == event.Installer) {
		if last := &h.events[n-1]; last.Kind == e.Kind && last.File == e.File && last.Stage == e.Stage && last.Text == e.Text && last.Done <= e.Done {
			h.total--
			last.Done, last.Total = e.Done, e.Total
			return
		}
	}
	if len(h.events) == heard {
		h.events = slices.Delete(h.events, 0, 1)
	}
	h.events = append(h.events, e)
}

// last is the newest event of one of the kinds.
func (h *history) last(kinds ...event.Kind) (event.Event, bool) {
	for _, e := range slices.Backward(h.events) {
		if slices.Contains(kinds, e.Kind) {
			return e, true
		}
	}
	return event.Event{}, false
}

// Explain says in lines of words what a box is doing, which rule answered it or
// why nobody did, how its arming goes, and what was heard of it.
func (t *Table) Explain(mac event.MAC) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.boxes[mac]
	if b == nil || b.seen.IsZero() && b.install == nil {
		return fmt.Sprintf("%s was not heard of.\nIs it on, and its cable in? Is booting from the network on in its firmware, and this its address?\n", mac)
	}
	var w strings.Builder
	now := t.o.Now()
	fmt.Fprint(&w, mac)
	if name := t.name(mac); name != "" {
		fmt.Fprintf(&w, " (%s)", name)
	}
	t.explainNow(&w, b, now)
	t.explainAnswer(&w, b)
	if b.install != nil {
		explainInstall(&w, *b.install)
	}
	if len(b.history.events) > 0 {
		fmt.Fprintf(&w, "\nheard, the last %d of %d:\n", len(b.history.events), b.history.total)
	}
	for _, e := range b.history.events {
		fmt.Fprintf(&w, "  %s  %s\n", clock(e.Time), Line(e))
	}
	return w.String()
}

// clock is a time of day as people compare it with their own.
func clock(t time.Time) string { return t.Local().Format("15:04:05") }

func (t *Table) explainNow(w *strings.Builder, b *box, now time.Time) {
	if b.seen.IsZero() {
		fmt.Fprintln(w, " was not heard of since this server started.")
		return
	}
	w.WriteString(": ")
	if b.boot.stage != Quiet {
		fmt.Fprintf(w, "%s, since %s; ", b.boot.stage, clock(b.boot.since))
	}
	fmt.Fprintf(w, "last heard of at %s.\n", clock(b.seen))
	if why := t.diagnose(b, now); why != "" {
		fmt.Fprintf(w, "What is wrong: %s.\n", why)
	}
	if b.boot.who != "" {
		fmt.Fprintf(w, "Who asked last: %s.\n", b.boot.who)
	}
}

// explainAnswer is about the last answer, or why there was none.
func (t *Table) explainAnswer(w *strings.Builder, b *box) {
	e, ok := b.history.last(event.Offer, event.Ack, event.Nak, event.Proxy, event.Silent, event.Disk, event.Refused)
	if !ok {
		return
	}
	fmt.Fprintf(w, "Last answer, at %s: %s", clock(e.Time), Line(e))
	if e.Rule != "" {
		fmt.Fprintf(w, "; by the rule: %s", e.Rule)
	}
	fmt.Fprintln(w, ".")
}

func explainInstall(w *strings.Builder, i Install) {
	fmt.Fprintf(w, "Armed at %s to be %s: %s since %s, boots: %d", clock(i.Armed), map[netboot.Mode]string{netboot.Install: "installed once", netboot.Run: "run from memory"}[i.Mode], i.State, clock(i.Changed), i.Boots)
	if furthest := max(i.Reached, i.Furthest); furthest > Quiet {
		fmt.Fprintf(w, ", furthest to %q", furthest)
	}
	if i.Why != "" {
		fmt.Fprintf(w, "; %s", i.Why)
	}
	fmt.Fprintln(w, ".")
	if i.Port != i.Box && !i.Port.IsZero() {
		fmt.Fprintf(w, "It boots by its port %s: tench pxe explain %[1]s tells what was heard there.\n", i.Port)
	}
	if !i.Pending() {
		fmt.Fprintln(w, "It is told to boot its disk.")
	}
}

// Line is an event in words, without its time and box, and with nothing that
// steers a terminal.
func Line(e event.Event) string {
	const long = 256
	parts := []string{string(e.Kind)}
	if e.Stage != "" {
		parts = append(parts, string(e.Stage))
	}
	if e.IP.IsValid() {
		parts = append(parts, e.IP.String())
	}
	if e.File != "" {
		parts = append(parts, event.Plain(e.File, long))
	}
	if e.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d bytes", e.Done, e.Total))
	}
	if e.Text != "" {
		parts = append(parts, event.Plain(e.Text, long))
	}
	return strings.Join(parts, " ")
}
