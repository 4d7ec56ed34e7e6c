package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
)

// browser is Debian's Chromium without a screen, driven by its DevTools protocol
// over a pipe: JSON in both directions, each message ended by a NUL.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	id      int
	session string
}

func newBrowser(t *testing.T, url string) *browser {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute) // a browser that hangs is killed, which ends the pipe
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--remote-debugging-pipe", "--window-size=1120,760", "--hide-scrollbars", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its many processes too
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	t.Cleanup(func() {
		stop()
		in.Close()
		_ = cmd.Wait()
		out.Close()
	})
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.do("Page.navigate", map[string]any{"url": url}, &struct{}{})
	return b
}

// do is call, which must not be refused.
func (b *browser) do(method string, params, result any) {
	b.t.Helper()
	if refused := b.call(method, params, result); refused != "" {
		b.t.Fatalf("chromium: %s: %s", method, refused)
	}
}

// call calls a method and reads messages up to its answer; refused says why there is
// no result.
func (b *browser) call(method string, params, result any) (refused string) {
	b.t.Helper()
	b.id++
	request := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	data, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		b.t.Fatalf("chromium: %v", err)
	}
	for {
		message, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("chromium: %s: %v", method, err)
		}
		var answer struct {
			ID     int
			Error  json.RawMessage
			Result json.RawMessage
		}
		if err := json.Unmarshal(message[:len(message)-1], &answer); err != nil {
			b.t.Fatalf("chromium: %v: %s", err, message)
		}
		if answer.ID != b.id {
			continue // an event
		}
		if answer.Error != nil {
			return string(answer.Error)
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			b.t.Fatalf("chromium: %s: %v: %s", method, err, answer.Result)
		}
		return ""
	}
}

// until waits until a condition holds in the page.
func (b *browser) until(condition string) {
	b.t.Helper()
	var got struct{ Result struct{ Value string } }
	question := map[string]any{
		"expression": `new Promise(done => {
			const end = Date.now() + 30000;
			const look = () => {
				if (` + condition + `) done("yes");
				else if (Date.now() > end) done(document.documentElement.outerHTML);
				else setTimeout(look, 50);
			};
			look();
		})`,
		"awaitPromise": true, "returnByValue": true,
	}
	// The blank page of the start may go away while it is looked at.
	if refused := b.call("Runtime.evaluate", question, &got); refused != "" {
		b.do("Runtime.evaluate", question, &got)
	}
	if got.Result.Value != "yes" {
		b.t.Fatalf("%s does not come true in\n%s", condition, got.Result.Value)
	}
}

func (b *browser) picture() []byte {
	b.t.Helper()
	var got struct{ Data []byte } // base64 in JSON
	b.do("Page.captureScreenshot", map[string]any{"format": "png"}, &got)
	return got.Data
}

// TestBrowser has Chromium load the page and follow its events. The picture of
// it in docs is made by
//
//	TENCH_LAB=yes TENCH_SCREENSHOT=$PWD/docs/pxe.png go test ./pxe/web -run TestBrowser
func TestBrowser(t *testing.T) {
	lab.Require(t, "chromium")
	b := newBench(t)
	b.afternoon()
	s := httptest.NewServer(Desk(DeskOptions{Table: b.table, About: "enp3s0: full, 192.0.2.1/24", Console: consoleOf}))
	defer s.CloseClientConnections()
	c := newBrowser(t, s.URL)
	c.until(`document.getElementById("line")?.textContent === "live"`)
	c.until(`document.getElementById("box-52-54-00-00-00-01").innerText.includes("43 %")`)
	c.until(`document.getElementById("box-52-54-00-00-00-03").innerText.includes("asked for an address 4 times")`)
	c.until(`document.querySelectorAll("tbody").length === 4`)
	c.until(`(document.querySelector("details").open = true)`)
	if file := os.Getenv("TENCH_SCREENSHOT"); file != "" {
		c.until(`new Promise(requestAnimationFrame)`)
		if err := os.WriteFile(file, c.picture(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// What comes now comes by the stream alone.
	evil := `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	b.table.Event(event.Event{Box: gw0, Kind: event.Installer, Stage: netboot.Confirm, Text: evil})
	b.table.Event(event.Event{Box: event.MAC{2}, Kind: event.Discover, Text: evil})
	c.until(`document.getElementById("box-52-54-00-00-00-01").innerText.includes("waits for an answer on its console: <img src=x")`)
	c.until(`document.querySelectorAll("tbody").length === 5 && document.querySelector("details").open`)
	c.until(`document.title === "tench pxe" && document.images.length === 0`)
	s.CloseClientConnections()
	s.Listener.Close()
	c.until(`document.getElementById("line").textContent.includes("does not answer")`)
}

// A page too many says so, and not that the server is away.
func TestBrowserOfAPageTooMany(t *testing.T) {
	lab.Require(t, "chromium")
	_, s := newDesk(t)
	for range maxStreams {
		answer, err := http.Get(s.URL + "/events")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
	}
	c := newBrowser(t, s.URL)
	c.until(`document.getElementById("line")?.textContent.includes("too many pages follow already")`)
}

func consoleOf(box event.MAC) []string {
	if box != gw0 {
		return nil
	}
	return []string{"tench: installing gw0 from http://192.0.2.1; board apu2", "tench: disk sda SB M2 SSD 16 GB, serial ..4K7Q: empty", "tench: disk sda: 40 % written, 412 MB of 1.0 GB  12 MB/s"}
}

// afternoon is a table with boxes at work.
func (b *bench) afternoon() {
	hear := func(mac event.MAC, events ...event.Event) {
		for _, e := range events {
			e.Box, e.Time = mac, b.clock()
			b.table.Event(e)
		}
	}
	ip := func(s string) event.Event { return event.Event{Kind: event.Ack, IP: mustAddr(s)} }
	token := strings.Split(b.arm(netboot.Install), "/")[2]
	asks := event.Event{Kind: event.Discover, Text: "PXE, x86 UEFI"}
	hear(gw0, asks, ip("192.0.2.100"), event.Event{Kind: event.Transfer, File: "gw0/vmlinuz", Done: 9, Total: 9},
		event.Event{Kind: event.Installer, Stage: netboot.Write, Total: 1 << 30})
	if _, err := b.table.Begin(token); err != nil {
		b.t.Fatal(err)
	}
	b.now = b.now.Add(36 * time.Second)
	hear(gw0, event.Event{Kind: event.Installer, Stage: netboot.Write, Done: 443 << 20, Total: 1 << 30, Text: "sda"})
	gw1, gw2, stranger := event.MAC{0x52, 0x54, 0, 0, 0, 2}, event.MAC{0x52, 0x54, 0, 0, 0, 3}, event.MAC{0, 0xd, 0xb9, 0x4a, 0x11, 0x20}
	for mac, name := range map[event.MAC]string{gw1: "gw1", gw2: "gw2"} {
		if _, err := b.table.Arm(track.Order{Box: mac, Name: name, Mode: netboot.Install, Board: "alix2d3", Release: "2026.11"}); err != nil {
			b.t.Fatal(err)
		}
	}
	hear(gw1, asks, ip("192.0.2.101"), event.Event{Kind: event.Transfer, File: "gw1/vmlinuz", Done: 9, Total: 9}, event.Event{Kind: event.Transfer, File: "gw1/initrd", Total: 11 << 20},
		event.Event{Kind: event.Transfer, File: "gw1/initrd", Done: 7 << 20, Total: 11 << 20})
	offer := event.Event{Kind: event.Offer}
	hear(gw2, asks, offer, asks, offer, asks, offer, asks, offer)
	hear(stranger, event.Event{Kind: event.Discover, Text: "iPXE, x86 BIOS"}, event.Event{Kind: event.Silent, Text: "it is not in boxes.toml, and --any-board is not given"})
}
