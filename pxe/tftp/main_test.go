package tftp

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// serveEnv makes a server of the test's program, for labs that need one in a
// process or a network namespace of its own: "ADDRESS:PORT FOLDER".
const serveEnv = "TENCH_TFTP_SERVE"

func TestMain(m *testing.M) {
	if what := os.Getenv(serveEnv); what != "" {
		if err := serveFolder(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveFolder serves until it gets a SIGTERM.
func serveFolder(what string) error {
	var addr, dir string
	if _, err := fmt.Sscan(what, &addr, &dir); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	mtu := 1500
	if netip.MustParseAddrPort(addr).Addr().IsLoopback() {
		mtu = 65536
	}
	return Serve(ctx, conn, Options{Open: folder(dir).open, MTU: mtu})
}

// folder is files of a file system.
type folder string

func (f folder) open(_ netip.AddrPort, name string) (File, error) {
	file, err := os.Open(filepath.Join(string(f), filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return onDisk{file, info.Size()}, nil
}

type onDisk struct {
	*os.File
	size int64
}

func (f onDisk) Size() int64 { return f.size }
