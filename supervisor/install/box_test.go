package install

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tench/internal/slottest"
	"tench/release/netboot"
	"tench/release/writestream"
	"tench/supervisor/slots"
)

const (
	mib   = 1 << 20
	token = "token-of-one-arming"
)

// testBox is a box whose disks are files.
type testBox struct {
	t    *testing.T
	root string
	i    *Installer
	out  bytes.Buffer

	typed  []string            // what a person types, line by line
	good   string              // the slot of every disk of ours that is good
	steps  []string            // what was done with slots and data partitions
	spoil  func(m *fileMedium) // called by Drop
	broken error               // of every write
}

// fileMedium is a disk or a partition in a file.
type fileMedium struct {
	*io.SectionReader
	b    *testBox
	f    *os.File
	base int64
}

func (m *fileMedium) WriteAt(p []byte, at int64) (int, error) {
	if m.b.broken != nil {
		return 0, m.b.broken
	}
	if at < 0 || at+int64(len(p)) > m.Size() {
		return 0, errors.New("beyond the end")
	}
	return m.f.WriteAt(p, m.base+at)
}

func (m *fileMedium) Sync() error { return nil }

func (m *fileMedium) Drop() error {
	if m.b.spoil != nil {
		m.b.spoil(m)
	}
	return nil
}

func (m *fileMedium) Close() error { return m.f.Close() }

// newBox is an apu2 whose server is url. Its clock goes on by what is waited for.
func newBox(t *testing.T, url string) *testBox {
	t.Helper()
	b := &testBox{t: t, root: t.TempDir(), good: "a"}
	b.write("proc/self/mountinfo", "1 0 0:1 / / rw - rootfs rootfs rw\n")
	for _, dir := range []string{"sys/block", "dev"} {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Unix(1_800_000_000, 0)
	b.i = &Installer{
		Root: b.root, Board: "apu2",
		Server:  Client{File: netboot.File{Server: url, Token: token, Box: "gw0", Mode: netboot.Install}, Dial: (&net.Dialer{}).DialContext},
		Console: Console{Out: &b.out, Ask: b.ask},
		Open:    b.open,
		Slots:   func(disk, running string) Slots { return testSlots{b, disk, running} },
		Reread:  func(disk string) error { b.partitions(filepath.Base(disk)); return nil },
		KeepWord: func(partition string, word []byte) error {
			b.steps = append(b.steps, "word on "+filepath.Base(partition)+": "+string(word))
			return nil
		},
		Now: func() time.Time { return now },
		Wait: func(ctx context.Context, d time.Duration) error {
			now = now.Add(d)
			return ctx.Err()
		},
		Log: func(string, ...any) {},
	}
	return b
}

func (b *testBox) write(path, text string) {
	b.t.Helper()
	path = filepath.Join(b.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// disk plugs a disk in, or puts other content on it.
func (b *testBox) disk(name, serial string, content []byte) {
	b.t.Helper()
	b.write("dev/"+name, string(content))
	for file, text := range map[string]string{
		"size": fmt.Sprint(len(content) / sector), "ro": "0", "dev": "8:0", "queue/logical_block_size": "512",
		"device/vendor": "ATA", "device/model": "Carp 3000", "serial": serial,
	} {
		b.write(filepath.Join("sys/block", name, file), text+"\n")
	}
	b.partitions(name)
}

// partitions is what the kernel does with the partition table of a disk.
func (b *testBox) partitions(name string) {
	b.t.Helper()
	old, _ := filepath.Glob(filepath.Join(b.root, "sys/block", name, name+"*"))
	for _, dir := range old {
		os.RemoveAll(dir)
	}
	data, err := os.ReadFile(filepath.Join(b.root, "dev", name))
	if err != nil {
		b.t.Fatal(err)
	}
	if len(data) < sector || data[510] != 0x55 {
		return
	}
	for n := range 4 {
		e := data[tableAt+n*entrySize:]
		at, size := binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
		if size == 0 {
			continue
		}
		part := fmt.Sprintf("%s%d", name, n+1)
		for file, value := range map[string]any{"partition": n + 1, "start": at, "size": size, "dev": fmt.Sprintf("8:%d", n+1)} {
			b.write(filepath.Join("sys/block", name, part, file), fmt.Sprintln(value))
		}
	}
}

func (b *testBox) content(name string) []byte {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.root, "dev", name))
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// open opens /dev/sda, or /dev/sda3 as a part of it.
func (b *testBox) open(path string, write bool) (Medium, error) {
	name := filepath.Base(path)
	disk := strings.TrimRight(name, "0123456789")
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), disk), flags, 0)
	if err != nil {
		return nil, err
	}
	s := sysfs(filepath.Join(b.root, "sys/block", disk))
	at, size := int64(0), s.number("size")*sector
	if disk != name {
		at, size = s.number(name+"/start")*sector, s.number(name+"/size")*sector
	}
	return &fileMedium{io.NewSectionReader(f, at, size), b, f, at}, nil
}

// ask is a person who has typed all beforehand.
func (b *testBox) ask(context.Context) (string, error) {
	if len(b.typed) == 0 {
		return "", io.EOF
	}
	line := b.typed[0]
	b.typed = b.typed[1:]
	return line, nil
}

type testSlots struct {
	b             *testBox
	disk, running string
}

func (s testSlots) State() (slots.State, error) {
	if s.b.good == "" {
		return slots.State{}, errors.New("no grubenv")
	}
	return slots.State{Slot: s.b.good, Good: s.b.good}, nil
}

func (s testSlots) Vacate() error {
	s.b.steps = append(s.b.steps, "vacate for "+s.running)
	return nil
}

func (s testSlots) Device(slot string) (string, error) {
	return s.disk + map[string]string{"a": "2", "b": "3"}[slot], nil
}

func (s testSlots) Arm(slot string, tries int) error {
	s.b.steps = append(s.b.steps, fmt.Sprintf("arm %s for %d tries", slot, tries))
	return nil
}

// testServer answers a box, through Go's own HTTP.
type testServer struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	plan   func(n int, q netboot.Question) any // a Plan, or a string: no, in words
	image  func(n int, r writestream.Request, w http.ResponseWriter)
	raw    func(n int, w http.ResponseWriter, r *http.Request) // in place of image
	refuse int                                                 // the status of a no; 0 for 409
	asked  int
	images int
	posts  []netboot.Progress
	done   []string
}

func newServer(t *testing.T) *testServer {
	t.Helper()
	s := &testServer{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /b/"+token+"/progress", s.progress)
	mux.HandleFunc("POST /b/"+token+"/plan", s.planned)
	mux.HandleFunc("POST /b/"+token+"/done", s.finished)
	mux.HandleFunc("GET /b/"+token+"/image", s.sent)
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

func (s *testServer) read(r *http.Request, v any) {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		s.t.Errorf("%s: %v", r.URL, err)
	}
}

func (s *testServer) progress(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p netboot.Progress
	s.read(r, &p)
	s.posts = append(s.posts, p)
	w.WriteHeader(http.StatusNoContent)
}

func (s *testServer) planned(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var q netboot.Question
	s.read(r, &q)
	s.asked++
	switch a := s.plan(s.asked, q).(type) {
	case string:
		http.Error(w, a, cmp.Or(s.refuse, http.StatusConflict))
	default:
		json.NewEncoder(w).Encode(a)
	}
}

func (s *testServer) finished(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d netboot.Done
	s.read(r, &d)
	s.done = append(s.done, d.SHA256)
	w.WriteHeader(http.StatusNoContent)
}

func (s *testServer) sent(w http.ResponseWriter, r *http.Request) {
	request, err := writestream.ParseRequest(r.URL.RawQuery)
	if err != nil {
		s.t.Errorf("%s: %v", r.URL, err)
	}
	s.mu.Lock()
	s.images++
	n := s.images
	s.mu.Unlock()
	if s.raw != nil {
		s.raw(n, w, r)
		return
	}
	s.image(n, request, w)
}

// stages are the posts by stage, each once.
func (s *testServer) stages() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, p := range s.posts {
		if len(list) == 0 || list[len(list)-1] != string(p.Stage) {
			list = append(list, string(p.Stage))
		}
	}
	return strings.Join(list, " ")
}

// ours is a disk of ours: a partition table, two slots, and a data partition with
// a secret.
func ours(board string) []byte {
	b := make([]byte, 8*mib)
	sizes := []int{mib, 2 * mib, 2 * mib, 2 * mib}
	at := mib
	for n, size := range sizes {
		e := b[tableAt+n*entrySize:]
		e[4] = 0x83
		binary.LittleEndian.PutUint32(e[8:], uint32(at/sector))
		binary.LittleEndian.PutUint32(e[12:], uint32(size/sector))
		at += size
	}
	b[510], b[511] = 0x55, 0xaa
	copy(b[2*mib:], slottest.New(board, "2026.10", 1_900_000_000, 30_000, 20_000).Bytes())
	copy(b[4*mib:], slottest.New(board, "2026.09", 1_800_000_000, 30_000, 20_000).Bytes())
	copy(b[6*mib:], "carps and tenches")
	return b
}

// stream writes a medium whose content is image, as an install does it.
func stream(image []byte, size int64, w io.Writer) (receipt string, err error) {
	var list [][2]int // pieces: from, to
	for at := sector; at < len(image); at += mib {
		list = append(list, [2]int{at, min(at+mib, len(image))})
	}
	e, err := writestream.NewEncoder(w, writestream.Header{Size: size, Total: int64(len(image)) + sector})
	if err != nil {
		return "", err
	}
	steps := []error{e.Write(0, make([]byte, sector)), e.Step(writestream.Verify)}
	for _, p := range list {
		steps = append(steps, e.Write(int64(p[0]), image[p[0]:p[1]]))
	}
	steps = append(steps, e.Step(writestream.Verify), e.Write(0, image[:sector]), e.Step(writestream.Verify))
	if err := errors.Join(steps...); err != nil {
		return "", err
	}
	return e.End()
}
