package web

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
)

var (
	gw0   = event.MAC{0x52, 0x54, 0, 0, 0, 1}
	start = time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
)

const image = "image?disk=sda&size=1073741824"

func TestFiles(t *testing.T) {
	tests := []struct {
		name, method, path, rang string
		broken                   error
		status                   int
		body, events             string
	}{
		{name: "whole", method: "GET", path: "/vmlinuz", status: 200, body: "0123456789", events: "transfer transfer"},
		{name: "the first bytes", method: "GET", path: "/vmlinuz", rang: "bytes=0-3", status: 206, body: "0123", events: "transfer transfer"},
		{name: "the last bytes", method: "GET", path: "/vmlinuz", rang: "bytes=-2", status: 206, body: "89", events: "transfer transfer"},
		{name: "beyond the end", method: "GET", path: "/vmlinuz", rang: "bytes=10-", status: 416, body: "invalid range: failed to overlap\n"},
		{name: "how large is it", method: "HEAD", path: "/vmlinuz", status: 200, events: "probe"},
		{name: "an empty file", method: "GET", path: "/empty", status: 200},
		{name: "missing", method: "GET", path: "/pxelinux.cfg/default", status: 404, body: "there is no such file\n", events: "missing"},
		{name: "a name as it is, without a redirect", method: "GET", path: "//a/../vmlinuz", status: 404, body: "there is no such file\n", events: "missing"},
		{name: "upwards, escaped", method: "GET", path: "/%2e%2e/%2e%2e/etc/passwd", status: 404, body: "there is no such file\n", events: "missing"},
		{name: "a NUL", method: "GET", path: "/vmlinuz%00.efi", status: 404, body: "there is no such file\n", events: "missing"},
		{name: "the folder", method: "GET", path: "/", status: 404, body: "there is no such file\n", events: "missing"},
		{name: "something is broken here", method: "GET", path: "/vmlinuz", broken: errors.New("open /home/anna/x: it has another hash"), status: 503, body: trouble + "\n", events: "trouble"},
		{name: "not to be written", method: "PUT", path: "/vmlinuz", status: 405, body: "only GET and HEAD\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.files["vmlinuz"], b.files["empty"], b.broken = []byte("0123456789"), nil, tt.broken
			headers := []string{}
			if tt.rang != "" {
				headers = append(headers, "Range", tt.rang)
			}
			status, body, _ := b.do(tt.method, tt.path, "", headers...)
			if status != tt.status || body != tt.body {
				t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, status, body, tt.status, tt.body)
			}
			if got := b.kinds(); got != tt.events {
				t.Errorf("events %q, want %q", got, tt.events)
			}
		})
	}
}

func TestAFileOnItsWay(t *testing.T) {
	b := newBench(t)
	b.files["vmlinuz"] = bytes.Repeat([]byte("tench"), 100_000)
	_, body, header := b.do("GET", "/vmlinuz", "")
	b.server.Close() // waits for the handler, which has the last word
	if body != string(b.files["vmlinuz"]) || header.Get("Content-Length") != "500000" {
		t.Errorf("%d bytes came, announced as %q; want the 500000", len(body), header.Get("Content-Length"))
	}
	before := int64(-1)
	for _, e := range b.events {
		if e.Kind != event.Transfer || e.File != "vmlinuz" || e.Total != 500_000 || e.Done < before {
			t.Errorf("an event that does not go on: %+v", e)
		}
		before = e.Done
	}
	if len(b.events) < 3 || b.events[0].Done != 0 || before != 500_000 {
		t.Errorf("%d events up to byte %d, want some, from 0 to 500000", len(b.events), before)
	}
	if got := b.table.Snapshot()[0].Stage; got != track.Kernel {
		t.Errorf("the box is at %q, want the kernel", got)
	}
}

// TestABoxThatGoesOff breaks the line in the middle of a file.
func TestABoxThatGoesOff(t *testing.T) {
	b := newBench(t)
	b.files["vmlinuz"] = make([]byte, 64<<20) // more than two sockets hold
	answer, err := http.Get(b.server.URL + "/vmlinuz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	b.server.Close() // waits for the handler
	if got := b.kinds(); !strings.HasPrefix(got, "transfer") || !strings.HasSuffix(got, "aborted") {
		t.Errorf("events %q, want a transfer that was aborted", got)
	}
}

func TestAnInstall(t *testing.T) {
	b := newBench(t)
	b.image = []byte("the stream")
	at := b.arm(netboot.Install)
	steps := []struct {
		what, method, path, body string
		status                   int
		answer                   string // begins with
		events                   string
	}{
		{"healthy, before it is installed", "POST", "progress", `{"stage":"healthy"}`, 409, "this box is armed, not installed", ""},
		{"done, before the image", "POST", "done", `{"sha256":"aa"}`, 409, "the image was not fetched", ""},
		{"its disks", "POST", "progress", `{"stage":"disks","of":"a newer box"}`, 204, "", "installer:disks"},
		{"which disk", "POST", "plan", `{"disks":[{"name":"sda","model":"Carp\u001b[2J","size":1073741824,"content":"empty"}]}`, 200, `{"disk":"sda"}`, "installer:disks"},
		{"the image, of no disk", "GET", "image", ``, 400, "write stream: ", ""},
		{"the image", "GET", image, ``, 200, "the stream", ""},
		{"progress", "POST", "progress", `{"stage":"write","done":5,"total":10}`, 204, "", "installer:write"},
		{"read back", "POST", "progress", `{"stage":"verify","done":5,"total":10}`, 204, "", "installer:verify"},
		{"done", "POST", "done", `{"sha256":"aa"}`, 204, "", "written"},
		{"done again, the answer got lost", "POST", "done", `{"sha256":"aa"}`, 204, "", "written"},
		{"done, of something else", "POST", "done", `{"sha256":"bb"}`, 410, "this install is over", ""},
		{"it restarts", "POST", "progress", `{"stage":"reboot"}`, 204, "", "installer:reboot"},
		{"the image again: a replay", "GET", image, ``, 410, "this install is over: it is written", "refused"},
		{"a plan again: a replay", "POST", "plan", `{"disks":[{"name":"sda"}]}`, 410, "this install is over: it is written", "refused"},
		{"it writes again, it says", "POST", "progress", `{"stage":"write","done":5,"total":10}`, 410, "this install is over", ""},
		{"ready", "POST", "progress", `{"stage":"ready"}`, 204, "", "ready"},
		{"healthy", "POST", "progress", `{"stage":"healthy"}`, 204, "", "healthy"},
		{"a replay, once it is healthy", "GET", image, ``, 410, "this install is over: it is healthy", "refused"},
		{"a method that there is not", "GET", "done", ``, 405, "Method Not Allowed", ""},
		{"how large is the image", "HEAD", image, ``, 405, "", ""},
		{"a request that there is not", "POST", "wipe", `{}`, 404, "404 page not found", ""},
	}
	for _, s := range steps {
		status, answer, _ := b.do(s.method, at+s.path, s.body)
		if status != s.status || !strings.HasPrefix(answer, s.answer) {
			t.Errorf("%s: %d %q, want %d %q", s.what, status, answer, s.status, s.answer)
		}
		if got := b.kinds(); got != s.events {
			t.Errorf("%s: events %q, want %q", s.what, got, s.events)
		}
	}
	if got := b.table.Snapshot()[0]; got.Stage != track.Healthy || got.Install.State != track.StateHealthy {
		t.Errorf("the box is %q, its install %q; want both healthy", got.Stage, got.Install.State)
	}
}

// A box whose line broke gets the rest of the stream that it has the beginning of.
func TestImageFromWhereTheLineBroke(t *testing.T) {
	b := newBench(t)
	b.image = []byte("0123456789")
	at := b.arm(netboot.Install) + image
	_, _, header := b.do("GET", at, "")
	tag := header.Get("ETag")
	if tag == "" || header.Get("Accept-Ranges") != "bytes" || header.Get("Content-Length") != "10" {
		t.Errorf("the head of the image: %v", header)
	}
	tests := []struct {
		name     string
		headers  []string
		status   int
		answer   string
		ofLength string // Content-Range
	}{
		{"from a byte on", []string{"Range", "bytes=3-", "If-Range", tag}, 206, "3456789", "bytes 3-9/10"},
		{"the last byte", []string{"Range", "bytes=9-", "If-Range", tag}, 206, "9", "bytes 9-9/10"},
		{"from the start", []string{"Range", "bytes=0-", "If-Range", tag}, 200, "0123456789", ""},
		{"without a condition", []string{"Range", "bytes=3-"}, 206, "3456789", "bytes 3-9/10"},
		{"of another image", []string{"Range", "bytes=3-", "If-Range", `"else"`}, 200, "0123456789", ""},
		{"of a weak tag", []string{"Range", "bytes=3-", "If-Range", "W/" + tag}, 200, "0123456789", ""},
		{"behind the end", []string{"Range", "bytes=10-", "If-Range", tag}, 416, "the image ends before that\n", "bytes */10"},
		{"behind the end of another image", []string{"Range", "bytes=10-", "If-Range", `"else"`}, 200, "0123456789", ""},
		{"up to a byte", []string{"Range", "bytes=3-5"}, 200, "0123456789", ""},
		{"the last bytes", []string{"Range", "bytes=-3"}, 200, "0123456789", ""},
		{"two of them", []string{"Range", "bytes=1-,3-"}, 200, "0123456789", ""},
		{"not of bytes", []string{"Range", "pieces=1-"}, 200, "0123456789", ""},
		{"too large a number", []string{"Range", "bytes=99999999999999999999-"}, 200, "0123456789", ""},
	}
	for _, tt := range tests {
		status, answer, header := b.do("GET", at, "", tt.headers...)
		if status != tt.status || answer != tt.answer || header.Get("Content-Range") != tt.ofLength {
			t.Errorf("%s: %d %q, Content-Range %q; want %d %q, %q", tt.name, status, answer, header.Get("Content-Range"), tt.status, tt.answer, tt.ofLength)
		}
	}
	b.image = []byte("abcdefghij")
	if status, answer, _ := b.do("GET", at, "", "Range", "bytes=3-", "If-Range", tag); status != 200 || answer != "abcdefghij" {
		t.Errorf("once the image is another: %d %q, want all of it", status, answer)
	}
}

// TestDisarmedInTheMiddle takes an install back while the box writes.
func TestDisarmedInTheMiddle(t *testing.T) {
	b := newBench(t)
	at := b.arm(netboot.Install)
	b.image = bytes.Repeat([]byte("tench"), 100_000)
	b.midway = func() {
		if err := b.table.Disarm(gw0); err != nil {
			t.Error(err)
		}
	}
	status, answer, _ := b.do("GET", at+image, "")
	if status != 200 || !strings.HasPrefix(answer, "broken: ") || len(answer) > 300_000 {
		t.Errorf("%d and %d bytes, want that the stream broke in the middle", status, len(answer))
	}
	if status, _, _ := b.do("GET", at+image, ""); status != 403 {
		t.Errorf("the image again: %d, want 403", status)
	}
	if got, want := b.kinds(), "aborted refused"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestABoxThatRuns(t *testing.T) {
	b := newBench(t)
	at := b.arm(netboot.Run)
	for _, s := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "plan", `{"disks":[{"name":"sda"}]}`, 409},
		{"GET", image, ``, 409},
		{"POST", "done", `{"sha256":"aa"}`, 409},
		{"POST", "progress", `{"stage":"ready"}`, 204},
		{"POST", "progress", `{"stage":"healthy"}`, 204},
	} {
		if status, answer, _ := b.do(s.method, at+s.path, s.body); status != s.status {
			t.Errorf("%s: %d %q, want %d", s.path, status, answer, s.status)
		}
	}
}

func TestTokensThatThereAreNot(t *testing.T) {
	b := newBench(t)
	good := b.arm(netboot.Install)
	for _, at := range []string{"/b/0123456789abcdef0123456789abcdef/", "/b/x/", "/b/%00/", strings.ToUpper(good)} {
		for _, path := range []string{"progress", "plan", "done"} {
			status, answer, _ := b.do("POST", at+path, `{"stage":"disks"}`)
			if at == strings.ToUpper(good) { // "/B/": no path of ours at all
				if status != 405 {
					t.Errorf("%s%s: %d %q, want 405", at, path, status, answer)
				}
				continue
			}
			if status != 403 || !strings.Contains(answer, "no such token") {
				t.Errorf("%s%s: %d %q, want 403", at, path, status, answer)
			}
		}
	}
	if status, _, _ := b.do("GET", "/b/x/"+image, ""); status != 403 {
		t.Errorf("the image with a wrong token: %d, want 403", status)
	}
}

// No path is cleaned, neither into another one nor by a redirect to that.
func TestPathsThatAreNotClean(t *testing.T) {
	b := newBench(t)
	b.files["vmlinuz"], b.files["y"] = []byte("kernel"), []byte("y")
	at := b.arm(netboot.Install)
	for _, path := range []string{"/b/x/../../y", "/b/../vmlinuz", "/b//progress", "/b/./x/progress", at + "../../vmlinuz", at + "./progress", at + "/progress", at + "progress/", at} {
		for _, method := range []string{"GET", "POST"} {
			status, answer, header := b.do(method, path, `{"stage":"disks"}`)
			if status != 404 || header.Get("Location") != "" {
				t.Errorf("%s %s: %d %q, to %q; want 404", method, path, status, answer, header.Get("Location"))
			}
		}
	}
	if got := b.kinds(); got != "" {
		t.Errorf("events %q, want none", got)
	}
}

func TestBodies(t *testing.T) {
	b := newBench(t)
	at := b.arm(netboot.Install)
	many, _ := json.Marshal(netboot.Question{Disks: make([]netboot.Disk, maxDisks+1)})
	for _, tt := range []struct{ name, path, body string }{
		{"none", "progress", ``},
		{"no JSON", "progress", `stage=write`},
		{"cut off", "progress", `{"stage":"wri`},
		{"more behind it", "progress", `{"stage":"write"} {"stage":"healthy"}`},
		{"a stage that there is not", "progress", `{"stage":"dance"}`},
		{"no stage", "progress", `{}`},
		{"less than nothing", "progress", `{"stage":"write","done":-1,"total":10}`},
		{"more than a number holds", "progress", `{"stage":"write","done":99999999999999999999}`},
		{"too long", "progress", `{"stage":"write","text":"` + strings.Repeat("x", maxBody) + `"}`},
		{"too many disks", "plan", string(many)},
		{"another type", "done", `{"sha256":5}`},
	} {
		status, answer, _ := b.do("POST", at+tt.path, tt.body)
		if status != 400 || len(answer) > 600 {
			t.Errorf("%s: %d %q, want 400 and a line", tt.name, status, answer)
		}
	}
	if got := b.kinds(); got != "" {
		t.Errorf("events %q, want none", got)
	}
}

// What a box says of itself is of the port that it booted by, not of the armed one.
func TestReportsAreOfThePortThatBoots(t *testing.T) {
	b := newBench(t)
	at := b.arm(netboot.Install)
	other := event.MAC{2, 0, 0, 0, 0, 1}
	b.table.Close()
	table, err := track.New(track.Options{Dir: b.dir, Now: b.clock, Random: rand.Reader, Name: func(event.MAC) string { return "gw0" }})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var got []event.MAC
	h := Boxes(Options{Table: table, Content: b, Now: b.clock, Sink: func(e event.Event) { got = append(got, e.Box); table.Event(e) }})
	for range 2 {
		r := httptest.NewRequest("POST", strings.TrimSuffix(at, "/")+"/progress", strings.NewReader(`{"stage":"disks"}`))
		h.ServeHTTP(httptest.NewRecorder(), r)
		table.Event(event.Event{Box: other, Kind: event.Transfer, File: "vmlinuz", Done: 1, Total: 9})
	}
	if diff := cmp.Diff([]event.MAC{gw0, other}, got); diff != "" {
		t.Errorf("the reports are of (-want +got):\n%s", diff)
	}
}

func TestContentThatFails(t *testing.T) {
	no := &Refusal{Text: "the disk sda has a file system, and boxes.toml does not name its serial number"}
	tests := []struct {
		name, method, path, body string
		set                      func(b *bench)
		status                   int
		answer, events           string
	}{
		{"no disk may be written", "POST", "plan", `{"disks":[]}`, func(b *bench) { b.planErr = no }, 409, no.Text, "installer:disks refused"},
		{"another board", "POST", "plan", `{"disks":[],"hardware":{"product":["ALIX\u001b[2J"]}}`, func(b *bench) {}, 403, "ALIX?[2J is another board", "installer:disks refused"},
		{"trouble with the plan", "POST", "plan", `{"disks":[]}`, func(b *bench) { b.planErr = errors.New("read /home/anna/boxes.toml: is a directory") }, 503, trouble, "installer:disks trouble"},
		{"no image of this size", "GET", image, ``, func(b *bench) { b.imageErr = no }, 409, no.Text, "refused"},
		{"the image changed under us", "GET", image, ``, func(b *bench) { b.imageErr = errors.New("out/apu2: another hash") }, 503, trouble, "trouble"},
		{"it changed on the way", "GET", image, ``, func(b *bench) { b.image, b.imageErr = make([]byte, 1<<20), errors.New("another hash") }, 200, "broken: ", "trouble"},
		{"another receipt", "POST", "done", `{"sha256":"bb"}`, func(b *bench) { b.doneErr = no }, 409, no.Text, "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			tt.set(b)
			status, answer, header := b.do(tt.method, b.arm(netboot.Install)+tt.path, tt.body)
			if status != tt.status || !strings.HasPrefix(answer, tt.answer) || strings.Contains(answer, "anna") {
				t.Errorf("%d %.80q, want %d %q", status, answer, tt.status, tt.answer)
			}
			if kind := header.Get("Content-Type"); status != 200 && !strings.HasPrefix(kind, "text/plain") {
				t.Errorf("an error of type %q, want text", kind)
			}
			if got := b.kinds(); got != tt.events {
				t.Errorf("events %q, want %q", got, tt.events)
			}
			if state := b.table.Snapshot()[0].Install.State; state == track.StateWritten {
				t.Error("the install is written")
			}
		})
	}
}

// TestTextsOfABox keeps what a box says from steering anything.
func TestTextsOfABox(t *testing.T) {
	b := newBench(t)
	at := b.arm(netboot.Install)
	b.do("POST", at+"progress", `{"stage":"confirm","text":"\u001b]0;x\u0007<script>`+strings.Repeat("x", 2000)+`"}`)
	got := b.events[len(b.events)-1].Text
	if strings.ContainsAny(got, "\x1b\a") || len(got) > maxText {
		t.Errorf("the text is %q", got)
	}
	if diff := cmp.Diff("?]0;x?<script>", got[:14]); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func FuzzProgress(f *testing.F) {
	for _, seed := range []string{`{"stage":"write","done":1,"total":2}`, `{"stage":"healthy"}`, `{"stage":"failed","text":"\u001b"}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := newBench(t)
		at := b.arm(netboot.Install)
		w := httptest.NewRecorder()
		Boxes(Options{Table: b.table, Content: b, Open: b.open, Sink: b.hear, Now: b.clock}).ServeHTTP(w, httptest.NewRequest("POST", at+"progress", bytes.NewReader(body)))
		if w.Code != 204 && w.Code != 400 && w.Code != 409 {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		if _, pending := b.table.Pending(gw0); !pending {
			t.Errorf("%q: the box is not to be installed any more", body)
		}
	})
}
