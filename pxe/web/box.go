package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
)

// What is taken from a box.
const (
	maxBody  = 64 << 10 // bytes of a POST
	maxDisks = 64
	maxText  = 512 // bytes of a text, cut there
	maxName  = 128 // bytes of a name of hardware, and of how many
	maxNames = 16
)

// progress takes what an installer, or the system after it, says of itself.
func (b boxes) progress(w http.ResponseWriter, r *http.Request) {
	var p netboot.Progress
	i, ok := b.asked(w, r, b.token, &p)
	if !ok {
		return
	}
	kind, known := reports[p.Stage]
	over := !i.Pending() && slices.Contains(installing, p.Stage)
	early := i.Mode == netboot.Install && i.Pending() && (p.Stage == netboot.Ready || p.Stage == netboot.Healthy)
	switch {
	case !known || p.Done < 0 || p.Total < 0:
		http.Error(w, fmt.Sprintf("no progress is stage %.20q, %d of %d", p.Stage, p.Done, p.Total), http.StatusBadRequest)
		return
	case over:
		b.refuseOver(w, i)
		return
	case early:
		http.Error(w, fmt.Sprintf("this box is %s, not installed", i.State), http.StatusConflict)
		return
	}
	e := event.Event{Kind: kind, Done: p.Done, Total: p.Total, Text: event.Plain(p.Text, maxText)}
	if kind == event.Installer {
		e.Stage = p.Stage
	}
	b.sayOf(r, i, e)
	w.WriteHeader(http.StatusNoContent)
}

// reports are the kinds of event that the stages are.
var reports = map[netboot.Stage]event.Kind{
	netboot.Disks: event.Installer, netboot.Confirm: event.Installer, netboot.Write: event.Installer, netboot.Check: event.Installer,
	netboot.Reboot: event.Installer, netboot.Failed: event.Installer, netboot.Ready: event.Ready, netboot.Healthy: event.Healthy,
}

// installing are the stages in which a disk is about to be written.
var installing = []netboot.Stage{netboot.Disks, netboot.Confirm, netboot.Write, netboot.Check}

// plan says which disk to write.
func (b boxes) plan(w http.ResponseWriter, r *http.Request) {
	var q netboot.Question
	i, ok := b.asked(w, r, b.pending, &q)
	if !ok {
		return
	}
	if len(q.Disks) > maxDisks {
		http.Error(w, fmt.Sprintf("%d disks are more than %d", len(q.Disks), maxDisks), http.StatusBadRequest)
		return
	}
	for n := range q.Disks {
		plainDisk(&q.Disks[n])
	}
	plainHardware(&q.Hardware)
	b.sayOf(r, i, event.Event{Kind: event.Installer, Stage: netboot.Disks, Text: diskWords(q.Disks)})
	plan, err := b.Content.Plan(r.Context(), i, q)
	if err != nil {
		b.fail(w, r, i, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(plan) // a box that is gone asks again
}

// plainDisk makes the texts of a disk harmless.
func plainDisk(d *netboot.Disk) {
	for _, text := range []*string{&d.Name, &d.Model, &d.Serial, &d.Content, &d.Refused, &d.Board, &d.Release, &d.Slot} {
		*text = event.Plain(*text, maxText)
	}
}

// plainHardware makes the names of hardware harmless, and few.
func plainHardware(h *netboot.Hardware) {
	for _, list := range []*[]string{&h.Vendor, &h.Product, &h.Compatible} {
		*list = (*list)[:min(len(*list), maxNames)]
		for n, name := range *list {
			(*list)[n] = event.Plain(name, maxName)
		}
	}
}

// diskWords are the disks of a box in one line.
func diskWords(disks []netboot.Disk) string {
	if len(disks) == 0 {
		return "no disk yet"
	}
	text := ""
	for n, d := range disks {
		if n > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s: %s, %d MB, serial %q, %s", d.Name, d.Model, d.Size/1e6, d.Serial, d.Content)
	}
	return event.Plain(text, maxText)
}

// done takes the word that the box has read back what it wrote.
func (b boxes) done(w http.ResponseWriter, r *http.Request) {
	var d netboot.Done
	i, ok := b.asked(w, r, b.token, &d)
	if !ok {
		return
	}
	receipt := event.Plain(d.SHA256, maxText)
	if err := b.Content.Done(r.Context(), i, receipt); err != nil {
		b.fail(w, r, i, err)
		return
	}
	i, err := b.Table.Done(r.PathValue("token"), receipt)
	if err != nil {
		b.refuseToken(w, r, err)
		return
	}
	b.sayOf(r, i, event.Event{Kind: event.Written, Text: "read back: " + receipt})
	w.WriteHeader(http.StatusNoContent)
}

// installed takes the word of an installer that is not ours, FreeBSD's, that it is
// done. There is nothing to compare: from here on the box boots its disk.
func (b boxes) installed(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead { // which the mux takes for a GET
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	i, ok := b.token(w, r)
	switch {
	case !ok:
		return
	case !i.Once:
		http.Error(w, "this box is installed by tench, which says so itself", http.StatusConflict)
		return
	case i.Pending():
		if _, err := b.Table.Begin(r.PathValue("token")); err != nil {
			b.refuseToken(w, r, err)
			return
		}
	}
	i, err := b.Table.Done(r.PathValue("token"), "")
	if err != nil {
		b.refuseToken(w, r, err)
		return
	}
	b.sayOf(r, i, event.Event{Kind: event.Written, Text: "its installer says so"})
	_, _ = io.WriteString(w, "ok\n") // fetch(1) takes an answer without content for an error
}

// asked is whose request it is, by one of the two below, and its body.
func (b boxes) asked(w http.ResponseWriter, r *http.Request, whose func(http.ResponseWriter, *http.Request) (track.Install, bool), body any) (track.Install, bool) {
	i, ok := whose(w, r)
	return i, ok && b.body(w, r, body)
}

// token finds the arming of the request, or answers that there is none.
func (b boxes) token(w http.ResponseWriter, r *http.Request) (track.Install, bool) {
	i, err := b.Table.Token(r.PathValue("token"))
	if err != nil {
		b.refuseToken(w, r, err)
		return track.Install{}, false
	}
	return i, true
}

// pending is token for what only a box asks that is being installed.
func (b boxes) pending(w http.ResponseWriter, r *http.Request) (track.Install, bool) {
	i, ok := b.token(w, r)
	switch {
	case !ok:
	case i.Mode != netboot.Install:
		http.Error(w, "this box is to run, not to be installed", http.StatusConflict)
		ok = false
	case !i.Pending():
		b.refuseOver(w, i)
		b.sayOf(r, i, event.Event{Kind: event.Refused, Text: fmt.Sprintf("it asked to be installed again, with a token whose install is %s", i.State)})
		ok = false
	}
	return i, ok
}

// refuseToken answers what the table did not take.
func (b boxes) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, track.ErrToken):
		b.say(r, event.Event{Kind: event.Refused, Text: "it shows a token that there is not: was it armed anew, or disarmed, since it started?"})
		http.Error(w, "the server knows no such token: was the box armed anew, or disarmed, since it started? start it again", http.StatusForbidden)
	case errors.Is(err, track.ErrOver):
		http.Error(w, "this install is over: start from the disk", http.StatusGone)
	case errors.Is(err, track.ErrEarly):
		http.Error(w, "the image was not fetched since this box started", http.StatusConflict)
	default:
		b.say(r, event.Event{Kind: event.Trouble, Text: err.Error()})
		http.Error(w, trouble, http.StatusServiceUnavailable)
	}
}

func (b boxes) refuseOver(w http.ResponseWriter, i track.Install) {
	http.Error(w, fmt.Sprintf("this install is over: it is %s. start from the disk", i.State), http.StatusGone)
}

// fail answers an error of Content.
func (b boxes) fail(w http.ResponseWriter, r *http.Request, i track.Install, err error) {
	var no *Refusal
	if errors.As(err, &no) {
		b.sayOf(r, i, event.Event{Kind: event.Refused, Text: no.Text})
		status := http.StatusConflict
		if no.Final {
			status = http.StatusForbidden
		}
		http.Error(w, no.Text, status)
		return
	}
	b.sayOf(r, i, event.Event{Kind: event.Trouble, Text: err.Error()})
	http.Error(w, trouble, http.StatusServiceUnavailable)
}

// sayOf reports an event of the box that the token is of, where it booted from.
func (b boxes) sayOf(r *http.Request, i track.Install, e event.Event) {
	e.Time, e.IP, e.Box = b.Now(), client(r).Addr(), cmp.Or(i.Port, i.Box)
	b.Sink.Send(e)
}

// body reads the JSON of a request, or answers what is wrong with it. Keys that
// are not known are a newer box's, and left alone.
func (b boxes) body(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("there is more behind it")
	}
	if err != nil {
		http.Error(w, event.Plain("the body is no JSON that is wanted: "+err.Error(), maxText), http.StatusBadRequest)
		return false
	}
	return true
}
