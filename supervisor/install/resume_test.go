package install

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/slottest"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/pxe/web"
	"tench/release/netboot"
	"tench/release/writestream"
)

// flaky is a server whose line breaks, and that gives what lacks then.
type flaky struct {
	*testServer
	t      *testing.T
	cuts   []int              // bytes of the whole stream at which the nth answer ends
	disk   func(n int) []byte // what the nth answer brings; nil for newDisk
	status func(n int) int    // of the nth answer, where it is a no; nil for none
	asked  []string           // ranges
}

// newFlaky makes a server and a box with a disk that it installs.
func newFlaky(t *testing.T, cuts ...int) (*flaky, *testBox) {
	t.Helper()
	f := &flaky{testServer: newServer(t), t: t, cuts: cuts}
	f.plan = func(int, netboot.Question) any { return netboot.Plan{Disk: "sda"} }
	f.raw = f.send
	b := newBox(t, f.url)
	b.disk("sda", "", make([]byte, 8*mib))
	return f, b
}

func wholeStream(t *testing.T, disk []byte) []byte {
	t.Helper()
	var whole bytes.Buffer
	if _, err := stream(disk, 8*mib, &whole); err != nil {
		t.Error(err)
	}
	return whole.Bytes()
}

func (f *flaky) send(n int, w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.Header.Get("Range"))
	if f.status != nil && f.status(n) != 0 {
		http.Error(w, "no", f.status(n))
		return
	}
	disk := newDisk()
	if f.disk != nil {
		disk = f.disk(n)
	}
	data := wholeStream(f.t, disk)
	w.Header().Set("ETag", `"`+slottest.Sum(data)+`"`)
	if n <= len(f.cuts) {
		c := &cutting{ResponseWriter: w, left: f.cuts[n-1]}
		if at := r.Header.Get("Range"); at != "" {
			var from int
			if _, err := fmt.Sscanf(at, "bytes=%d-", &from); err != nil {
				f.t.Errorf("the range %q: %v", at, err)
			}
			c.left -= from
		}
		w = c
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data)) // by the rules of RFC 9110
}

// cutting is an answer whose line breaks behind some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// A line that breaks costs what was not sent yet, wherever it breaks, and the disk
// is the same as without.
func TestTakenUp(t *testing.T) {
	all := len(wholeStream(t, newDisk()))
	for name, cuts := range map[string][]int{
		"in the header":           {10},
		"in a piece":              {all / 2},
		"nine times of ten":       {all / 10, all / 5, all / 3, all / 2, all * 2 / 3, all * 3 / 4, all * 4 / 5, all * 9 / 10, all - 700},
		"behind the boot sector":  {all - 40},
		"before the last byte":    {all - 1},
		"twice at the same place": {all / 3, all / 3, all / 3},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := newFlaky(t, cuts...)
			if err := b.i.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.content("sda"), newDisk()) || len(f.done) != 1 {
				t.Errorf("the disk is another one, done %q", f.done)
			}
			want := []string{""}
			for _, cut := range cuts {
				want = append(want, fmt.Sprintf("bytes=%d-", cut))
			}
			if diff := cmp.Diff(want, f.asked); diff != "" {
				t.Errorf("the box asked for (-want +got):\n%s", diff)
			}
			out := b.out.String()
			if strings.Count(out, "; the image is taken up behind its first ") != len(cuts) || strings.Contains(out, "anew") {
				t.Errorf("the console shows\n%s", out)
			}
		})
	}
}

// The netboot server's own handler is on the other end, of a line that breaks every
// so many bytes.
func TestTakenUpByOurServer(t *testing.T) {
	table, err := track.New(track.Options{Dir: t.TempDir(), Now: time.Now, Random: rand.Reader, Name: func(event.MAC) string { return "gw0" }})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	order, err := table.Arm(track.Order{Box: event.MAC{2}, Name: "gw0", Board: "apu2", Mode: netboot.Install})
	if err != nil {
		t.Fatal(err)
	}
	c := &oneDisk{}
	h := httptest.NewServer(web.Boxes(web.Options{Table: table, Content: c, Now: time.Now}))
	defer h.Close()
	b := newBox(t, h.URL)
	b.i.Server.File.Token = order.Token
	b.i.Server.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &shortLine{Conn: conn, left: 700_000}, err
	}
	b.disk("sda", "", make([]byte, 8*mib))
	if err := b.i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.content("sda"), newDisk()) {
		t.Error("the disk is another one")
	}
	if state := table.Snapshot()[0].Install.State; state != track.StateWritten || c.done != c.receipt {
		t.Errorf("the install is %s, with the receipt %q, want %q", state, c.done, c.receipt)
	}
	if out := b.out.String(); c.images < 3 || strings.Contains(out, "anew") {
		t.Errorf("after %d requests for the image the console shows\n%s", c.images, out)
	}
}

// oneDisk is what a server has for one box.
type oneDisk struct {
	images        int
	receipt, done string
}

func (o *oneDisk) Plan(context.Context, track.Install, netboot.Question) (netboot.Plan, error) {
	return netboot.Plan{Disk: "sda"}, nil
}

func (o *oneDisk) Image(_ context.Context, _ track.Install, r writestream.Request) (web.Image, error) {
	var whole bytes.Buffer
	var err error
	o.images++
	o.receipt, err = stream(newDisk(), r.Size, &whole)
	return diskImage(whole.Bytes()), err
}

func (o *oneDisk) Done(_ context.Context, _ track.Install, receipt string) error {
	o.done = receipt
	return nil
}

// diskImage is a whole stream.
type diskImage []byte

func (d diskImage) Size() int64  { return int64(len(d)) }
func (d diskImage) Tag() string  { return slottest.Sum(d) }
func (d diskImage) Close() error { return nil }

func (d diskImage) Send(_ context.Context, w io.Writer) error {
	_, err := w.Write(d)
	return err
}

// shortLine breaks behind some bytes.
type shortLine struct {
	net.Conn
	left int
}

func (s *shortLine) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, syscall.ECONNRESET
	}
	n, err := s.Conn.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// Where the rest cannot be had, the image is fetched from its start.
func TestNotTakenUp(t *testing.T) {
	other := newDisk()
	copy(other[5*mib:], "another slot")
	half := len(wholeStream(t, newDisk())) / 2
	for name, tc := range map[string]struct {
		cuts   []int
		disk   func(n int) []byte
		status func(n int) int
		want   []byte
		images int
		says   string
	}{
		"the image is another by now": {cuts: []int{half}, want: other, images: 3, says: "the server has another image by now; the image is fetched anew",
			disk: func(n int) []byte { return [][]byte{newDisk(), other, other}[n-1] }},
		"the server does not come back for long": {cuts: []int{half}, images: maxResumes + 2, says: "the image is fetched anew",
			status: func(n int) int {
				if n > 1 && n <= maxResumes+1 {
					return http.StatusServiceUnavailable
				}
				return 0
			}},
		"nothing of it came": {cuts: []int{0}, images: 2, says: "the image is fetched anew"},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := newFlaky(t, tc.cuts...)
			f.disk, f.status = tc.disk, tc.status
			if err := b.i.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tc.want == nil {
				tc.want = newDisk()
			}
			if !bytes.Equal(b.content("sda"), tc.want) || len(f.done) != 1 {
				t.Errorf("the disk is another one, done %q", f.done)
			}
			if out := b.out.String(); f.images != tc.images || strings.Count(out, tc.says) != 1 {
				t.Errorf("after %d answers, want %d, the console shows\n%s", f.images, tc.images, out)
			}
		})
	}
}

// A server that does not want it any more ends the install, and nothing half boots.
func TestRefusedWhenTakenUp(t *testing.T) {
	f, b := newFlaky(t, len(wholeStream(t, newDisk()))-1)
	f.status = func(n int) int { return map[int]int{2: http.StatusGone}[n] }
	err := b.i.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the server refuses (410): no") {
		t.Errorf("Run = %v, want the server's no", err)
	}
	if got := b.content("sda")[:sector]; !bytes.Equal(got, make([]byte, sector)) {
		t.Error("the boot sector is there")
	}
}
