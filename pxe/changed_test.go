package pxe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/pxe/web"
	"tench/release"
	"tench/release/netboot"
)

// TestChangedUnderAnArmedBox changes what an armed box is to get, before it asks and
// after it has asked once. It gets an error by HTTP and never what was changed, and
// the operator reads what it was.
func TestChangedUnderAnArmedBox(t *testing.T) {
	const board = "qemu-amd64"
	const image = "image?disk=sda&size=1073741824"
	const evil = "not what anybody verified"
	changed := "it is not what was verified when the box was armed"
	write := func(name func(string) string) func(*testing.T, *Server, string) {
		return func(t *testing.T, _ *Server, dir string) {
			t.Helper()
			path := filepath.Join(dir, name(board))
			if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(evil), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	named := func(name string) func(string) string { return func(string) string { return name } }
	type answer struct {
		status     int
		body, said string // parts of what the box gets, and of the event that the operator reads
	}
	fine := func(body string) answer { return answer{200, body, ""} }
	trouble := func(said string) answer {
		return answer{503, "the server has trouble; its operator sees which", "trouble " + said}
	}
	refused := func(said string) answer { return answer{409, said, "refused " + said} }
	tests := []struct {
		name                  string
		change                func(*testing.T, *Server, string)
		kernel, initrd, image answer
		silent                string // what DHCP's rule says; "" for a boot file
	}{
		{name: "nothing", change: func(*testing.T, *Server, string) {}, kernel: fine("kernel of " + board), initrd: fine("initrd"), image: fine("the image")},
		{name: "the kernel", change: write(release.KernelName), kernel: trouble("pxe: DIR/tench-qemu-amd64.vmlinuz: " + changed), initrd: fine("initrd"), image: fine("the image")},
		{name: "the kernel, which is gone", kernel: trouble("pxe: open DIR/tench-qemu-amd64.vmlinuz: no such file"), initrd: fine("initrd"), image: fine("the image"),
			change: func(t *testing.T, _ *Server, dir string) {
				t.Helper()
				if err := os.Remove(filepath.Join(dir, release.KernelName(board))); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "the initramfs", change: write(release.InitrdName), kernel: fine("kernel of " + board), initrd: trouble("pxe: DIR/tench-qemu-amd64.initrd: " + changed), image: fine("the image")},
		{name: "SHA256", change: write(named(release.SumsFile)), silent: "pxe: DIR/SHA256: " + changed,
			kernel: trouble("pxe: DIR/SHA256: " + changed), initrd: trouble("pxe: DIR/SHA256: " + changed), image: refused("pxe: DIR/SHA256: " + changed)},
		// What was signed at the start is what is served: cmd/tench looks at it again
		// for the image alone.
		{name: "SHA256.sig", change: write(named(release.SignatureFile)), kernel: fine("kernel of " + board), initrd: fine("initrd"), image: fine("the image")},
		{name: "another build, armed for another box", silent: "pxe: what is served of qemu-amd64 is not what the box was armed with",
			change: func(t *testing.T, s *Server, _ string) {
				t.Helper()
				product := s.o.Product
				s.o.Product = func(ctx context.Context, name string) (Product, error) {
					p, err := product(ctx, name)
					if err != nil {
						return p, err
					}
					dir := p.Files.Dir
					// The same but for its image.
					if err := os.WriteFile(filepath.Join(dir, release.ImageName(name)), []byte(evil), 0o644); err != nil {
						return p, err
					}
					p.Files.sums[release.ImageName(name)] = strings.Repeat("0", 64)
					return p, nil
				}
				if _, err := s.load(t.Context(), board); err != nil {
					t.Fatal(err)
				}
			},
			kernel: trouble("pxe: what is served of qemu-amd64 is not what the box was armed with"), initrd: trouble("pxe: what is served of qemu-amd64 is not what the box was armed with"),
			image: refused("pxe: what is served of qemu-amd64 is not what the box was armed with")},
		{name: "another release, armed for another box", silent: "pxe: what is served of qemu-amd64 is not what the box was armed with",
			change: func(t *testing.T, s *Server, _ string) { s.products[board].Files.Release = "2026.12" },
			kernel: trouble("pxe: what is served of qemu-amd64 is not what the box was armed with"), initrd: trouble("pxe: what is served of qemu-amd64 is not what the box was armed with"),
			image: refused("pxe: what is served of qemu-amd64 is not what the box was armed with")},
		{name: "all, so that a server that was started anew finds nothing whole", silent: "pxe: the files of qemu-amd64 are not whole",
			change: func(t *testing.T, s *Server, _ string) { clear(s.products) },
			kernel: trouble("pxe: the files of qemu-amd64 are not whole"), initrd: trouble("pxe: the files of qemu-amd64 are not whole"), image: refused("pxe: the files of qemu-amd64 are not whole")},
	}
	for _, tt := range tests {
		for _, when := range []string{"before it asks", "after it has asked"} {
			t.Run(tt.name+", "+when, func(t *testing.T) {
				s := newTestServer(t, twoBoxes)
				var said []string
				s.o.Sink = func(e event.Event) { said = append(said, string(e.Kind)+" "+e.Text) }
				s.o.Image = func(context.Context, Image) (Stream, error) { return textStream("the image"), nil }
				arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
				i, _ := s.table.Pending(macA)
				dir := s.products[board].Files.Dir
				if err := os.WriteFile(filepath.Join(dir, release.SignatureFile), nil, 0o644); err != nil { // to be changed
					t.Fatal(err)
				}
				h := httptest.NewServer(web.Boxes(web.Options{Table: s.table, Content: &content{s: s, receipts: map[string]string{}}, Sink: s.sink, Now: s.o.Now,
					Open: func(_ netip.AddrPort, name string) (web.File, error) { return s.openFor(macA, name, s.view) }}))
				defer h.Close()
				get := func(path string) (int, string) {
					t.Helper()
					res, err := http.Get(h.URL + path)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					body, err := io.ReadAll(res.Body)
					if err != nil {
						t.Fatal(err)
					}
					return res.StatusCode, string(body)
				}
				paths := []string{"/vmlinuz", "/initrd", netboot.File{Token: i.Token}.Path(image)}
				if when != "before it asks" {
					for _, path := range paths {
						if status, body := get(path); status != 200 {
							t.Fatalf("%s: %d %q", path, status, body)
						}
					}
				}
				tt.change(t, s, dir)
				for n, want := range []answer{tt.kernel, tt.initrd, tt.image} {
					said = nil
					status, body := get(paths[n])
					want.body, want.said = strings.ReplaceAll(want.body, "DIR", dir), strings.ReplaceAll(want.said, "DIR", dir)
					if status != want.status || !strings.HasPrefix(body, want.body) || strings.Contains(body, evil) {
						t.Errorf("%s: the box gets %d %q, want %d %q", paths[n], status, body, want.status, want.body)
					}
					if got := strings.Join(said, "\n"); !strings.HasPrefix(got, want.said) || want.said == "" && strings.Contains(got, "trouble") {
						t.Errorf("%s: the operator reads %q, want %q", paths[n], got, want.said)
					}
				}
				got := s.decide(dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.BIOS})
				if want := strings.ReplaceAll(tt.silent, "DIR", dir); got.Silent != want || (got.File == "") != (want != "") {
					t.Errorf("DHCP answers %+v, want silence because of %q", got, want)
				}
			})
		}
	}
}

func TestProductsSayWhatChanged(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	p, err := s.load(t.Context(), "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	sums := filepath.Join(p.Files.Dir, release.SumsFile)
	if err := os.WriteFile(sums, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Files.Image("qemu-amd64"); !errors.Is(err, errChanged) || !strings.Contains(err.Error(), sums) || !strings.Contains(err.Error(), "\nhint: arm the box again") {
		t.Errorf("Image with another SHA256 = %v, want it named, and what to do", err)
	}
	if err := os.Remove(sums); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Files.Image("qemu-amd64"); !errors.Is(err, errChanged) {
		t.Errorf("Image without SHA256 = %v", err)
	}
}
