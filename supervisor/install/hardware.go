package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tench/boards"
)

// hardware is what the firmware calls this box: SMBIOS's names of the system and
// of its main board (DSP0134, 7.2 and 7.3), and what the device tree's root is
// compatible with.
func (i *Installer) hardware() boards.Hardware {
	dmi := sysfs(filepath.Join(i.Root, "sys/class/dmi/id"))
	return boards.Hardware{
		Vendor:     named(dmi.text("sys_vendor"), dmi.text("board_vendor")),
		Product:    named(dmi.text("product_name"), dmi.text("board_name")),
		Compatible: i.compatible(),
	}
}

// named are the texts that name something.
func named(texts ...string) []string {
	var list []string
	for _, text := range texts {
		if text = text[:min(len(text), maxName)]; text != "" {
			list = append(list, text)
		}
	}
	return list
}

// What is taken of what firmware tells.
const (
	maxName       = 128 // bytes of a name
	maxCompatible = 16  // names
)

// compatible reads a list of texts, each with a zero at its end (Devicetree
// Specification 0.4, 2.3.1).
func (i *Installer) compatible() []string {
	data, err := os.ReadFile(filepath.Join(i.Root, "proc/device-tree/compatible"))
	if err != nil {
		return nil // a PC
	}
	names := strings.Split(string(data), "\x00")
	names = names[:min(len(names), maxCompatible)]
	for n := range names {
		names[n] = plain(names[n])
	}
	return named(names...)
}

// recognize refuses a box whose firmware says that it is another board than this
// image's. The operator may know better: then the desk names the box's hardware.
func (i *Installer) recognize(told boards.Hardware) error {
	if name := i.Server.File.Hardware; name != "" {
		if told.Has(name) {
			return nil
		}
		return fmt.Errorf("this is not the hardware %q that boxes.toml names: its firmware calls it %q", name, told.Name())
	}
	why := i.Known.Contradiction(told)
	if why == "" {
		return nil
	}
	hint := "list it as the board that it is"
	if name := told.Name(); name != "" {
		hint += fmt.Sprintf("; if it is one, write hardware = %q under [box.%s] in boxes.toml", name, i.Server.File.Box)
	}
	return fmt.Errorf("this is no %s: %s\nhint: %s", i.Board, why, hint)
}
