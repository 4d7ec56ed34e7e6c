package pxe

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/pxe/event"
	"tench/pxe/tftp"
	"tench/pxe/web"
	"tench/release/netboot"
)

const secret = "nobody but the operator may read this"

// yard is a folder with a secret, and in it the tree of boxes with OpenBSD and
// FreeBSD, out of which links lead.
func yard(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	tree := filepath.Join(dir, "tree")
	err := errors.Join(
		os.MkdirAll(filepath.Join(tree, "boot"), 0o755),
		os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o644),
		os.Symlink(filepath.Join(dir, "secret"), filepath.Join(tree, "absolute")),
		os.Symlink("../secret", filepath.Join(tree, "relative")),
		os.Symlink(dir, filepath.Join(tree, "folder")),
		os.Symlink("bsd.rd", filepath.Join(tree, "inside")),
		os.Symlink("/proc/self/environ", filepath.Join(tree, "environ")),
	)
	for _, name := range []string{"bsd.rd", "pxeboot", "boot/pxeboot"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(tree, name), []byte("of the tree"), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// climbers are a server and the boxes that try. Whose an address is the DHCP server
// knows, which there is none of here.
func climbers(t *testing.T, dir string) (*Server, map[string]event.MAC) {
	t.Helper()
	tree := filepath.Join(dir, "tree")
	s := newTestServer(t, twoBoxes+fmt.Sprintf("[box.ob]\nmac = [\"52:54:00:00:00:0d\"]\nsystem = \"openbsd\"\ntree = %q\n[box.fb]\nmac = [\"52:54:00:00:00:0e\"]\nsystem = \"freebsd\"\ntree = %q\n", tree, tree))
	for _, name := range []string{"gw0", "ob", "fb"} {
		arm(t, s, Request{Box: name, Mode: netboot.Run})
	}
	return s, map[string]event.MAC{"tench": macA, "OpenBSD": {0x52, 0x54, 0, 0, 0, 0xd}, "FreeBSD": {0x52, 0x54, 0, 0, 0, 0xe}}
}

// climbs are names that lead out of the tree, if somebody decodes them once or
// twice, or takes them for what they look like. SECRET is the secret's own path.
var climbs = []string{
	"../secret", "../../secret", "./../secret", "boot/../../secret", "bsd.rd/../../secret", "freebsd/../../secret", "boot/../../tree/../secret",
	"..%2fsecret", "%2e%2e/secret", "%2e%2e%2fsecret", "%2E%2E%2Fsecret", ".%2e/secret", "%252e%252e/secret", "%252e%252e%252fsecret", "..%252fsecret",
	`..\secret`, "..%5csecret", "..%255csecret", `boot\..\..\secret`,
	"%c0%ae%c0%ae/secret", "%c0%ae%c0%ae%c0%afsecret", "..%c0%afsecret", "..%e0%80%afsecret", "..%c1%9csecret", // overlong UTF-8
	"%ef%bc%8e%ef%bc%8e/secret", "..%ef%bc%8fsecret", "%e2%80%a5/secret", // full-width dots and slash, a two-dot leader
	"%u002e%u002e/secret", "..;/secret", ".../secret", "....//secret",
	"/secret", "//secret", "SECRET", "%2fSECRET", "freebsd/SECRET", "file://SECRET",
	"..%00/secret", "../secret%00", "..%2fsecret%00.conf", "bsd.rd%00/../../secret",
	"absolute", "relative", "folder/secret", "folder/tree/../secret", "freebsd/relative", "freebsd/folder/secret", "environ",
	"serial/x/../secret", "serial/x/..%2fsecret", "serial/x/SECRET", "hardware/x/../../secret", "pxelinux.cfg/../../secret", "b/../../secret",
	strings.Repeat("../", 100) + "secret", strings.Repeat("../", 1000) + "SECRET", strings.Repeat("a/", 300) + strings.Repeat("../", 301) + "secret",
	strings.Repeat("%2e%2e%2f", 800) + "SECRET",
}

// TestNothingIsReadOutsideByHTTP sends request lines as they are, which no client
// of HTTP would, over real connections to the real handler and view.
func TestNothingIsReadOutsideByHTTP(t *testing.T) {
	dir := yard(t)
	s, macs := climbers(t, dir)
	for system, mac := range macs {
		t.Run(system, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			h := web.Boxes(web.Options{Table: s.table, Content: &content{s: s}, Sink: s.sink, Now: s.o.Now, Box: func(netip.Addr) event.MAC { return mac },
				Open: func(_ netip.AddrPort, name string) (web.File, error) { return s.openFor(mac, name, s.view) }})
			background(t, func(ctx context.Context) error { return web.Serve(ctx, l, h, web.Limits{}) })
			ask := func(line string) (status int, text string) {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				go fmt.Fprintf(c, "%s\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n", line) // a server may end it in the middle
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatalf("%.100q: %v", line, err)
				}
				defer answer.Body.Close()
				body, _ := io.ReadAll(answer.Body)
				var head strings.Builder
				_ = answer.Header.Write(&head)
				return answer.StatusCode, head.String() + string(body)
			}
			for _, climb := range climbs {
				climb = strings.ReplaceAll(climb, "SECRET", filepath.Join(dir, "secret"))
				for _, line := range []string{"GET /" + climb + " HTTP/1.1", "GET " + climb + " HTTP/1.0", "GET http://192.0.2.1/" + climb + " HTTP/1.1", "GET //192.0.2.1/" + climb + " HTTP/1.1"} {
					status, text := ask(line)
					if status < 400 || status > 499 {
						t.Errorf("%.100q: status %d, want 4xx", line, status)
					}
					if strings.Contains(text, secret) || strings.Contains(text, dir) {
						t.Errorf("%.100q: the answer has what it must not: %q", line, text)
					}
				}
			}
			if status, _ := ask("GET /" + strings.Repeat("../", 10_000) + "secret HTTP/1.1"); status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("a line of 30 kB: status %d, want 431", status)
			}
			good := map[string]string{"tench": "vmlinuz", "OpenBSD": "inside", "FreeBSD": "freebsd/boot/pxeboot"}[system]
			for _, line := range []string{"GET /" + good + " HTTP/1.1", "GET //" + good + " HTTP/1.1", "GET http://192.0.2.1/" + good + " HTTP/1.1"} {
				if status, text := ask(line); status != 200 || !strings.HasSuffix(text, "of the tree") && !strings.HasSuffix(text, "kernel of qemu-amd64") {
					t.Errorf("%q: %d %q, want the file", line, status, text)
				}
			}
		})
	}
}

// TestNothingIsReadOutsideByTFTP asks for the same, decoded and as it is.
func TestNothingIsReadOutsideByTFTP(t *testing.T) {
	dir := yard(t)
	s, macs := climbers(t, dir)
	for system, mac := range macs {
		t.Run(system, func(t *testing.T) {
			conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			background(t, func(ctx context.Context) error {
				return tftp.Serve(ctx, conn, tftp.Options{Sink: s.sink, Now: s.o.Now,
					Open: func(_ netip.AddrPort, name string) (tftp.File, error) { return s.openFor(mac, name, s.tftpView) }})
			})
			ask := func(name string) (op, block uint16, text string) {
				c, err := net.Dial("udp4", conn.LocalAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				local := c.LocalAddr().(*net.UDPAddr)
				c.Close() // the answer comes from another port
				u, err := net.ListenUDP("udp4", local)
				if err != nil {
					t.Fatal(err)
				}
				defer u.Close()
				packet := make([]byte, 2048)
				for range 20 { // which a busy machine may not hear
					if _, err := u.WriteTo([]byte("\x00\x01"+name+"\x00octet\x00"), conn.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					_ = u.SetReadDeadline(time.Now().Add(3 * time.Second))
					n, from, err := u.ReadFromUDP(packet)
					if err != nil {
						continue
					}
					_, _ = u.WriteTo([]byte("\x00\x05\x00\x00enough\x00"), from)
					return binary.BigEndian.Uint16(packet), binary.BigEndian.Uint16(packet[2:]), string(packet[4:n])
				}
				t.Fatalf("no answer to a request for %.100q", name)
				return 0, 0, ""
			}
			const data, failed = 3, 5
			for _, climb := range climbs {
				climb = strings.ReplaceAll(climb, "SECRET", filepath.Join(dir, "secret"))
				for _, name := range []string{climb, "/" + climb, unescaped(climb), "/" + unescaped(climb)} {
					if len(name) > 2000 { // more than the server reads of a packet
						continue
					}
					if op, _, text := ask(name); op != failed || strings.Contains(text, secret) || strings.Contains(text, dir) {
						t.Errorf("%.100q: the answer is %d %q, want an ERROR", name, op, text)
					}
				}
			}
			good := map[string]string{"tench": "vmlinuz", "OpenBSD": "inside", "FreeBSD": "/freebsd/boot/pxeboot"}[system]
			if op, block, text := ask(good); op != data || block != 1 || text != "of the tree" && text != "kernel of qemu-amd64" {
				t.Errorf("%s: the answer is %d %d %q, want the file", good, op, block, text)
			}
		})
	}
}

// unescaped is a name whose %XX are the bytes that they stand for, once.
func unescaped(name string) string {
	var out []byte
	for i := 0; i < len(name); i++ {
		var b byte
		if i+2 < len(name) && name[i] == '%' {
			if n, err := fmt.Sscanf(name[i+1:i+3], "%02x", &b); n == 1 && err == nil {
				out = append(out, b)
				i += 2
				continue
			}
		}
		out = append(out, name[i])
	}
	return string(out)
}

// background runs a server until the test ends.
func background(t *testing.T, serve func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
