package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
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
	for _, r := range f.drawn.rows(f.desk) {
		order, has[r.id] = append(order, r.id), true
		f.send("box", r.id, r.data)
	}
	f.send("order", "order", encoded(order))
	f.send("foreign", "foreign", encoded(foreignWords(f.Table.Foreign())))
	for id := range f.sent {
		if !has[id] {
			delete(f.sent, id)
		}
	}
	_ = http.NewResponseController(f.out).Flush()
	return f.out.err == nil
}

// send sends an event, unless the page has just that.
func (f *follower) send(kind, id, data string) {
	if f.sent[id] != data {
		f.sent[id] = data
		fmt.Fprintf(f.out, "event: %s\ndata: %s\n\n", kind, data)
	}
}

// encoded is the data of an event.
func encoded(about any) string {
	data, err := json.Marshal(about)
	if err != nil {
		panic("web: " + err.Error())
	}
	return string(data)
}

// fresh is how long rows that were drawn for one page do for the others. It is
// less than settle: what a page was told of before it waited that long is in them.
const fresh = settle / 2

// drawing is all rows as events carry them, drawn once for all pages: a thousand
// boxes are some ten milliseconds of work.
type drawing struct {
	mu   sync.Mutex
	at   time.Time
	list []drawnRow
}

type drawnRow struct{ id, data string }

func (w *drawing) rows(d *desk) []drawnRow {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) < fresh {
		return w.list
	}
	w.at, w.list = time.Now(), nil
	for _, r := range d.rows() {
		var html bytes.Buffer
		if err := page.ExecuteTemplate(&html, "box", r); err != nil {
			panic("web: " + err.Error()) // the template does not fit its data
		}
		w.list = append(w.list, drawnRow{r.ID, encoded(map[string]string{"id": r.ID, "html": html.String()})})
	}
	return w.list
}
