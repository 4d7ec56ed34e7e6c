package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"time"

	"tench/pxe/event"
	"tench/pxe/track"
)

// DeskOptions are what Desk is made with.
type DeskOptions struct {
	Table *track.Table
	// About says what this server serves, in one line, e.g. "enp3s0: proxy, 192.0.2.1".
	About string
	// Console is what a box's serial console said last, oldest line first; nil
	// lines where none is attached. Itself may be nil.
	Console func(event.MAC) []string
}

// tail is how many lines of a console the page shows; the rest is one click away.
const tail = 12

//go:embed page
var pageFiles embed.FS

// page is the page, and "box" in it one box.
var page = template.Must(template.New("").Funcs(template.FuncMap{
	"clock": func(t time.Time) string { return t.Local().Format("15:04:05") },
	"mib":   func(bytesPerSecond float64) string { return fmt.Sprintf("%.1f MiB/s", bytesPerSecond/(1<<20)) },
	"left":  func(s float64) string { return time.Duration(s * float64(time.Second)).Round(time.Second).String() },
}).ParseFS(pageFiles, "page/*.html"))

// row is what the template gets of a box.
type row struct {
	track.Box
	ID      string // in the page
	Percent int    // -1 for not known
	Look    string // its class: ok, bad, busy, ""
	Console []string
}

// Desk is the handler for the operator. It answers only requests for an address
// or for localhost: a page of a stranger that names its own address this way (DNS
// rebinding) gets nothing. It changes nothing, whoever asks.
func Desk(o DeskOptions) http.Handler {
	d := &desk{DeskOptions: o, streams: make(chan struct{}, maxStreams)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.page)
	mux.HandleFunc("GET /events", d.events)
	mux.HandleFunc("GET /boxes.json", d.json)
	mux.HandleFunc("GET /metrics", d.metrics)
	mux.HandleFunc("GET /console/{box}", d.console)
	mux.HandleFunc("GET /page.css", d.asset("page.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page.js", d.asset("page.js", "text/javascript; charset=utf-8"))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !ours(r.Host) {
			http.Error(w, "this page answers to its address, not to a name", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ours tells whether a Host is an address, or localhost.
func ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

type desk struct {
	DeskOptions
	streams chan struct{} // one for each that is open
	drawn   drawing
}

func (d *desk) asset(name, kind string) http.HandlerFunc {
	data, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic("web: " + err.Error()) // it is embedded
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(data)
	}
}

func (d *desk) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.ExecuteTemplate(w, "page.html", map[string]any{"About": event.Plain(d.About, 200), "Rows": d.rows(), "Foreign": foreignWords(d.Table.Foreign())})
}

// foreignWords say that there is another DHCP server.
func foreignWords(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return "Another DHCP server was heard on this cable: " + a.String()
}

func (d *desk) rows() []row {
	list := d.Table.Snapshot()
	rows := make([]row, len(list))
	for i, b := range list {
		rows[i] = d.row(b)
	}
	return rows
}

func (d *desk) row(b track.Box) row {
	r := row{Box: b, ID: "box-" + b.MAC.Dashed(), Percent: -1}
	if b.Total > 0 {
		r.Percent = int(100 * min(1, float64(b.Done)/float64(b.Total)))
	}
	switch {
	case b.Diagnosis != "":
		r.Look = "bad"
	case b.Stage == track.Healthy:
		r.Look = "ok"
	case b.Stage > track.Disk:
		r.Look = "busy"
	}
	lines := d.lines(b.MAC)
	r.Console = lines[max(0, len(lines)-tail):]
	return r
}

// lines are the transcript of a console, harmless.
func (d *desk) lines(box event.MAC) []string {
	if d.Console == nil {
		return nil
	}
	const long = 400
	var lines []string
	for _, line := range d.Console(box) {
		lines = append(lines, event.Plain(line, long))
	}
	return lines
}

func (d *desk) json(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(map[string]any{"boxes": d.Table.Snapshot()})
}

func (d *desk) console(w http.ResponseWriter, r *http.Request) {
	box, err := event.ParseMAC(r.PathValue("box"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, line := range d.lines(box) {
		fmt.Fprintln(w, line)
	}
}
