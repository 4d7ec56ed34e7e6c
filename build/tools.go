package build

import (
	"tench/boards"
	"tench/build/cross"
	"tench/build/kernel"
)

// Tool is something on the build machine that a build needs.
type Tool = kernel.Tool

// Tools lists what building the board's image needs.
func Tools(b boards.Board) []Tool {
	tools := kernel.Tools(b)
	if len(b.Daemons) > 0 {
		for _, t := range cross.Tools(b) {
			tools = append(tools, Tool(t))
		}
	}
	return append(tools, []Tool{
		{Name: "ccache", Package: "ccache", Why: "a second kernel build in a tenth of the time"},
		{Name: "patch", Package: "patch", Why: "our kernel patches"},
		{Name: "xz", Package: "xz-utils", Why: "unpacks sources"},
		{Name: "dpkg-deb", Package: "dpkg", Why: "unpacks Debian packages"},
		{Name: "apt-get", Package: "apt", Why: "fetches Debian packages"},
		{Name: "/usr/share/keyrings/debian-archive-keyring.gpg", Package: "debian-archive-keyring", Why: "verifies Debian packages"},
		{Name: "/etc/ssl/certs/ca-certificates.crt", Package: "ca-certificates", Why: "verifies who is downloaded from"},
		{Name: "mke2fs", Package: "e2fsprogs", Why: "makes the data partition"},
		{Name: "debugfs", Package: "e2fsprogs", Why: "fills the data partition"},
		{Name: "/lib/x86_64-linux-gnu/libdevmapper.so.1.02.1", Package: "libdevmapper1.02.1", Why: "grub-mkimage"},
	}...)
}
