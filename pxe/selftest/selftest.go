// Package selftest runs the netboot server against stand-ins for the clients
// that boot over a network, on a wire of its own: two network namespaces and a
// pair of virtual interfaces between them. The stand-ins send what real clients
// were seen to send, in their order; captures/ has the packets of those that could
// be had.
//
//	selftest.go  Run: the wire, the two processes on its ends
//	server.go    the server's end: boxes of all kinds, small files
//	wire.go      what clients speak: DHCP, TFTP with their oddities, HTTP
//	clients.go   the clients: ROMs and loaders
//	beside.go    the same beside another DHCP server
//	captures.go  what firmware and iPXE sent by DHCP, byte for byte
//	install.go   an installer
//
// Nothing of it leaves the namespaces, and nothing is left behind.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"tench/pxe/dhcp"
)

// Roles of the processes.
const (
	RoleClients = "clients"
	RoleServer  = "server"         // the only one of its wire
	RoleProxy   = "server-proxy"   // beside one that gives addresses
	RoleForeign = "server-foreign" // beside one that names us
)

// acts are played one after the other, each with a server and a wire of its own.
// There is no other server on the wire: the stand-ins have what it would give them.
var acts = []struct {
	role    string
	mode    dhcp.Mode
	clients []standIn
}{
	{RoleServer, dhcp.Auto, clients},
	{RoleProxy, dhcp.Proxy, beside},
	{RoleForeign, dhcp.Foreign, named},
}

// The two ends of the wire.
const (
	serverDevice = "pxe-server"
	clientDevice = "pxe-client"
)

var serverAddress = netip.MustParsePrefix("192.0.2.1/24")

// Run starts the clients' process in a network namespace of its own. self makes
// the command that runs Clients; it starts the server in turn. Without root it
// takes a user namespace as well, where the system lets it.
func Run(ctx context.Context, self func(role string) *exec.Cmd) error {
	cmd := self(RoleClients)
	isolate(cmd)
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("selftest: make a network namespace: %w\nhint: sudo bin/tench pxe selftest", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return errors.Join(ctx.Err(), errors.New("selftest: not all clients got what they need"))
	}
	return nil
}

// isolate gives a process a network namespace, and takes it along when its parent
// dies.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
}

// Result is how one client fared.
type Result struct {
	Client string
	Got    string // in words
	Took   time.Duration
	Err    error
}

// Clients is the process in the first namespace: it starts a server in a second
// one, joins the two, and lets one client after the other boot, for each mode.
func Clients(ctx context.Context, self func(role string) *exec.Cmd, report func(Result)) error {
	var failed error
	for _, act := range acts {
		err := play(self(act.role), func() error { return boot(ctx, act.clients, report) })
		if failed = errors.Join(failed, err); ctx.Err() != nil {
			break
		}
	}
	return failed
}

// play starts a server and lets clients boot.
func play(server *exec.Cmd, boot func() error) error {
	isolate(server)
	in, err := server.StdinPipe()
	if err != nil {
		return err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("selftest: start the server: %w", err)
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait() // its own words say why it failed
		unplug()
	}()
	if err := plug(server.Process.Pid); err != nil {
		return fmt.Errorf("selftest: make the wire: %w", err)
	}
	_ = in.Close() // the wire is there
	if _, err := io.ReadFull(out, make([]byte, len(readyWord))); err != nil {
		return errors.New("selftest: the server did not start")
	}
	return boot()
}

// plug makes the wire, gives its other end to the server's namespace, and
// switches our end on.
func plug(server int) error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: clientDevice}, PeerName: serverDevice}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	peer, err := netlink.LinkByName(serverDevice)
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetNsPid(peer, server), up(clientDevice))
}

// unplug takes our end away; it may have gone with the server's namespace.
func unplug() {
	if link, err := netlink.LinkByName(clientDevice); err == nil {
		_ = netlink.LinkDel(link)
	}
}

func up(device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}
