package track

import (
	"path"
	"strings"
)

// Role is what a file is for.
type Role int

// The roles.
const (
	Other       Role = iota // none that tells a stage: a font, a device tree
	IsLoader                // a program that the firmware or another loader runs
	IsScript                // its configuration
	IsKernel                // the kernel
	IsInitramfs             // the root file system
	IsSystem                // kernel and root file system in one, as OpenBSD's bsd.rd
	roles       int  = iota
)

// roleStages is the stage of a box that fetches a file.
var roleStages = [roles]Stage{IsLoader: Loader, IsScript: Script, IsKernel: Kernel, IsInitramfs: Initramfs, IsSystem: Kernel}

// roleNames tell a file's role by its name, without folders and in lower case.
// They are tried in order.
var roleNames = []struct {
	pattern string
	role    Role
}{
	{"*vmlinu*", IsKernel},
	{"ldlinux.*", IsLoader}, {"*.c32", IsLoader}, {"*.efi", IsLoader}, {"*.0", IsLoader}, {"*.pxe", IsLoader}, {"*.kpxe", IsLoader}, {"*.mod", IsLoader},
	{"pxeboot*", IsLoader}, {"auto_install", IsLoader}, {"auto_upgrade", IsLoader}, {"bootcode.bin", IsLoader}, {"start*.elf", IsLoader}, {"u-boot.bin", IsLoader},
	{"*.ipxe", IsScript}, {"*.cfg*", IsScript}, {"boot.conf", IsScript}, {"*.scr*", IsScript}, {"loader.*", IsScript}, {"config.txt", IsScript}, {"cmdline.txt", IsScript},
	{"bsd.rd*", IsSystem}, {"bsd", IsSystem},
	{"*kernel*", IsKernel}, {"*image", IsKernel}, {"image.gz", IsKernel},
	{"*initrd*", IsInitramfs}, {"*initramfs*", IsInitramfs}, {"mfsroot*", IsInitramfs},
}

// RoleOf tells a file's role by its name.
func RoleOf(file string) Role {
	file = strings.ToLower(strings.ReplaceAll(file, `\`, "/")) // as UEFI writes paths
	name := path.Base(file)
	if path.Base(path.Dir(file)) == "pxelinux.cfg" { // named by MAC, address or UUID
		return IsScript
	}
	for _, known := range roleNames {
		if ok, _ := path.Match(known.pattern, name); ok {
			return known.role
		}
	}
	return Other
}
