package web

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/writestream"
)

// image sends the write stream, or what a box lacks of it whose line broke.
func (b boxes) image(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead { // which the mux takes for a GET
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	if _, ok := b.pending(w, r); !ok {
		return
	}
	request, err := writestream.ParseRequest(r.URL.RawQuery)
	if err != nil {
		http.Error(w, event.Plain(err.Error(), maxText), http.StatusBadRequest)
		return
	}
	i, err := b.Table.Begin(r.PathValue("token"))
	if err != nil {
		b.refuseToken(w, r, err)
		return
	}
	img, err := b.Content.Image(r.Context(), i, request)
	if err != nil {
		b.fail(w, r, i, err)
		return
	}
	defer img.Close()
	from := firstByte(r.Header, quoted(img.Tag()))
	if from >= img.Size() {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", img.Size()))
		http.Error(w, "the image ends before that", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	b.send(w, r, i, part{img, from})
}

// part is an image from a byte on.
type part struct {
	Image
	from int64
}

// send sends a part, and reports how that ends badly.
func (b boxes) send(w http.ResponseWriter, r *http.Request, i track.Install, p part) {
	out := &armed{paced: paced{ResponseWriter: w}, table: b.Table, token: i.Token, begin: func() { p.head(w) }}
	err := p.Send(r.Context(), &behind{w: out, left: p.from}) // up to there it is made for nobody
	switch {
	case err == nil:
	case out.over != nil:
		b.sayOf(r, i, event.Event{Kind: event.Aborted, File: "image", Text: "it was disarmed meanwhile"})
		panic(http.ErrAbortHandler)
	case out.err != nil:
		b.sayOf(r, i, event.Event{Kind: event.Aborted, File: "image", Text: "the line broke: " + out.err.Error()})
		panic(http.ErrAbortHandler)
	case out.any:
		b.sayOf(r, i, event.Event{Kind: event.Trouble, File: "image", Text: err.Error()})
		panic(http.ErrAbortHandler) // the box must not take it for an end
	default:
		b.fail(w, r, i, err)
	}
}

// head is written when there is something to send: what fails before has another.
func (p part) head(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", quoted(p.Tag()))
	h.Set("Content-Length", strconv.FormatInt(p.Size()-p.from, 10))
	if p.from > 0 {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", p.from, p.Size()-1, p.Size()))
		w.WriteHeader(http.StatusPartialContent)
	}
}

// behind passes on what comes behind so many bytes.
type behind struct {
	w    io.Writer
	left int64
}

func (b *behind) Write(data []byte) (int, error) {
	skip := min(b.left, int64(len(data)))
	b.left -= skip
	if skip == int64(len(data)) {
		return len(data), nil
	}
	n, err := b.w.Write(data[skip:])
	return int(skip) + n, err
}

func quoted(tag string) string { return `"` + tag + `"` }

// firstByte is where an answer begins: at 0, but for "bytes=N-" of what the box has
// the beginning of (RFC 9110, 13.1.5 and 14.2). No other kind of range is asked
// for by an installer, and all of an answer is right for any.
func firstByte(h http.Header, tag string) int64 {
	if have := h.Get("If-Range"); have != "" && have != tag {
		return 0
	}
	text, isBytes := strings.CutPrefix(h.Get("Range"), "bytes=")
	number, open := strings.CutSuffix(text, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if !isBytes || !open || err != nil || n < 0 {
		return 0
	}
	return n
}

// armed is the stream to a box as long as its install is wanted: one that the
// operator takes back stops in the middle, before the boot sector.
type armed struct {
	paced
	table *track.Table
	token string
	begin func() // called before the first byte
	over  error  // it is no more
}

func (a *armed) Write(data []byte) (int, error) {
	i, err := a.table.Token(a.token)
	if err == nil && !i.Pending() {
		err = track.ErrOver
	}
	if err != nil {
		a.over = err
		return 0, err
	}
	if !a.any {
		a.begin()
	}
	return a.paced.Write(data)
}
