package view

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"tench/pxe/boxes"
)

// FreeBSDRoot is the folder that FreeBSD's loader is told to prefix to its paths
// (option 17, "tftp://ADDRESS" FreeBSDRoot); without a path it would use NFS.
const FreeBSDRoot = "/freebsd"

// openBSD opens a file of a box that boots a folder: most are the folder's own.
func (v View) openBSD(b Box, path string) (File, error) {
	switch b.System {
	case boxes.OpenBSD:
		if text := b.openBSDFile(path); text != nil {
			return Bytes(text), nil
		}
		if path == AutoInstall {
			return b.Tree.Open(b.BootFile())
		}
	case boxes.FreeBSD:
		if b.Job == Disk { // its loader knows no way to the disk: firmware does
			return nil, fs.ErrNotExist
		}
		path = strings.TrimPrefix(path, FreeBSDRoot[1:]+"/")
		if path == "boot/loader.conf" {
			return b.loaderConf()
		}
	}
	return b.Tree.Open(path)
}

// AutoInstall is the name under which OpenBSD's boot program makes bsd.rd
// install by itself: autoinstall(8) asks DHCP which name it was.
const AutoInstall = "auto_install"

// BootFile is what a box that boots a folder loads first. OpenBSD's is not by
// architecture: its i386 and amd64 announce themselves alike.
func (b Box) BootFile() string {
	switch {
	case b.System == boxes.RaspberryPi:
		return piBootFile
	case b.System == boxes.FreeBSD && b.UEFI:
		return "boot/loader.efi"
	case b.System == boxes.FreeBSD:
		return "boot/pxeboot"
	case b.UEFI:
		return "BOOTX64.EFI"
	}
	return "pxeboot"
}

// FirstFile is what DHCP tells such a box to load.
func (b Box) FirstFile() string {
	if b.System == boxes.OpenBSD && b.Job == Install && b.Answers != nil {
		return AutoInstall
	}
	return b.BootFile()
}

// AnsweredBy reports whether a name is the one by which OpenBSD's installer
// fetches its answers.
func (b Box) AnsweredBy(name string) bool {
	path, ok := clean(name)
	return ok && b.System == boxes.OpenBSD && b.Answers != nil && b.isAnswers(path)
}

func (b Box) isAnswers(path string) bool {
	return path == "install.conf" || path == b.MAC.String()+"-install.conf"
}

// openBSDFile is a file that we write for a box with OpenBSD; nil for another.
// boot.conf(8) and install.conf have fixed names, so that two boxes could not
// have different ones in one folder.
func (b Box) openBSDFile(path string) []byte {
	switch {
	case path == "etc/boot.conf":
		return b.bootConf()
	case b.isAnswers(path):
		return b.Answers
	}
	return nil
}

// bootConf is etc/boot.conf. pxeboot knows the disks too, where the box is to
// boot its own.
func (b Box) bootConf() []byte {
	var out bytes.Buffer
	if b.Speed != 0 {
		fmt.Fprintf(&out, "stty com0 %d\nset tty com0\n", b.Speed)
	}
	if b.Job == Disk {
		out.WriteString("boot hd0a:/bsd\n")
	} else {
		out.WriteString("boot tftp:/bsd.rd\n")
	}
	return out.Bytes()
}

// mostConf is the largest loader.conf that we add to, in bytes.
const mostConf = 1 << 20

// loaderConf is the folder's boot/loader.conf, with the box's console, the root
// file system in RAM, where there is one, and what kenv(1) shows an installer: where
// to say that it is done.
func (b Box) loaderConf() (File, error) {
	var out bytes.Buffer
	own, err := b.Tree.Open("boot/loader.conf")
	if err == nil {
		defer own.Close()
		if own.Size() > mostConf {
			return nil, fmt.Errorf("view: boot/loader.conf has %d bytes, more than %d", own.Size(), mostConf)
		}
		_, err = io.Copy(&out, io.NewSectionReader(own, 0, own.Size()))
	}
	if err != nil && err != fs.ErrNotExist {
		return nil, fmt.Errorf("view: read boot/loader.conf: %w", err)
	}
	if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		out.WriteByte('\n')
	}
	if b.Speed != 0 {
		fmt.Fprintf(&out, "boot_serial=\"YES\"\nconsole=\"comconsole\"\ncomconsole_speed=\"%d\"\n", b.Speed)
	}
	if b.Tree.Has("boot/mfsroot") || b.Tree.Has("boot/mfsroot.gz") {
		out.WriteString("mfsroot_load=\"YES\"\nmfsroot_type=\"mfs_root\"\nmfsroot_name=\"/boot/mfsroot\"\nvfs.root.mountfrom=\"ufs:/dev/md0\"\n")
	}
	if b.Job == Install {
		fmt.Fprintf(&out, "tench_installed=%q\n", b.Installed)
	}
	return Bytes(out.Bytes()), nil
}
