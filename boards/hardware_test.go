package boards

import "testing"

func TestHardware(t *testing.T) {
	apu2 := Hardware{Vendor: []string{"PC Engines"}, Product: []string{"apu2", "PC Engines apu2"}}
	neo := Hardware{Compatible: []string{"friendlyarm,nanopi-neo"}}
	h61m := Hardware{}
	for name, tc := range map[string]struct {
		board, told   Hardware
		contradiction string
		is            bool
	}{
		"itself":              {apu2, Hardware{Vendor: []string{"PC Engines"}, Product: []string{"APU2"}}, "", true},
		"by its main board":   {apu2, Hardware{Vendor: []string{"PC Engines"}, Product: []string{"To be filled by O.E.M.", "apu2"}}, "", true},
		"another product":     {apu2, Hardware{Vendor: []string{"PC Engines"}, Product: []string{"ALIX.2D", "ALIX.2D"}}, `its firmware tells the product "ALIX.2D"`, false},
		"another vendor":      {apu2, Hardware{Vendor: []string{"QEMU"}, Product: []string{"apu2"}}, `its firmware tells the vendor "QEMU"`, false},
		"nothing":             {apu2, Hardware{}, "", false},
		"nothing meant":       {apu2, Hardware{Vendor: []string{"System manufacturer", " "}, Product: []string{"Default string", "None"}}, "", false},
		"a board not known":   {h61m, Hardware{Vendor: []string{"PC Engines"}, Product: []string{"apu2"}}, "", false},
		"a device tree":       {neo, Hardware{Compatible: []string{"friendlyarm,nanopi-neo", "allwinner,sun8i-h3"}}, "", true},
		"another device tree": {neo, Hardware{Compatible: []string{"xunlong,orangepi-pc", "allwinner,sun8i-h3"}}, `its firmware tells the device tree "xunlong,orangepi-pc", "allwinner,sun8i-h3"`, false},
		"SMBIOS on ARM":       {neo, Hardware{Vendor: []string{"U-Boot"}, Product: []string{"x"}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.board.Contradiction(tc.told); got != tc.contradiction {
				t.Errorf("Contradiction = %q, want %q", got, tc.contradiction)
			}
			if got := tc.board.Is(tc.told); got != tc.is {
				t.Errorf("Is = %v, want %v", got, tc.is)
			}
		})
	}
	told := Hardware{Product: []string{"Default string", "FW-7525"}}
	if told.Name() != "FW-7525" || !told.Has("fw-7525") || told.Has("FW") || (Hardware{}).Name() != "" {
		t.Errorf("it is called %q", told.Name())
	}
}

// What is not told apart by its names would be taken for another board's.
func TestBoardsAreToldApart(t *testing.T) {
	list, err := List(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		for _, b := range list {
			if a.Name != b.Name && a.Hardware.Is(b.Hardware) {
				t.Errorf("%s is taken for %s", b.Name, a.Name)
			}
		}
	}
}
