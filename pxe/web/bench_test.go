package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tench/internal/slottest"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
	"tench/release/writestream"
)

// bench is a table, the content that boxes get, and a server in front.
type bench struct {
	t      *testing.T
	table  *track.Table
	files  map[string][]byte
	broken error  // of every file
	dir    string // of the table

	mu     sync.Mutex
	now    time.Time
	events []event.Event

	planErr, doneErr, imageErr error
	image                      []byte // what of it comes before imageErr
	midway                     func() // called in the middle of the image
	server                     *httptest.Server
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: start, files: map[string][]byte{}, dir: filepath.Join(t.TempDir(), "installs")}
	var err error
	b.table, err = track.New(track.Options{
		Dir: b.dir, Now: b.clock, Random: rand.Reader,
		Name: func(m event.MAC) string { return map[event.MAC]string{gw0: "gw0"}[m] },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.table.Close() })
	h := Boxes(Options{
		Table: b.table, Content: b, Open: b.open, Sink: b.hear, Now: b.clock,
		Box: func(netip.Addr) event.MAC { return gw0 },
	})
	b.server = httptest.NewServer(h)
	t.Cleanup(b.server.Close)
	return b
}

// clock goes on by a second with every look.
func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(time.Second)
	return b.now
}

func (b *bench) hear(e event.Event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	b.mu.Unlock()
	b.table.Event(e)
}

// kinds are the events so far, in short, and are forgotten.
func (b *bench) kinds() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var words []string
	for _, e := range b.events {
		if e.Box != gw0 {
			b.t.Errorf("an event of box %v, want gw0", e.Box)
		}
		word := string(e.Kind)
		if e.Stage != "" {
			word += ":" + string(e.Stage)
		}
		words = append(words, word)
	}
	b.events = nil
	return strings.Join(words, " ")
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func (b *bench) open(_ netip.AddrPort, name string) (File, error) {
	if b.broken != nil {
		return nil, b.broken
	}
	data, ok := b.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return memory{bytes.NewReader(data)}, nil
}

func (b *bench) Plan(_ context.Context, i track.Install, q netboot.Question) (netboot.Plan, error) {
	if b.planErr != nil {
		return netboot.Plan{}, b.planErr
	}
	if len(q.Disks) == 0 {
		return netboot.Plan{}, &Refusal{Text: strings.Join(q.Hardware.Product, " ") + " is another board", Final: true}
	}
	return netboot.Plan{Disk: q.Disks[0].Name}, nil
}

func (b *bench) Image(context.Context, track.Install, writestream.Request) (Image, error) {
	if b.imageErr != nil && len(b.image) == 0 {
		return nil, b.imageErr
	}
	return benchImage{b}, nil
}

// benchImage is the image of a bench. One that fails ends before its end.
type benchImage struct{ b *bench }

func (i benchImage) Size() int64 {
	if i.b.imageErr != nil {
		return int64(len(i.b.image)) + 1
	}
	return int64(len(i.b.image))
}

func (i benchImage) Tag() string { return slottest.Sum(i.b.image) }

func (benchImage) Close() error { return nil }

func (i benchImage) Send(_ context.Context, w io.Writer) error {
	half := len(i.b.image) / 2
	if _, err := w.Write(i.b.image[:half]); err != nil {
		return err
	}
	if i.b.midway != nil {
		i.b.midway()
	}
	if _, err := w.Write(i.b.image[half:]); err != nil {
		return err
	}
	return i.b.imageErr
}

func (b *bench) Done(_ context.Context, i track.Install, receipt string) error { return b.doneErr }

// do sends a request as it is and returns the status and the body.
func (b *bench) do(method, path, body string, headers ...string) (int, string, http.Header) {
	b.t.Helper()
	r, err := http.NewRequest(method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return answer.StatusCode, "broken: " + string(text), answer.Header
	}
	return answer.StatusCode, string(text), answer.Header
}

func (b *bench) arm(mode netboot.Mode) string {
	b.t.Helper()
	i, err := b.table.Arm(track.Order{Box: gw0, Name: "gw0", Mode: mode, Board: "apu2", Release: "2026.11"})
	if err != nil {
		b.t.Fatal(err)
	}
	return "/b/" + i.Token + "/"
}
