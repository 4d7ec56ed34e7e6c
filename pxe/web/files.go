package web

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"tench/pxe/event"
)

// often is how often a transfer is reported.
const often = 250 * time.Millisecond

// file serves one file to a box.
func (b boxes) file(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, err := b.Open(client(r), name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.say(r, event.Event{Kind: event.Missing, File: name})
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	case err != nil:
		b.say(r, event.Event{Kind: event.Trouble, File: name, Text: err.Error()})
		http.Error(w, trouble, http.StatusServiceUnavailable)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodHead {
		b.say(r, event.Event{Kind: event.Probe, File: name, Total: f.Size()})
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(f, 0, f.Size()))
		return
	}
	p := &passing{SectionReader: io.NewSectionReader(f, 0, f.Size()), b: b, r: r, name: name}
	out := &paced{ResponseWriter: w}
	http.ServeContent(out, r, "", time.Time{}, p)
	p.end(out.err)
}

// passing is a file that reports how far it was read.
type passing struct {
	*io.SectionReader
	b    boxes
	r    *http.Request
	name string

	at    int64     // bytes from the start that were read
	began bool      // something was reported
	last  time.Time // when
	err   error     // of reading
}

func (p *passing) Read(buf []byte) (int, error) {
	if now := p.b.Now(); !p.began || now.Sub(p.last) >= often {
		p.began, p.last = true, now
		p.at, _ = p.Seek(0, io.SeekCurrent) // where a range begins
		p.report(event.Transfer, "")
	}
	n, err := p.SectionReader.Read(buf)
	p.at, _ = p.Seek(0, io.SeekCurrent)
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	return n, err
}

func (p *passing) report(kind event.Kind, text string) {
	p.b.say(p.r, event.Event{Kind: kind, File: p.name, Done: p.at, Total: p.Size(), Text: text})
}

// end reports how it ended. A range that cannot be had, or an empty file, reads
// nothing.
func (p *passing) end(cut error) {
	switch {
	case p.err != nil:
		p.report(event.Trouble, p.err.Error())
	case cut != nil:
		p.report(event.Aborted, "the line broke: "+cut.Error())
	case p.began:
		p.report(event.Transfer, "")
	}
}

// trouble is what a box hears of an error that is none of its business.
const trouble = "the server has trouble; its operator sees which"

// stall is how long a client may take nothing of an answer.
const stall = 30 * time.Second

// paced is an answer whose client may be slow, but not silent: there is no limit
// for the whole of it, since an image takes as long as it takes.
type paced struct {
	http.ResponseWriter
	any bool  // something was written
	err error // the first of writing
}

func (p *paced) Write(data []byte) (int, error) {
	p.more()
	n, err := p.ResponseWriter.Write(data)
	p.any = true
	if err != nil && p.err == nil {
		p.err = err
	}
	return n, err
}

// WriteHeader is all that is written of an answer without a body.
func (p *paced) WriteHeader(status int) {
	p.more()
	p.ResponseWriter.WriteHeader(status)
}

// more gives the next piece its time.
func (p *paced) more() {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(stall)) // a recorder of tests has none
}

// Unwrap gives http.ResponseController what is below.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
