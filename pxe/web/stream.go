package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// maxStreams is how many pages may follow at once.
const maxStreams = 32

const (
	settle = 250 * time.Millisecond // several changes are one
	look   = time.Second            // time limits pass, consoles speak: nobody tells
	alive  = 15 * time.Second       // a line nobody needs, so that a dead one is noticed
)

// events sends what the page shows, as server-sent events (WHATWG HTML, 9.2):
//
//	event: box      {"id": …, "html": …}  a row that is new or another
//	event: order    ["box-…", …]          all rows
//	event: foreign  "…"                   another DHCP server, in words; "" for none
func (d *desk) events(w http.ResponseWriter, r *http.Request) {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		http.Error(w, "too many pages follow already", http.StatusServiceUnavailable)
		return
	}
	changes, stop := d.Table.Watch()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	f := follower{desk: d, out: &paced{ResponseWriter: w}, sent: map[string]string{}}
	tick, beat := time.NewTicker(look), time.NewTicker(alive)
	defer tick.Stop()
	defer beat.Stop()
	for f.update() {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		case <-beat.C:
			fmt.Fprint(f.out, ":\n\n")
		case <-changes:
			select {
			case <-r.Context().Done():
				return
			case <-time.After(settle):
			}
		}
	}
}

// follower is one page, and what it has.
type follower struct {
	*desk
	out  *paced
	sent map[string]string // by kind of event, and for boxes by ID
}

// update sends what is another than what was sent, and reports whether the page
// is there still.
func (f *follower) update() bool {
	order := []string{}
	has := map[string]bool{"order": true, "foreign": true}
	for _, r := range f.rows() {
		var html bytes.Buffer
		if err := page.ExecuteTemplate(&html, "box", r); err != nil {
			panic("web: " + err.Error()) // the template does not fit its data
		}
		order, has[r.ID] = append(order, r.ID), true
		f.send("box", r.ID, map[string]string{"id": r.ID, "html": html.String()})
	}
	f.send("order", "order", order)
	f.send("foreign", "foreign", foreignWords(f.Table.Foreign()))
	for id := range f.sent {
		if !has[id] {
			delete(f.sent, id)
		}
	}
	_ = http.NewResponseController(f.out).Flush()
	return f.out.err == nil
}

// send sends an event, unless the page has just that.
func (f *follower) send(kind, id string, about any) {
	data, err := json.Marshal(about)
	if err != nil {
		panic("web: " + err.Error())
	}
	if f.sent[id] != string(data) {
		f.sent[id] = string(data)
		fmt.Fprintf(f.out, "event: %s\ndata: %s\n\n", kind, data)
	}
}
