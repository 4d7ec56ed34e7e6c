package pxe

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/pxe/web"
	"tench/release/netboot"
	"tench/release/writestream"
)

// controlled is a server whose control socket answers, and nothing else of it.
func controlled(t *testing.T, list string) (*Server, *Client) {
	t.Helper()
	s := newTestServer(t, list)
	var err error
	if s.control, err = listenControl(s.o.State); err != nil {
		t.Fatal(err)
	}
	if s.page, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.o.Interface = &net.Interface{Name: "eth1"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.serveControl(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serveControl = %v", err)
		}
		s.page.Close()
	})
	return s, Dial(s.o.State)
}

func TestControl(t *testing.T) {
	s, c := controlled(t, twoBoxes)
	i, err := c.Arm(t.Context(), Request{Box: "gw0", Mode: netboot.Install, Disk: "S1", Wipe: true})
	if err != nil || i.Token != "" || i.Release != "2026.11" || i.Disk != "S1" || !i.Wipe || i.Image == "" {
		t.Errorf("Arm = %+v, %v", i, err)
	}
	if _, err := c.Arm(t.Context(), Request{Box: "gw9", Mode: netboot.Install}); err == nil || err.Error() != "pxe: there is no box \"gw9\" in boxes.toml\nhint: did you mean \"gw0\"?" {
		t.Errorf("Arm of a box that is not there = %v, want the server's words", err)
	}
	text, err := c.Explain(t.Context(), "gw0")
	if err != nil || !strings.Contains(text, "52:54:00:00:00:0a (gw0)") {
		t.Errorf("Explain = %q, %v", text, err)
	}
	st, err := c.State(t.Context())
	if err != nil || st.Interface != "eth1" || st.Mode != "full" || len(st.Boxes) != 1 || st.Boxes[0].Name != "gw0" {
		t.Errorf("State = %+v, %v", st, err)
	}
	if err := c.Disarm(t.Context(), "gw0"); err != nil {
		t.Error(err)
	}
	if _, pending := s.table.Pending(macA); pending {
		t.Error("gw0 is armed still")
	}
	if info, err := os.Stat(filepath.Join(s.o.State, controlName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
}

func TestControlRefusesWhatIsNoRequest(t *testing.T) {
	_, c := controlled(t, twoBoxes)
	for _, body := range []string{"", "{", `{"bocks":"gw0"}`, `{"box":"` + strings.Repeat("x", largest) + `"}`} {
		res, err := c.http.Post("http://tench/arm", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusConflict {
			t.Errorf("%.20q gets status %d", body, res.StatusCode)
		}
	}
}

// Many pages follow and many commands are connected at once: all of them are of
// this machine.
func TestManyOperators(t *testing.T) {
	s, c := controlled(t, twoBoxes)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.servePage(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("servePage = %v", err)
		}
	})
	for range 20 {
		conn, err := net.Dial("unix", filepath.Join(s.o.State, controlName))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer, err := http.Get(s.Page() + "events")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
	}
	if _, err := c.State(t.Context()); err != nil {
		t.Errorf("State beside 20 other callers = %v", err)
	}
	answer, err := http.Get(s.Page() + "metrics")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("/metrics beside 20 pages: %s", answer.Status)
	}
}

func TestNobodyToAsk(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(dir).State(t.Context()); !errors.Is(err, ErrNoServer) {
		t.Errorf("State without a socket = %v", err)
	}
	l, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as of a server that was killed
	l.Close()
	if _, err := Dial(dir).State(t.Context()); !errors.Is(err, ErrNoServer) {
		t.Errorf("State with the socket of a dead server = %v", err)
	}
	if l, err = listenControl(dir); err != nil {
		t.Fatalf("a dead server's socket is in the way: %v", err)
	}
	l.Close()
}

// A box that is armed while no server runs is armed for the next one.
func TestArmAlone(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	o := s.o
	if _, err := ArmAlone(t.Context(), o, Request{Box: "gw0", Mode: netboot.Run}); err == nil || !strings.Contains(err.Error(), "another tench pxe uses it") {
		t.Errorf("ArmAlone beside a server = %v", err)
	}
	s.Close()
	if _, err := ArmAlone(t.Context(), o, Request{Box: "gw0", Mode: netboot.Run, Router: []byte("hostname = \"x\"\n")}); err != nil {
		t.Fatal(err)
	}
	if _, err := ArmAlone(t.Context(), o, Request{Box: "apu2", Mode: netboot.Run}); !errors.Is(err, ErrNoServer) {
		t.Errorf("ArmAlone of any box = %v", err)
	}
	next := newServer(o)
	defer next.Close()
	if err := next.openState(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := initrdOf(t, next, macA); !strings.Contains(text, "hostname = \"x\"") {
		t.Errorf("the next server's initramfs is %q", text)
	}
	next.Close()
	if err := DisarmAlone(t.Context(), o, "gw0"); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.State, "52-*")); len(left) > 0 {
		t.Errorf("disarming left %q", left)
	}
}

// A box that is listed by its serial number may be disarmed by its name, though the
// server that heard the number is no more, and whatever is wrong with others.
func TestDisarmByNameAfterARestart(t *testing.T) {
	s := newTestServer(t, "[box.gw1]\nserial = \"AB-12\"\nboard = \"qemu-amd64\"\n")
	if _, err := s.opened(macX, "serial/AB-12/boot.ipxe"); err != nil {
		t.Fatal(err)
	}
	arm(t, s, Request{Box: "gw1", Mode: netboot.Install})
	o := s.o
	s.Close()
	o.Check = func(boxes.Box) error { return errors.New("another box has a mistake") }
	if err := DisarmAlone(t.Context(), o, "gw1"); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.State, "52-*")); len(left) > 0 {
		t.Errorf("disarming left %q", left)
	}
}

// Who takes back his word while the files are looked at arms nothing.
func TestArmThatIsInterrupted(t *testing.T) {
	s, c := controlled(t, twoBoxes)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan struct{})
	product := s.o.Product
	s.o.Product = func(asker context.Context, board string) (Product, error) {
		cancel()
		<-asker.Done() // the server sees that he has gone
		defer close(told)
		return product(context.WithoutCancel(asker), board)
	}
	if _, err := c.Arm(ctx, Request{Box: "gw0", Mode: netboot.Install}); !errors.Is(err, context.Canceled) {
		t.Errorf("Arm = %v", err)
	}
	<-told
	s.o.Product = product
	if _, err := s.Arm(ctx, Request{Box: "gw0", Mode: netboot.Install}); !errors.Is(err, context.Canceled) {
		t.Errorf("Arm of who has gone = %v", err)
	}
	if _, pending := s.table.Pending(macA); pending {
		t.Error("gw0 is armed")
	}
}

// A box that was renamed after it was armed would be installed as nobody's.
func TestImageOfABoxThatWasRenamed(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	s.o.Image = func(context.Context, Image) (Stream, error) {
		t.Error("an image is made")
		return nil, errors.New("no image")
	}
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	i, _ := s.table.Pending(macA)
	list := strings.Replace(twoBoxes, "box.gw0", "box.gw1", 1)
	if err := errors.Join(os.Remove(s.o.Boxes), os.WriteFile(s.o.Boxes, []byte(list), 0o644)); err != nil {
		t.Fatal(err)
	}
	var no *web.Refusal
	if _, err := (&content{s: s, receipts: map[string]string{}}).Image(t.Context(), i, writestream.Request{}); !errors.As(err, &no) || !strings.Contains(no.Text, "gw0 was armed") {
		t.Errorf("Image = %v", err)
	}
}

// A box is armed with what boxes.toml names by then, and not with what it named at
// the start.
func TestArmLooksAtTheBox(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	s.o.Check = func(b boxes.Box) error {
		if b.Config == "" {
			return nil
		}
		return errors.New(b.Name + ".toml: unknown key")
	}
	list := strings.Replace(twoBoxes, "board =", "config = \"gw0.toml\"\nboard =", 1)
	dir := filepath.Dir(s.o.Boxes)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "gw0.toml"), nil, 0o644), os.Remove(s.o.Boxes), os.WriteFile(s.o.Boxes, []byte(list), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []netboot.Mode{netboot.Install, netboot.Run} {
		if _, err := s.Arm(t.Context(), Request{Box: "gw0", Mode: mode}); err == nil || err.Error() != "gw0.toml: unknown key" {
			t.Errorf("Arm for %s with a bad configuration = %v", mode, err)
		}
	}
	if _, pending := s.table.Pending(macA); pending {
		t.Error("gw0 is armed")
	}
	arm(t, s, Request{Box: "gw0", Mode: netboot.Run, Router: []byte("hostname = \"x\"\n")}) // another one instead
}

// What could not be disarmed is told as that: the box would be installed.
func TestDisarmThatFails(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	path := filepath.Join(s.o.State, macA.Dashed()+".json")
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "in the way"), 0o755)); err != nil {
		t.Fatal(err)
	}
	err := s.armory(t.Context()).Disarm("gw0")
	if err == nil || errors.Is(err, track.ErrNotArmed) || !strings.Contains(err.Error(), path) {
		t.Errorf("Disarm = %v, want why it could not be", err)
	}
	if _, pending := s.table.Pending(macA); !pending {
		t.Error("gw0 is not armed any more, and its file is there")
	}
	if err := errors.Join(os.RemoveAll(path), s.armory(t.Context()).Disarm("gw0")); err != nil {
		t.Error(err)
	}
	if err := s.armory(t.Context()).Disarm("gw0"); !errors.Is(err, track.ErrNotArmed) {
		t.Errorf("Disarm, once more = %v", err)
	}
}

// A board is audited once, however many boxes are armed with it.
func TestResumeAuditsABoardOnce(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "gw0", Mode: netboot.Run})
	arm(t, s, Request{Box: "sw0", Mode: netboot.Run})
	for n := range byte(3) {
		arm(t, s, Request{Box: event.MAC{2, 0, 0, 0, 0, n}.String(), Mode: netboot.Run, Board: "qemu-amd64"})
	}
	o := s.o
	s.Close()
	audits := map[string]int{}
	product := o.Product
	o.Product = func(ctx context.Context, board string) (Product, error) {
		audits[board]++
		if board == "nanopi-neo" {
			return Product{}, errors.New("it is not whole")
		}
		return product(ctx, board)
	}
	troubles := 0
	o.Sink = func(e event.Event) {
		if e.Kind == event.Trouble {
			troubles++
		}
	}
	next := newServer(o)
	defer next.Close()
	if err := next.openState(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"qemu-amd64": 1, "nanopi-neo": 1}, audits); diff != "" || troubles != 1 {
		t.Errorf("%d troubles, audits (-want +got):\n%s", troubles, diff)
	}
}

// A stranger who ran from RAM is forgotten with the server that he came to.
func TestStrangersEndWithTheServer(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "qemu-amd64", Mode: netboot.Run, Router: []byte("hostname = \"x\"\n")})
	initrdOf(t, s, macX)
	arm(t, s, Request{Box: "gw0", Mode: netboot.Run})
	named := event.MAC{2, 0, 0, 0, 0, 7} // in no list, and named by the operator
	arm(t, s, Request{Box: named.String(), Mode: netboot.Run, Board: "qemu-amd64"})
	o := s.o
	s.Close()
	next := newServer(o)
	defer next.Close()
	if err := next.openState(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next.who(macX, "").known {
		t.Error("the stranger is known")
	}
	if left, _ := filepath.Glob(filepath.Join(o.State, macX.Dashed()+"*")); len(left) > 0 {
		t.Errorf("the stranger left %q", left)
	}
	for name, mac := range map[string]event.MAC{"gw0": macA, "the box that was named by its MAC": named} {
		if _, pending := next.table.Pending(mac); !pending {
			t.Errorf("%s is not armed any more", name)
		}
	}
}

// The receipt of what was read back must be that of what was sent.
func TestReceipts(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	c := &content{s: s, receipts: map[string]string{}}
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	i, _ := s.table.Pending(macA)
	refused := func(err error) bool {
		var no *web.Refusal
		return errors.As(err, &no)
	}
	if err := c.Done(t.Context(), i, "r"); !refused(err) {
		t.Errorf("Done before an image was sent = %v", err)
	}
	c.keep(i.Token, "r")
	if err := c.Done(t.Context(), i, "x"); !refused(err) {
		t.Errorf("Done with another receipt = %v", err)
	}
	if err := c.Done(t.Context(), i, "r"); err != nil {
		t.Errorf("Done = %v", err)
	}
	// An image that was built anew is not what the box was armed for.
	p := s.products["qemu-amd64"]
	if err := os.WriteFile(filepath.Join(p.Files.Dir, "SHA256"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Image(t.Context(), i, writestream.Request{}); !refused(err) {
		t.Errorf("Image of another build = %v", err)
	}
	if _, err := c.Plan(t.Context(), i, netboot.Question{}); !refused(err) {
		t.Errorf("Plan without a disk = %v", err)
	}
	i.State = track.StateWritten
	if err := c.Done(t.Context(), i, ""); err != nil {
		t.Errorf("Done, once more = %v", err)
	}
}

// The image is the same one for the same arming, so that it can be sent from where
// the line broke, also by a server that was started anew.
func TestImageOfAnArming(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	var seeds [][32]byte
	s.o.Image = func(_ context.Context, i Image) (Stream, error) {
		seeds = append(seeds, i.Seed)
		return textStream(i.Seed[:]), nil
	}
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	i, _ := s.table.Pending(macA)
	var tags []string
	for range 2 {
		c := &content{s: s, receipts: map[string]string{}}
		img, err := c.Image(t.Context(), i, writestream.Request{})
		if err != nil {
			t.Fatal(err)
		}
		var sent strings.Builder
		if err := c.Done(t.Context(), i, "receipt"); err == nil {
			t.Error("a receipt is right before the image was sent")
		}
		if err := img.Send(t.Context(), &sent); err != nil || int64(sent.Len()) != img.Size() {
			t.Errorf("Send = %v after %d of %d bytes", err, sent.Len(), img.Size())
		}
		if err := c.Done(t.Context(), i, "receipt"); err != nil {
			t.Errorf("Done after it was sent = %v", err)
		}
		tags = append(tags, img.Tag())
	}
	if tags[0] != tags[1] || tags[0] == "" {
		t.Errorf("its tags are %q", tags)
	}
	i.Token = "another arming's"
	if _, err := (&content{s: s}).Image(t.Context(), i, writestream.Request{}); err != nil || seeds[0] != seeds[1] || seeds[1] == seeds[2] {
		t.Errorf("the seeds are %x, %v", seeds, err)
	}
}

// textStream is a stream of some text.
type textStream string

func (s textStream) Send(_ context.Context, w io.Writer) (string, error) {
	_, err := io.WriteString(w, string(s))
	return "receipt", err
}

func (textStream) Close() error { return nil }

// FreeBSD's installer says by a URL that it is done, which its loader has told it.
// One that says nothing is over at its second boot.
func TestFreeBSDOnce(t *testing.T) {
	tree := t.TempDir()
	for _, name := range []string{"pxeboot", "kernel", "mfsroot"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(tree, "boot"), 0o755), os.WriteFile(filepath.Join(tree, "boot", name), []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, says := range []bool{true, false} {
		s := newTestServer(t, "[box.bsd]\nmac = [\"52:54:00:00:00:0a\"]\nsystem = \"freebsd\"\ntree = \""+tree+"\"\n")
		arm(t, s, Request{Box: "bsd", Mode: netboot.Install})
		asks := dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.BIOS}
		heard := func(events ...event.Event) {
			for _, e := range events {
				e.Box, e.Time = macA, s.o.Now()
				s.table.Event(e)
			}
		}
		if got := s.decide(asks); got.File != "boot/pxeboot" {
			t.Errorf("its installer is told %+v", got)
		}
		conf, err := s.opened(macA, "freebsd/boot/loader.conf")
		_, url, _ := strings.Cut(conf, "tench_installed=\"http://192.0.2.1:80")
		url, _, ok := strings.Cut(url, "\"")
		if err != nil || !ok {
			t.Fatalf("loader.conf, %v:\n%s", err, conf)
		}
		heard(event.Event{Kind: event.Discover}, event.Event{Kind: event.Ack}, event.Event{Kind: event.Transfer, File: "boot/kernel/kernel", Done: 6, Total: 6})
		if says {
			h := web.Boxes(web.Options{Table: s.table, Content: &content{s: s}, Sink: s.sink, Now: s.o.Now})
			for _, tc := range []struct {
				method, url string
				status      int
			}{{"HEAD", url, 405}, {"GET", url, 200}, {"GET", url, 200}, {"GET", "/b/" + strings.Repeat("0", 32) + "x/installed", 403}} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.url, nil))
				if w.Code != tc.status {
					t.Errorf("%s %s is answered %d %s, want %d", tc.method, tc.url, w.Code, w.Body, tc.status)
				}
			}
		}
		heard(event.Event{Kind: event.Discover})
		if got := s.decide(asks); !got.Disk {
			t.Errorf("says %v: at its second boot it is told %+v", says, got)
		}
		if _, err := s.opened(macA, "boot/pxeboot"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("says %v: at its second boot it finds pxeboot, %v", says, err)
		}
		want := map[bool]track.State{true: track.StateWritten, false: track.StateFailed}[says]
		if b := s.table.Snapshot(); b[0].Install.State != want {
			t.Errorf("says %v: it is %s (%s), want %s", says, b[0].Install.State, b[0].Install.Why, want)
		}
	}
	// A box that is installed by tench has its own word for it.
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	i, _ := s.table.Pending(macA)
	w := httptest.NewRecorder()
	web.Boxes(web.Options{Table: s.table, Sink: s.sink, Now: s.o.Now}).ServeHTTP(w, httptest.NewRequest("GET", "/b/"+i.Token+"/installed", nil))
	if w.Code != http.StatusConflict {
		t.Errorf("gw0 is installed by its own word: %d", w.Code)
	}
}

// A Raspberry Pi's ROM is told of its folder while it is armed, is known by its
// serial number too, and is answered as what has no boot server otherwise.
func TestRaspberryPi(t *testing.T) {
	tree := t.TempDir()
	for _, name := range []string{"start4.elf", "kernel8.img"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asks := dhcp.Client{MAC: macX, Boots: true, Firmware: dhcp.RaspberryPi, UUID: "52506934-1131-c000-0102-030410203040"}
	const system = "system = \"raspberrypi\"\ntree = "
	for name, tc := range map[string]struct{ who, asksFirst string }{
		"by its MAC":                          {who: `mac = ["` + macX.String() + `"]`},
		"by its serial number":                {who: `serial = "10203040"`},
		"by its serial number, in that order": {who: `serial = "40302010"`},
		"by the folder that it asks for":      {who: `serial = "aabbccdd"`, asksFirst: "aabbccdd/start4.elf"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, "[box.pi]\n"+tc.who+"\n"+system+strconv.Quote(tree)+"\n")
			if tc.asksFirst != "" { // where another server gave it an address
				if _, err := s.opened(macX, tc.asksFirst); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("before it is armed it finds %s, %v", tc.asksFirst, err)
				}
			}
			if got := s.decide(asks); !got.Disk || got.File != "" || got.Silent != "" {
				t.Errorf("before it is armed it is told %+v", got)
			}
			arm(t, s, Request{Box: "pi", Mode: netboot.Install})
			if got := s.decide(asks); got.File != "bootcode.bin" || got.Silent != "" || got.Disk {
				t.Errorf("it is told %+v", got)
			}
			if text, err := s.opened(macX, "10203040/start4.elf"); err != nil || text != "start4.elf" {
				t.Errorf("its folder has %q, %v", text, err)
			}
			for _, e := range []event.Event{{Kind: event.Discover}, {Kind: event.Ack}, {Kind: event.Transfer, File: "10203040/kernel8.img", Done: 6, Total: 6}, {Kind: event.Discover}} {
				e.Box, e.Time = macX, s.o.Now()
				s.table.Event(e)
			}
			if got := s.decide(asks); !got.Disk {
				t.Errorf("at its second boot it is told %+v", got)
			}
			if _, err := s.opened(macX, "10203040/start4.elf"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("at its second boot it finds its folder, %v", err)
			}
		})
	}
	s := newTestServer(t, "[box.pi]\nmac = [\""+macX.String()+"\"]\n"+system+strconv.Quote(tree)+"\n")
	arm(t, s, Request{Box: "pi", Mode: netboot.Run})
	if got := s.decide(dhcp.Client{MAC: macX, Boots: true, Firmware: dhcp.BIOS}); got.Silent != "pi is a Raspberry Pi, whose ROM loads its folder, and x86 BIOS asks" {
		t.Errorf("a BIOS is told %+v", got)
	}
	if got := s.decide(dhcp.Client{MAC: macX}); got.Silent != "" || got.File != "" {
		t.Errorf("its operating system is told %+v", got)
	}
}

// OpenBSD's installer is not heard of once it has its answers: then the box boots
// its disk.
func TestAnsweredOnce(t *testing.T) {
	tree := t.TempDir()
	for name, text := range map[string]string{"pxeboot": "boot program", "install.conf": "answers"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newTestServer(t, "[box.bsd]\nmac = [\"52:54:00:00:00:0a\"]\nsystem = \"openbsd\"\ntree = \""+tree+"\"\nanswers = \""+filepath.Join(tree, "install.conf")+"\"\n")
	arm(t, s, Request{Box: "bsd", Mode: netboot.Install})
	if got := s.decide(dhcp.Client{MAC: macA}); got.File != "auto_install" {
		t.Errorf("its installer is told %+v", got)
	}
	if text, err := s.opened(macA, "auto_install"); err != nil || text != "boot program" {
		t.Errorf("auto_install is %q, %v", text, err)
	}
	if _, pending := s.table.Pending(macA); !pending {
		t.Error("it is not armed any more, before it had its answers")
	}
	for range 2 {
		if text, err := s.opened(macA, macA.String()+"-install.conf"); err != nil || text != "answers" {
			t.Errorf("install.conf is %q, %v", text, err)
		}
	}
	if _, pending := s.table.Pending(macA); pending {
		t.Error("it installs again")
	}
	if got := s.decide(dhcp.Client{MAC: macA}); got.File != "" || got.Silent != "" {
		t.Errorf("its system is told %+v", got)
	}
	// One that only runs boots its folder as often as it likes.
	arm(t, s, Request{Box: "bsd", Mode: netboot.Run})
	if _, err := s.opened(macA, "install.conf"); err != nil {
		t.Error(err)
	}
	if _, pending := s.table.Pending(macA); !pending {
		t.Error("a run ended with its answers")
	}
}

// A box is explained by the port by which it was heard.
func TestExplainByWhicheverPort(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	s.table.Event(event.Event{Box: macB, Kind: event.Discover})
	text, err := s.Explain("gw0")
	if err != nil || !strings.Contains(text, macB.String()) || strings.Contains(text, "was not heard of") {
		t.Errorf("Explain = %q, %v; want what %s did", text, err, macB)
	}
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	if text, err = s.Explain("gw0"); err != nil || !strings.Contains(text, "rmed at ") || !strings.Contains(text, macB.String()) {
		t.Errorf("Explain of an armed box = %q, %v", text, err)
	}
}

// What any box runs is no box that could be disarmed.
func TestDisarmOfABoard(t *testing.T) {
	err := newTestServer(t, twoBoxes).armory(t.Context()).Disarm("qemu-amd64")
	if err == nil || strings.Contains(err.Error(), "--board") || !strings.Contains(err.Error(), "as long as the server does") {
		t.Errorf("Disarm = %v", err)
	}
}
