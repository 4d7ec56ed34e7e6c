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
// process or a network namespace of its own: "ADDRESS:PORT FOLDER DEVICE".
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
	var addr, dir, device string
	if _, err := fmt.Sscan(what, &addr, &dir, &device); err != nil {
		return err
	}
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return Serve(ctx, conn, Options{Open: folder(dir).open, Device: device, MTU: ifi.MTU})
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
