package pxe

import (
	"strings"
	"testing"

	"tench/pxe/track"
	"tench/release/netboot"
)

func TestPlan(t *testing.T) {
	empty := netboot.Disk{Name: "sda", Serial: "E1", Size: 1 << 30, Content: "empty"}
	other := netboot.Disk{Name: "sdb", Serial: "O1", Size: 1 << 30, Content: `ext "home"`}
	ours := netboot.Disk{Name: "sdc", Serial: "T1", Size: 1 << 30, Content: "tench", Board: "apu2", Release: "2026.10", Slot: "b"}
	used := netboot.Disk{Name: "sdd", Serial: "U1", Size: 1 << 30, Content: "empty", Refused: "it is read-only"}
	ask := "which disk shall be written?"
	for name, tc := range map[string]struct {
		order track.Order
		disks []netboot.Disk
		want  netboot.Plan
		err   string
	}{
		"the only disk, empty":         {disks: []netboot.Disk{empty}, want: netboot.Plan{Disk: "sda"}},
		"one that may be, empty":       {disks: []netboot.Disk{used, empty}, want: netboot.Plan{Disk: "sda"}},
		"cut short before":             {disks: []netboot.Disk{{Name: "sda", Content: netboot.Unfinished}}, want: netboot.Plan{Disk: "sda"}},
		"named, and two have it":       {order: track.Order{Disk: "O1"}, disks: []netboot.Disk{other, {Name: "sdx", Serial: "O1"}}, want: netboot.Plan{Ask: "2 disks have the serial number O1"}},
		"the only disk, somebody's":    {disks: []netboot.Disk{other}, want: netboot.Plan{Ask: ask}},
		"two, one of them empty":       {disks: []netboot.Disk{empty, other}, want: netboot.Plan{Ask: ask}},
		"ours keeps its data":          {disks: []netboot.Disk{empty, other, ours}, want: netboot.Plan{Disk: "sdc"}},
		"two of ours":                  {disks: []netboot.Disk{ours, {Name: "sde", Board: "apu2", Slot: "a"}}, want: netboot.Plan{Ask: ask}},
		"ours, to be wiped":            {order: track.Order{Wipe: true}, disks: []netboot.Disk{ours}, want: netboot.Plan{Ask: ask, Wipe: true}},
		"ours of another board":        {order: track.Order{Board: "vm"}, disks: []netboot.Disk{ours}, want: netboot.Plan{Ask: ask}},
		"ours without a usable slot":   {disks: []netboot.Disk{{Name: "sdc", Board: "apu2", Content: "tench"}}, want: netboot.Plan{Ask: ask}},
		"named, somebody's":            {order: track.Order{Disk: "O1"}, disks: []netboot.Disk{empty, other}, want: netboot.Plan{Disk: "sdb"}},
		"named and ours":               {order: track.Order{Disk: "T1"}, disks: []netboot.Disk{empty, ours}, want: netboot.Plan{Disk: "sdc"}},
		"named, ours, to be wiped":     {order: track.Order{Disk: "T1", Wipe: true}, disks: []netboot.Disk{ours}, want: netboot.Plan{Disk: "sdc", Wipe: true}},
		"named, and not there":         {order: track.Order{Disk: "X1"}, disks: []netboot.Disk{empty}, err: "no disk has the serial number X1: there is sda with the serial number E1"},
		"named, and refused":           {order: track.Order{Disk: "U1"}, disks: []netboot.Disk{used, empty}, err: "no disk has the serial number U1: there is sdd with the serial number U1 (it is read-only), sda"},
		"no disk":                      {err: "there is no disk that could be written: none at all"},
		"none but what is refused":     {disks: []netboot.Disk{used}, err: "there is no disk that could be written: sdd with the serial number U1 (it is read-only)"},
		"a disk without serial number": {order: track.Order{Disk: "E1"}, disks: []netboot.Disk{{Name: "sda", Content: "empty"}}, err: "no disk has the serial number E1: there is sda"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.order.Board == "" {
				tc.order.Board = "apu2"
			}
			got, err := Plan(tc.order, tc.disks)
			if tc.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.err)) || tc.err == "" && err != nil {
				t.Fatalf("Plan = %v, want %q", err, tc.err)
			}
			asked := strings.HasPrefix(got.Ask, tc.want.Ask)
			if got.Disk != tc.want.Disk || got.Wipe != tc.want.Wipe || (got.Ask == "") != (tc.want.Ask == "") || !asked {
				t.Errorf("Plan = %+v, want %+v", got, tc.want)
			}
		})
	}
}
