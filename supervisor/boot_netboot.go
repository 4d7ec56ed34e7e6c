package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tench/release/netboot"
	"tench/supervisor/proc"
	"tench/supervisor/update"
)

// What a netboot server puts into the initramfs of one box.
const (
	NetbootFile   = "/etc/tench/netboot.json"
	netbootRouter = "/etc/tench/netboot/router.toml" // of mode run; "" for every port by DHCP
)

// portWait is how long a box that installs waits for its first network port: a
// USB one comes late.
const portWait = 10 * time.Second

// readNetboot reads netboot.json below root; the zero File where there is none.
func readNetboot(root string) (netboot.File, error) {
	data, err := os.ReadFile(filepath.Join(root, NetbootFile))
	if errors.Is(err, fs.ErrNotExist) {
		return netboot.File{}, nil
	}
	if err != nil {
		return netboot.File{}, err
	}
	return netboot.Parse(data)
}

// startedFrom is the word of the ready line for where the box has itself from.
func startedFrom(slot string, mode netboot.Mode) string {
	switch {
	case mode == netboot.Install:
		return "installing"
	case mode == netboot.Run:
		return "diskless"
	case slot != "":
		return "slot=" + slot
	}
	return ""
}

// openData brings up what is mounted on dir: the data partition, or, of a box
// that was booted over the network, a RAM disk with the router.toml that came
// along.
func (p *pid1) openData(dir string) error {
	if p.netboot.Mode == "" {
		return mountData(p.args.Disk, dir)
	}
	if err := mountSpare(dir); err != nil {
		return err
	}
	router, err := netbootConfig(p.netboot, "/")
	if err != nil {
		return err
	}
	_, err = update.Store{Dir: filepath.Join(dir, "config")}.Add(router, update.About{By: "netboot"})
	return err
}

// netbootConfig is the router.toml of a netbooted box, whose files lie below root.
func netbootConfig(f netboot.File, root string) ([]byte, error) {
	if f.Mode == netboot.Run {
		router, err := os.ReadFile(filepath.Join(root, netbootRouter))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return router, err
		}
	}
	var ports []string
	for end := time.Now().Add(portWait); len(ports) == 0 && time.Now().Before(end); time.Sleep(rescan) {
		ports = wiredPorts(root)
	}
	return []byte(anyPort(f.Box, ports)), nil
}

// wiredPorts lists the network devices that are hardware and take a cable.
func wiredPorts(root string) []string {
	const ethernet = "1" // ARPHRD_ETHER
	var list []string
	dirs, _ := filepath.Glob(filepath.Join(root, "sys/class/net/*")) // the pattern is ours
	for _, dir := range dirs {
		kind, _ := os.ReadFile(filepath.Join(dir, "type"))
		_, device := os.Stat(filepath.Join(dir, "device"))
		_, wireless := os.Stat(filepath.Join(dir, "phy80211"))
		if strings.TrimSpace(string(kind)) == ethernet && device == nil && wireless != nil {
			list = append(list, filepath.Base(dir))
		}
	}
	return list
}

// anyPort is a router.toml that asks on each port for an address: which of them
// leads to the server is not known.
func anyPort(hostname string, ports []string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Made by tenchd: this box was booted over the network.\nhostname = %q\n", hostname)
	for n, port := range ports {
		fmt.Fprintf(&text, "\n[interface.%s]\ndevice = %[1]q\ndhcp4 = { metric = %d }\n", port, 100+n)
	}
	return text.String()
}

// role is what runs on a console of this box: a menu, or on the first one of a
// box that installs the installer, which turns into a menu where it fails.
func (p *pid1) role(port int) string {
	if p.netboot.Mode == netboot.Install && port == 0 {
		return "install"
	}
	return "console"
}

// startArrival has the server on the desk told of this boot, where an installer
// left word that it is to be. The network is there, and nothing waits for it.
func (p *pid1) startArrival() {
	word, keep := filepath.Join(stateDir(), WordName), ""
	switch p.netboot.Mode {
	case netboot.Install:
		return // the installer tells of itself
	case netboot.Run:
		word, keep = NetbootFile, "-keep"
	}
	p.spawn(func() {
		if _, err := os.Stat(word); err != nil {
			return
		}
		argv := []string{"tenchd", "arrive", "-file", word, "-run", RunDir, "-slot", p.args.Slot}
		if keep != "" {
			argv = append(argv, keep)
		}
		p.tasks <- func() {
			p.runChildren(nil, proc.New(proc.Spec{Name: "arrive", Path: self, Argv: argv, Env: childEnv, Once: true,
				Log: func(line string) { p.log.add("arrive", line) }, Logf: p.logf}, p.reaper))
		}
	})
}
