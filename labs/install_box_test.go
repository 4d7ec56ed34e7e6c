package labs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"tench/build/disk"
	"tench/build/flash"
	"tench/internal/lab"
	"tench/release/netboot"
	"tench/release/writestream"
)

const installToken = "lab-token-of-one-arming"

// installServer is a netboot server without the netboot: QEMU starts the kernel,
// and the box finds it as the host of its user network.
type installServer struct {
	t     *testing.T
	img   *flash.Image
	data  io.ReaderAt // of a whole install
	plan  netboot.Plan
	posts chan netboot.Progress
	port  int

	asked   chan netboot.Question
	receipt string // of the last stream
	done    chan string
}

func newInstallServer(t *testing.T, img *flash.Image, data io.ReaderAt) *installServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &installServer{t: t, img: img, data: data, port: l.Addr().(*net.TCPAddr).Port,
		posts: make(chan netboot.Progress, 10000), asked: make(chan netboot.Question, 100), done: make(chan string, 10)}
	mux := http.NewServeMux()
	at := "/b/" + installToken
	mux.HandleFunc("POST "+at+"/progress", func(w http.ResponseWriter, r *http.Request) {
		s.posts <- read[netboot.Progress](t, r)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+at+"/plan", func(w http.ResponseWriter, r *http.Request) {
		s.asked <- read[netboot.Question](t, r)
		json.NewEncoder(w).Encode(s.plan)
	})
	mux.HandleFunc("POST "+at+"/done", func(w http.ResponseWriter, r *http.Request) {
		s.done <- read[netboot.Done](t, r).SHA256
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET "+at+"/image", s.image)
	h := &http.Server{Handler: mux}
	go h.Serve(l)
	t.Cleanup(func() { h.Close() })
	return s
}

func read[T any](t *testing.T, r *http.Request) (v T) {
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Errorf("%s: %v", r.URL, err)
	}
	return v
}

func (s *installServer) image(w http.ResponseWriter, r *http.Request) {
	request, err := writestream.ParseRequest(r.URL.RawQuery)
	if err != nil {
		s.t.Error(err)
	}
	if s.receipt, err = flash.Stream(r.Context(), s.img, flash.StreamOptions{Request: request, Data: s.data}, w); err != nil {
		s.t.Logf("the stream: %v", err) // a box that was killed
	}
}

// heard waits until the box has told of a stage.
func (s *installServer) heard(stage netboot.Stage) netboot.Progress {
	s.t.Helper()
	limit := time.After(bootTimeout)
	for {
		select {
		case p := <-s.posts:
			if p.Stage == netboot.Failed {
				s.t.Fatalf("the box failed: %s", p.Text)
			}
			if p.Stage == stage {
				return p
			}
		case <-limit:
			s.t.Fatalf("the box did not tell of the stage %s", stage)
		}
	}
}

// boot starts the kernel and the initramfs with what a netboot server adds.
func (s *installServer) boot(mode netboot.Mode, disk string, files map[string]string) *lab.Console {
	s.t.Helper()
	out := filepath.Join(lab.Root(s.t), "out", "qemu-amd64")
	initrd, err := os.ReadFile(filepath.Join(out, "tench-qemu-amd64.initrd"))
	if err != nil {
		s.t.Fatalf("%v\nhint: make image", err)
	}
	image, err := os.ReadFile(filepath.Join(out, "tench-qemu-amd64.img"))
	if err != nil {
		s.t.Fatal(err)
	}
	word, err := json.Marshal(netboot.File{Server: fmt.Sprintf("http://10.0.2.2:%d", s.port), Token: installToken, Box: "gw0", Mode: mode})
	if err != nil {
		s.t.Fatal(err)
	}
	archive := bytes.NewBuffer(append(initrd, make([]byte, (4-len(initrd)%4)%4)...))
	records := []cpio.Record{cpio.Directory("etc", 0o755), cpio.Directory("etc/tench", 0o755), cpio.Directory("etc/tench/netboot", 0o755),
		cpio.StaticFile("etc/tench/netboot.json", string(word), 0o600)}
	for name, text := range files {
		records = append(records, cpio.StaticFile("etc/tench/netboot/"+name, text, 0o600))
	}
	w := cpio.Newc.Writer(archive)
	if err := cpio.WriteRecords(w, records); err != nil {
		s.t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "initrd")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		s.t.Fatal(err)
	}
	args := []string{"-machine", "q35", "-cpu", "max", "-m", "256", "-nographic", "-no-reboot", "-device", "i6300esb",
		"-kernel", filepath.Join(out, "tench-qemu-amd64.vmlinuz"), "-initrd", file, "-append", slotArgs(s.t, partitionOf(image, 2)),
		"-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,addr=0x10"} // port:WAN of the board
	if disk != "" {
		args = append(args, "-drive", "if=none,id=d,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=d,serial=CARP1234")
	}
	return lab.Start(s.t, "qemu-system-x86_64", args...)
}

// A box without a disk to boot from installs itself, after a person has named the
// disk and the power was cut once; it boots that disk, says so, and is installed
// again, into its other slot.
func TestInstallerOnABox(t *testing.T) {
	lab.Require(t, "qemu-system-x86_64", "sfdisk", "e2fsck", "debugfs", "fsck.vfat")
	img, err := flash.OpenImage(context.Background(), filepath.Join(lab.Root(t), "out", "qemu-amd64", "tench-qemu-amd64.img"), flash.Trust{}, nil)
	if err != nil {
		t.Fatalf("%v\nhint: make image", err)
	}
	defer img.Close()
	router, err := img.RouterConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := img.MakeData(t.Context(), disk.NewBox(append(router, quickHealth...)), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	s := newInstallServer(t, img, data)
	target := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(target, img.Size+8<<20); err != nil {
		t.Fatal(err)
	}

	s.plan = netboot.Plan{Ask: "Which disk may be written?"}
	c := s.boot(netboot.Install, target, nil)
	c.Expect(t, `tench: disk vda +\d+ MB +CARP1234: empty`, bootTimeout)
	s.heard(netboot.Confirm)
	c.Expect(t, `Which disk may be written\?(?s:.*)looks again: `, menuTimeout)
	c.Send(t, "nope\n")
	c.Expect(t, `no disk that may be written answers to "nope"(?s:.*)looks again: `, menuTimeout)
	c.Send(t, "1234\n")
	c.Expect(t, `disk vda: [2-9][0-9] % written`, bootTimeout)
	c.Kill() // the power is cut

	s.plan = netboot.Plan{Disk: "vda"}
	for len(s.asked) > 0 {
		<-s.asked
	}
	c = s.boot(netboot.Install, target, nil)
	if q := <-s.asked; len(q.Disks) != 1 || q.Disks[0].Content != netboot.Unfinished || q.Disks[0].Slot != "" {
		t.Errorf("after the power cut the disks are %+v, want one with an unfinished install", q.Disks)
	}
	s.installed(c, `100 % read back`)
	s.look(target)
	s.firstBoot(target, "a")

	c = s.boot(netboot.Install, target, nil)
	c.Expect(t, `tench: disk vda .*: tench for board qemu-amd64: slots a (\S+), b (\S+)`, bootTimeout)
	s.installed(c, `slot b is armed for 3 tries; slot a stays as it is`)
	s.firstBoot(target, "b")
}

// installed waits for the end of an install.
func (s *installServer) installed(c *lab.Console, last string) {
	s.t.Helper()
	c.Expect(s.t, last, 2*bootTimeout)
	c.Expect(s.t, `disk vda is written and read back; rebooting from it`, bootTimeout)
	s.heard(netboot.Reboot)
	if got := <-s.done; got != s.receipt {
		s.t.Errorf("the box has read back %s, want %s", got, s.receipt)
	}
	if err := c.Ended(s.t, bootTimeout); err != nil {
		s.t.Errorf("the reboot: QEMU ended with %v", err)
	}
	if strings.Contains(c.Transcript(), installToken) {
		s.t.Error("the console shows the token")
	}
}

// look has others read what was written.
func (s *installServer) look(target string) {
	s.t.Helper()
	if out := lab.Run(s.t, "", "sfdisk", "-V", target); !strings.Contains(out, "No errors detected") {
		s.t.Errorf("sfdisk -V: %s", out)
	}
	whole, err := os.ReadFile(target)
	if err != nil {
		s.t.Fatal(err)
	}
	for n := 1; n <= 4; n++ {
		part := filepath.Join(s.t.TempDir(), "part")
		if err := os.WriteFile(part, partitionOf(whole, n), 0o600); err != nil {
			s.t.Fatal(err)
		}
		if n < 4 {
			lab.Run(s.t, "", "fsck.vfat", "-n", part)
			continue
		}
		lab.Run(s.t, "", "e2fsck", "-f", "-n", part)
		if out := lab.Run(s.t, "", "debugfs", "-R", "stat /state/netboot.json", part); !strings.Contains(out, "Mode:  0600") {
			s.t.Errorf("debugfs stat /state/netboot.json: no mode 0600:\n%s", out)
		}
	}
}

// firstBoot boots a copy of the disk: it tells of itself once, and then no more.
func (s *installServer) firstBoot(target, slot string) {
	s.t.Helper()
	c := boot(s.t, "--image", target)
	if m := c.Expect(s.t, readyLine, bootTimeout); m[3] != slot {
		s.t.Errorf("the ready line is %q, want slot %s", m[0], slot)
	}
	for _, stage := range []netboot.Stage{netboot.Ready, netboot.Healthy} {
		if p := s.heard(stage); !strings.HasSuffix(p.Text, ", slot "+slot) {
			s.t.Errorf("%s is told with %q, want slot %s", stage, p.Text, slot)
		}
	}
	shell(s.t, c)
	c.Send(s.t, "until ! test -e /data/state/netboot.json; do sleep 1; done; echo gone-$((1+1))\n")
	c.Expect(s.t, `gone-2`, menuTimeout)
	c.Send(s.t, "exit\n")
	powerOff(s.t, c)
}

// A box without any disk runs from RAM with the router.toml that came along.
func TestDisklessBox(t *testing.T) {
	lab.Require(t, "qemu-system-x86_64")
	s := newInstallServer(t, nil, nil)
	c := s.boot(netboot.Run, "", map[string]string{"router.toml": "hostname = \"gw9\"\n[interface.wan]\ndevice = \"port:WAN\"\ndhcp4 = true\n" + quickHealth})
	c.Expect(t, `tench: ready in [0-9.]+ s \(kernel [0-9.]+ s\) diskless`, bootTimeout)
	s.heard(netboot.Ready)
	s.heard(netboot.Healthy)
	c.Send(t, "\n1\n")
	c.Expect(t, `gw9(?s:.*)diskless: (?s:.*)generation 1`, menuTimeout)
	c.Send(t, "\n")
	powerOff(t, c)
}
