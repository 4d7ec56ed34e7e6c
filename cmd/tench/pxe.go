package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/config"
	"tench/identity"
	"tench/pxe"
	"tench/pxe/boxes"
	"tench/pxe/dhcp"
)

// pxeOptions are the flags of tench pxe and its commands.
type pxeOptions struct {
	device   string // interface with the boxes
	mode     string
	loader   string
	boxes    string   // path of boxes.toml; "" for the one here, if there is one
	release  string   // directory of a release; "" for out/BOARD of each board
	keys     []string // files of public keys
	unsigned bool     // take a release that no key signed which is known here
	anyBoard string
	state    string
	page     string
	port     uint16   // of HTTP for boxes
	consoles []string // BOX=PORT of serial consoles that are attached here
	offline  bool
	json     bool
}

func pxeCommand() *cobra.Command {
	var o pxeOptions
	c := &cobra.Command{
		Use:   "pxe",
		Short: "Boot boxes over the network: install them once, or run them from RAM",
		Long: `pxe serves boxes that boot over the network from this machine, by a cable between
the two or in a network that has a DHCP server: DHCP, TFTP and HTTP, with the
loader for each firmware (BIOS, UEFI of x86 and ARM, iPXE, U-Boot, u-root). They
get what tench image or tench release made; a box with OpenBSD or FreeBSD, or a
Raspberry Pi, a folder of files. Plain tench pxe is tench pxe serve.

The first box: build its image (tench image apu2), give the interface that it is
plugged into an address, start the server, and switch the box on, with booting from
the network first in its firmware's order. The server shows each box that asks, with
its MAC address, and gives nothing to one that is not listed. The list is boxes.toml
in this folder, which is read again when it changes:

    [box.gw0]                       # the name is yours
    mac = ["52:54:00:12:34:56"]     # of every port that may boot; or serial = "..."
    board = "apu2"                  # tench boards lists them
    # Only these two must be there; what the others say:
    config = "gw0.toml"             # its router.toml
    identity = "gw0"                # of tench identity new gw0
    disk = "S3Z9NB0K123456"         # the disk that an install may wipe; the box shows it
    hardware = "FW-7525"            # what an odd BIOS calls it that is an apu2 all the same

    [box.pi]                        # in place of board: what it boots from a folder
    mac = ["dc:a6:32:12:34:62"]
    system = "raspberrypi"          # or "openbsd", "freebsd"
    tree = "raspberrypi"            # the folder: start4.elf, config.txt, cmdline.txt, kernel8.img, ...

A box boots its own disk unless it is armed: tench pxe install arms one install,
after which it boots its disk again; tench pxe run has it run from RAM until tench
pxe disarm. A disk with somebody's data is wiped only if boxes.toml or --disk names
its serial number, or a person does on the box's console.

The network may be watched by whoever is on the cable: an image on its way has the
box's secrets in it. Install boxes on a cable of their own.`,
		Example: `  sudo ip addr add 192.0.2.1/24 dev eth1
  sudo bin/tench pxe -i eth1             serve the boxes on eth1
  tench pxe install gw0                  in another terminal: install gw0 once
  sudo bin/tench pxe run apu2 -i eth1    any box on eth1 runs the image of apu2 from RAM
  tench pxe explain gw0                  why does it not boot?`,
		Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return runPXE(c, o) },
	}
	o.serveFlags(c)
	c.AddCommand(pxeServeCommand(), pxeInstallCommand(), pxeRunCommand(), pxeDisarmCommand(), pxeExplainCommand(), pxeStatusCommand(), pxeSelftestCommand())
	return c
}

func pxeServeCommand() *cobra.Command {
	var o pxeOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the boxes on one interface",
		Long: `serve answers the boxes on one interface, and nobody elsewhere, until ctrl-C. Modes:

  full     it gives out addresses; it does not start where another server answers
  proxy    another DHCP server gives out addresses, we tell the boot file beside it;
           U-Boot and u-root, which know no proxies, need another mode
  foreign  another DHCP server names us as next-server, with undionly.kpxe (BIOS),
           snponly.efi (x64 UEFI), grubaa64.efi (arm64 UEFI) as the file
  auto     it looks who answers, and chooses

It needs the interface to have an address, and root or two capabilities, for which
it says the command where it lacks them. The operator's page is on 127.0.0.1 alone.`,
		Example: `  sudo ip addr add 192.0.2.1/24 dev eth1
  sudo bin/tench pxe serve -i eth1
  sudo bin/tench pxe serve -i eth1 --release out/release/2026.12 --key tench.pub
  sudo bin/tench pxe serve -i eth1 --console gw0=/dev/ttyUSB0,38400
  sudo bin/tench pxe serve -i eth1 --any-board apu2    whatever boots is an apu2, and runs from RAM`,
		Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return runPXE(c, o) },
	}
	o.serveFlags(c)
	return c
}

// serveFlags are those of a server.
func (o *pxeOptions) serveFlags(c *cobra.Command) {
	o.listFlags(c)
	f := c.Flags()
	f.StringVarP(&o.device, "interface", "i", "", "the `interface` with the boxes")
	f.StringVar(&o.mode, "mode", string(dhcp.Auto), "which `mode`: auto, full, proxy or foreign; tench pxe serve --help tells of them")
	f.StringVar(&o.loader, "loader", string(pxe.LoaderAuto), "the `program` that firmware loads first: auto, ipxe, grub or pxelinux")
	f.StringVar(&o.anyBoard, "any-board", "", "a box that is not in boxes.toml runs this `board` from RAM")
	f.StringVar(&o.page, "page", "127.0.0.1:8069", "`address` of the operator's page")
	f.Uint16Var(&o.port, "http-port", 80, "`port` of HTTP for the boxes, where another server has 80; OpenBSD knows no other")
	f.StringArrayVar(&o.consoles, "console", nil, "a serial console whose words the page shows: `BOX=PORT[,SPEED]`; may be repeated")
	f.BoolVar(&o.offline, "offline", false, "never use the network to fetch loaders; say what is missing")
	f.BoolVar(&o.json, "json", false, "print each event as a line of JSON, for programs")
	words := func(list []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return list, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for flag, complete := range map[string]func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective){
		"interface": words(interfaceNames()), "mode": words(texts(dhcp.Modes())), "loader": words(texts(pxe.Loaders())), "any-board": completeBoards,
	} {
		if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// listFlags are those that say which boxes there are, and what they get.
func (o *pxeOptions) listFlags(c *cobra.Command) {
	o.boxFlags(c)
	f := c.Flags()
	f.StringVar(&o.release, "release", "", "serve the release in this `directory` (default: what tench image left in out/BOARD)")
	f.StringArrayVar(&o.keys, "key", nil, "the release must be signed by the key in this .pub `file`; may be repeated (default: the .pub files here)")
	f.BoolVar(&o.unsigned, "unsigned", false, "serve a release that nobody signed, or a key that is not known here")
	c.MarkFlagsMutuallyExclusive("key", "unsigned")
}

// boxFlags say which boxes there are, and what is armed of them.
func (o *pxeOptions) boxFlags(c *cobra.Command) {
	o.stateFlag(c)
	c.Flags().StringVar(&o.boxes, "boxes", "", "the list of boxes, a `file` (default: ./boxes.toml, if there is one)")
}

// stateFlag says where the server is found.
func (o *pxeOptions) stateFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.state, "state", "", "the `folder` in which the server and these commands find each other, and what is armed (default: ${XDG_STATE_HOME:-~/.local/state}/tench/pxe)")
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// interfaceNames are those that boxes could be on.
func interfaceNames() []string {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range list {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	return names
}

// findInterface is the one that was named.
func (o *pxeOptions) findInterface() (*net.Interface, error) {
	known := "interfaces: " + strings.Join(interfaceNames(), ", ")
	if o.device == "" {
		return nil, usageError{fmt.Errorf("pxe: on which interface are the boxes?\nhint: -i INTERFACE; %s", known)}
	}
	i, err := net.InterfaceByName(o.device)
	if err != nil {
		return nil, fmt.Errorf("pxe: %s: there is no such interface\nhint: %s", o.device, known)
	}
	return i, nil
}

// stateDir is where what is armed is kept. Under sudo it is the folder of who
// calls, who arms boxes without sudo.
func (o *pxeOptions) stateDir() (string, error) {
	if o.state != "" {
		return filepath.Abs(o.state)
	}
	home, err := os.UserHomeDir()
	if who, lookErr := user.LookupId(os.Getenv("SUDO_UID")); lookErr == nil && os.Geteuid() == 0 {
		home, err = who.HomeDir, nil
	} else if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tench", "pxe"), nil
	}
	if err != nil {
		return "", fmt.Errorf("pxe: find the state folder: %w\nhint: --state FOLDER", err)
	}
	return filepath.Join(home, ".local", "state", "tench", "pxe"), nil
}

// boxesFile is the list of boxes; "" for none.
func (o *pxeOptions) boxesFile() (string, error) {
	const usual = "boxes.toml"
	if o.boxes != "" {
		return filepath.Abs(o.boxes)
	}
	if _, err := os.Stat(usual); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return filepath.Abs(usual)
}

// checkBox looks at what boxes.toml says of a box, beyond the list itself.
func checkBox(t tree, box boxes.Box) error {
	if box.System != boxes.Tench {
		return nil
	}
	b, err := boards.Load(t.boards(), box.Board)
	if err != nil {
		return err
	}
	if box.Config != "" {
		if _, err := readConfig(b, box.Config); err != nil {
			return err
		}
	}
	if box.Identity != "" {
		if _, err := identity.Load(box.Identity); err != nil {
			return fmt.Errorf("box %s: %w", box.Name, err)
		}
	}
	return nil
}

// readConfig reads a router.toml for a board.
func readConfig(b boards.Board, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("pxe: %w", err)
	}
	cfg, err := config.Parse(path, data)
	if err != nil {
		return nil, err
	}
	return data, build.CheckPorts(b, path, cfg)
}
