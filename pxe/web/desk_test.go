package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
)

const evil = `<script>alert(1)</script>"'&` + "\x1b[2J"

// newDesk is a page with boxes that have done this and that.
func newDesk(t *testing.T) (*bench, *httptest.Server) {
	t.Helper()
	b := newBench(t)
	s := httptest.NewServer(Desk(DeskOptions{Table: b.table, About: "enp3s0: proxy " + evil, Console: func(m event.MAC) []string {
		if m != gw0 {
			return nil
		}
		var lines []string
		for n := range tail + 5 {
			lines = append(lines, fmt.Sprintf("line %d %s", n, evil))
		}
		return lines
	}}))
	t.Cleanup(s.Close)
	return b, s
}

// stir makes boxes that are hostile in every string they have.
func (b *bench) stir() {
	b.arm(netboot.Install)
	b.table.Event(event.Event{Box: gw0, Kind: event.Discover, Loader: evil, Text: evil})
	b.table.Event(event.Event{Box: gw0, Kind: event.Transfer, File: "vmlinuz-<b>\x1b", Done: 43, Total: 100})
	b.table.Event(event.Event{Box: event.MAC{2}, Kind: event.Discover, Text: evil})
	b.table.Event(event.Event{Box: event.MAC{2}, Kind: event.Silent, Text: evil})
	b.table.Event(event.Event{Kind: event.Foreign, IP: mustAddr("192.0.2.254")})
	b.table.Event(event.Event{Box: event.MAC{2, 1}, Kind: event.Installer, Stage: netboot.Confirm, Text: evil})
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func get(t *testing.T, url string) (string, http.Header) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s: %s, %v", url, answer.Status, err)
	}
	return text.String(), answer.Header
}

func TestPage(t *testing.T) {
	b, s := newDesk(t)
	text, _ := get(t, s.URL+"/")
	if !strings.Contains(text, "No box was heard of yet") || strings.Contains(text, "<tbody") {
		t.Errorf("a page of no boxes:\n%s", text)
	}
	b.stir()
	text, header := get(t, s.URL+"/")
	for _, want := range []string{
		`<th scope="row">gw0<small>52:54:00:00:00:01`, "<td>kernel<small>since", `<progress max="100" value="43">43 %</progress> 43 % of vmlinuz-&lt;b&gt;?`,
		"is not answered: &lt;script&gt;", "waits for an answer on its console: &lt;script&gt;", "Another DHCP server was heard on this cable: 192.0.2.254", "line 16 &lt;script&gt;", `href="console/52:54:00:00:00:01"`,
		"<td>booting<small>apu2 2026.11", `<noscript><meta http-equiv="refresh"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "<script>") || strings.ContainsRune(text, 0x1b) {
		t.Errorf("foreign text came through:\n%s", text)
	}
	if strings.Contains(text, "line 4 ") {
		t.Error("more of the console than its end is shown")
	}
	policy := header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
			t.Errorf("Content-Security-Policy %q, want %s and nothing unsafe", policy, want)
		}
	}
	for _, inline := range []string{"style=", "onclick", "onload", "javascript:"} {
		if strings.Contains(text, inline) {
			t.Errorf("%q is in the page, which its policy forbids", inline)
		}
	}
}

func TestConsole(t *testing.T) {
	_, s := newDesk(t)
	text, header := get(t, s.URL+"/console/52:54:00:00:00:01")
	if strings.Count(text, "\n") != tail+5 || strings.ContainsRune(text, 0x1b) {
		t.Errorf("the transcript:\n%q", text)
	}
	if header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v, want text that nobody takes for HTML", header)
	}
	if answer, err := http.Get(s.URL + "/console/x"); err != nil || answer.StatusCode != 404 {
		t.Errorf("the console of no box: %v, %v, want 404", answer, err)
	}
}

func TestWhoMayAsk(t *testing.T) {
	_, s := newDesk(t)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	tests := []struct {
		method, path, host string
		status             int
	}{
		{"GET", "/", "127.0.0.1" + port, 200},
		{"GET", "/", "localhost" + port, 200},
		{"GET", "/", "[::1]" + port, 200},
		{"GET", "/", "[::1]", 200},
		{"HEAD", "/", "localhost", 200},
		{"GET", "/", "evil.example", 421},
		{"GET", "/boxes.json", "evil.example" + port, 421},
		{"GET", "/events", "localhost.evil.example", 421},
		{"POST", "/", "localhost", 405},
		{"GET", "/b/x/progress", "localhost", 404},
		{"GET", "/page.html", "localhost", 404},
		{"GET", "/page/", "localhost", 404},
		{"GET", "/page.js", "localhost", 200},
	}
	for _, tt := range tests {
		r, _ := http.NewRequest(tt.method, s.URL+tt.path, nil)
		r.Host = tt.host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.status {
			t.Errorf("%s %s of %s: %d, want %d", tt.method, tt.path, tt.host, answer.StatusCode, tt.status)
		}
	}
}

func TestBoxesAreNotShownToBoxes(t *testing.T) {
	b := newBench(t)
	b.stir()
	for _, path := range []string{"/", "/boxes.json", "/metrics", "/events", "/page.js", "/console/52:54:00:00:00:01"} {
		if status, text, _ := b.do("GET", path, ""); status != 404 {
			t.Errorf("%s on the cable: %d %q, want 404", path, status, text)
		}
	}
}

func TestBoxesJSON(t *testing.T) {
	b, s := newDesk(t)
	token := b.arm(netboot.Install)
	b.stir()
	text, _ := get(t, s.URL+"/boxes.json")
	var got struct{ Boxes []track.Box }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Boxes) != 3 || got.Boxes[0].Name != "gw0" || got.Boxes[0].Stage != track.Kernel || got.Boxes[0].Done != 43 {
		t.Errorf("boxes.json: %s", text)
	}
	if strings.Contains(text, strings.Split(token, "/")[2]) {
		t.Error("boxes.json has the token")
	}
}

// follow reads server-sent events as their specification says.
type follow struct {
	t *testing.T
	s *bufio.Scanner
}

func (f follow) next() (kind, data string) {
	f.t.Helper()
	for f.s.Scan() {
		name, value, _ := strings.Cut(f.s.Text(), ": ")
		switch {
		case f.s.Text() == "" && data != "":
			return kind, data
		case name == "event":
			kind = value
		case name == "data":
			data += value
		}
	}
	f.t.Fatalf("the stream ended: %v", f.s.Err())
	return "", ""
}

// until reads until an event of each kind had the words in it, in any order: the
// server may look between two changes.
func (f follow) until(words map[string]string) {
	f.t.Helper()
	for len(words) > 0 {
		kind, data := f.next()
		if want, waits := words[kind]; waits && strings.Contains(data, want) {
			delete(words, kind)
		}
	}
}

func TestEvents(t *testing.T) {
	b, s := newDesk(t)
	c := http.Client{Timeout: time.Minute} // a stream without the event is a failure, no hang
	answer, err := c.Get(s.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	f := follow{t, bufio.NewScanner(answer.Body)}
	f.until(map[string]string{"order": "[]"})
	b.stir()
	f.until(map[string]string{"box": "kernel", "order": `["box-52-54-00-00-00-01","box-02-00-00-00-00-00","box-02-01-00-00-00-00"]`, "foreign": "192.0.2.254"})
	b.table.Event(event.Event{Box: gw0, Kind: event.Healthy})
	kind, data := f.next()
	if kind != "box" || !strings.Contains(data, "healthy") || strings.Contains(data, "<script") {
		t.Errorf("after one box changed: %s %s, want that box", kind, data)
	}
}

// All pages are of one client, this machine, and are not in the way of what else it
// asks.
func TestTooManyFollow(t *testing.T) {
	b, _ := newDesk(t)
	url := "http://" + serve(t, Desk(DeskOptions{Table: b.table}), Limits{Desk: true})
	for n := range maxStreams + 1 {
		answer, err := http.Get(url + "/events")
		if err != nil {
			t.Fatalf("stream %d: %v", n+1, err)
		}
		defer answer.Body.Close()
		want := http.StatusOK
		if n == maxStreams {
			want = http.StatusServiceUnavailable
		}
		if answer.StatusCode != want {
			t.Errorf("stream %d: %s, want %d", n+1, answer.Status, want)
		}
	}
	for _, path := range []string{"/metrics", "/"} {
		get(t, url+path)
	}
}

// TestMetrics reads every line as Prometheus's documentation of the text format
// has it; so does TestMetricsReadByOthers, with a reader that is not ours. promtool,
// of the package prometheus of Debian 12, found nothing to say of it; that package is
// 19 MB to fetch, 96 MB installed, starts a server, and is in no lab.
func TestMetrics(t *testing.T) {
	b, s := newDesk(t)
	b.stir()
	text, header := get(t, s.URL+"/metrics")
	if got := header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	values := readMetrics(t, text)
	for sample, want := range map[string]float64{
		`tench_pxe_boxes{stage="kernel"}`: 1, `tench_pxe_boxes{stage="confirm"}`: 1, `tench_pxe_boxes{stage="healthy"}`: 0, `tench_pxe_armings{state="booting"}`: 1,
		`tench_pxe_events_total{kind="discover"}`: 2, `tench_pxe_box_done_bytes{box="52:54:00:00:00:01",name="gw0"}`: 43, `tench_pxe_box_stuck{box="02:01:00:00:00:00",name=""}`: 1,
	} {
		if got, ok := values[sample]; !ok || got != want {
			t.Errorf("%s = %v, %t; want %v", sample, got, ok, want)
		}
	}
}

var (
	metaRE   = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_]+) (.+)$`)
	sampleRE = regexp.MustCompile(`^([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\} ([-+0-9.e]+)$`)
)

func readMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	values, family, typed := map[string]float64{}, "", map[string]bool{}
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := metaRE.FindStringSubmatch(line); m != nil {
			if m[1] == "TYPE" {
				if typed[m[2]] {
					t.Errorf("%s has two types", m[2])
				}
				family, typed[m[2]] = m[2], true
			}
			continue
		}
		m := sampleRE.FindStringSubmatch(line)
		if m == nil || m[1] != family {
			t.Errorf("a line that is none, or of another family: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		key := m[1] + "{" + m[2] + "}"
		if _, twice := values[key]; err != nil || twice {
			t.Errorf("%s: %v, there twice: %t", key, err, twice)
		}
		values[key] = v
	}
	return values
}

func TestMetricsEscape(t *testing.T) {
	var out bytes.Buffer
	exposition{&out}.sample("tench_x", 1.5, "name", "a\"b\\c\nd")
	if got, want := out.String(), `tench_x{name="a\"b\\c\nd"} 1.5`+"\n"; got != want {
		t.Errorf("sample %q, want %q", got, want)
	}
}
