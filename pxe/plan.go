package pxe

import (
	"fmt"
	"slices"
	"strings"

	"tench/pxe/track"
	"tench/release/netboot"
)

// Plan answers which disk an install writes. Somebody's data is wiped only where
// the operator named the disk's serial number, at the desk or on the console:
//
//	the order names a disk     that one; if two have that number, a person is asked
//	a disk of ours, same board its other slot, on trial; its data stays
//	one disk, and it is empty  that one; or half of an install that was cut short
//	else                       a person is asked, on the console
//
// The error is for the operator and the console.
func Plan(order track.Order, disks []netboot.Disk) (netboot.Plan, error) {
	able := slices.DeleteFunc(slices.Clone(disks), func(d netboot.Disk) bool { return d.Refused != "" })
	if len(able) == 0 {
		return netboot.Plan{}, fmt.Errorf("there is no disk that could be written: %s", listed(disks))
	}
	if order.Disk != "" {
		named := slices.DeleteFunc(slices.Clone(able), func(d netboot.Disk) bool { return d.Serial != order.Disk })
		switch len(named) {
		case 0:
			return netboot.Plan{}, fmt.Errorf("no disk has the serial number %s: there is %s", order.Disk, listed(disks))
		case 1:
			return netboot.Plan{Disk: named[0].Name, Wipe: order.Wipe}, nil
		}
		return netboot.Plan{Ask: fmt.Sprintf("%d disks have the serial number %s: unplug those that shall stay, and look again.", len(named), order.Disk), Wipe: order.Wipe}, nil
	}
	ours := func(d netboot.Disk) bool { return d.Slot != "" && d.Board == order.Board }
	if i := slices.IndexFunc(able, ours); i >= 0 && !order.Wipe && !slices.ContainsFunc(able[i+1:], ours) {
		return netboot.Plan{Disk: able[i].Name}, nil
	}
	if c := able[0].Content; len(able) == 1 && (c == netboot.Empty || c == netboot.Unfinished) {
		return netboot.Plan{Disk: able[0].Name}, nil
	}
	return netboot.Plan{Ask: "which disk shall be written? All that is on it is lost.", Wipe: order.Wipe}, nil
}

// listed says which disks there are.
func listed(disks []netboot.Disk) string {
	if len(disks) == 0 {
		return "none at all"
	}
	var words []string
	for _, d := range disks {
		text := strings.TrimSpace(d.Name + " " + d.Model)
		if d.Serial != "" {
			text += " with the serial number " + d.Serial
		}
		if d.Refused != "" {
			text += " (" + d.Refused + ")"
		}
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}
