package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/config"
	"tench/supervisor/status"
	"tench/supervisor/system"
)

// fakeRoot makes the files of a box below a temporary folder.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const currentSource = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

func TestQuirkNodes(t *testing.T) {
	board := boards.Board{Quirks: []boards.Quirk{{Name: "hpet", Check: []boards.Check{{File: currentSource, Want: []string{"tsc", "acpi_pm"}}}}}}
	for name, tc := range map[string]struct {
		files map[string]string
		want  status.Node
	}{
		"in force": {map[string]string{currentSource: "acpi_pm\n"},
			status.Node{Name: "quirk hpet", State: "in force", OK: true, Detail: []string{"current_clocksource acpi_pm"}}},
		"not in force": {map[string]string{currentSource: "hpet\n"},
			status.Node{Name: "quirk hpet", State: "not in force", Cause: currentSource + ` holds "hpet", not tsc or acpi_pm`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := quirkNodes(board, fakeRoot(t, tc.files))
			if diff := cmp.Diff([]status.Node{tc.want}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if got := quirkNodes(board, t.TempDir()); got[0].OK || !strings.Contains(got[0].Cause, "no such file") {
		t.Errorf("without the file: %+v, want not in force", got[0])
	}
}

// What the operator wrote wins over the board.
func TestQuirkSysctls(t *testing.T) {
	l := &loop{
		cfg:   config.Config{Sysctls: []config.Sysctl{{Key: "kernel.panic", Value: "5"}}},
		board: boards.Board{Quirks: []boards.Quirk{{Sysctl: map[string]string{"kernel.panic": "9", "vm.swappiness": "0"}}}},
	}
	got := map[string]string{}
	for _, s := range l.compute().Sysctls {
		got[s.Key] = s.Value
	}
	want := map[string]string{"kernel.panic": "5", "vm.swappiness": "0", "net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sysctls (-want +got)\n%s", diff)
	}
}

func TestBundle(t *testing.T) {
	board, err := os.ReadFile("../boards/apu2/board.toml")
	if err != nil {
		t.Fatal(err)
	}
	b := bundle{
		root: fakeRoot(t, map[string]string{
			BoardFile: string(board), buildFile: `{"board":"apu2","release":"2026.11","epoch":1}`,
			"/sys/class/dmi/id/product_name": "PC Engines apu2\n", "/proc/device-tree/compatible": "a,b\x00c,d\x00",
			currentSource: "tsc\n", "/proc/cmdline": "console=ttyS0 tench.slot=a\n",
			"/sys/bus/pci/devices/0000:01:00.0/vendor": "0x8086\n", "/sys/bus/pci/devices/0000:01:00.0/device": "0x1539\n",
			"/sys/bus/usb/devices/1-1:1.0/bInterfaceClass": "08\n",
			"/run/tench/log.1":                       "[0.1] older\n",
			"/run/tench/log":                         "[1.2] hello\n",
			SBOMFile:                                 testSBOM,
			"/sys/class/leds/apu:green:1/brightness": "0\n",
			"/sys/class/watchdog/watchdog0/identity": "SP5100 TCO timer\n",
			"/sys/class/watchdog/watchdog0/timeout":  "60\n",
			"/run/tench/health.json":                 "{\"slot\": \"a\"}\n",
			"/data/state/crash/3.txt":                "Kernel panic - not syncing: x\n== dmesg-ramoops-0\nlast words\n",
		}),
		runDir: "/run/tench",
		found: []foundPort{
			{"eth0", "pci-0000:01:00.0", "igb", "00:0d:b9:00:00:01"}, {"eth1", "pci-0000:02:00.0", "e1000e", "00:0d:b9:00:00:02"},
			{"eth2", "pci-0000:09:00.0", "r8169", "00:0d:b9:00:00:03"},
		},
		klog: "<6>[    0.0] Linux\n",
	}
	var text strings.Builder
	if err := b.write(t.Context(), &text, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"== tench report\nboard apu2 (PC Engines APU2), release 2026.11, written 1970-01-01T00:00:00Z\n",
		"== what the firmware says\nproduct_name PC Engines apu2\ncompatible a,b, c,d\n",
		"== ports of the board\n",
		"ok       NIC1  pci-0000:01:00.0  eth0 00:0d:b9:00:00:01, driver igb (igb expected)\n",
		"OTHER    NIC2  pci-0000:02:00.0  eth1 00:0d:b9:00:00:02, driver e1000e (igb expected)\n",
		"MISSING  NIC3  pci-0000:03:00.0  igb expected\n",
		"more     -     pci-0000:09:00.0  eth2 00:0d:b9:00:00:03, driver r8169\n",
		"== LEDs, buttons and watchdog of the board\n",
		"ok       LED 1      apu:green:1\n",
		"MISSING  LED 2      apu:green:2\n",
		"MISSING  button S1  apu2-keys\n",
		"OTHER    watchdog   SP5100 TCO timer, 60 s (SP5100 TCO timer with 30 s expected)\n",
		"== image\nboard apu2\nepoch 1970-01-01T00:00:01Z\nrelease 2026.11\nsbom-components 2\nsbom-sha256 " + testSBOMHash + "\nslot a\n",
		"== clock source\ntsc of",
		"== PCI devices\n0000:01:00.0 8086 1539\n",
		"== USB devices\n(nothing)\n",
		"== slots\n{\"slot\": \"a\"}\n",
		"== last crash\nKernel panic - not syncing: x\n== dmesg-ramoops-0\nlast words\n",
		"== kernel log\n<6>[    0.0] Linux\n",
		"== log\n[0.1] older\n[1.2] hello\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q; it is\n%s", want, text.String())
		}
	}
}

// What the box does not know of itself, the report says.
func TestBundleOfADamagedBox(t *testing.T) {
	board, err := os.ReadFile("../boards/apu2/board.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no files":           {nil, "== board\nopen "},
		"build.json damaged": {map[string]string{BoardFile: string(board), buildFile: "{"}, "== board\nbuild.json: unexpected end of JSON input\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			if err := (bundle{root: fakeRoot(t, tc.files), runDir: "/run/tench"}).write(t.Context(), &text, time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text.String(), tc.want) {
				t.Errorf("the report lacks %q; it is\n%s", tc.want, text.String())
			}
		})
	}
}

// The ports of a switch have no place of their own, only a name.
func TestFoundPorts(t *testing.T) {
	got, err := foundPorts(&system.Fake{Net: system.Dump{Links: []system.Link{
		{Name: "lan1", Kind: "dsa", MAC: "02:00:00:00:00:01"}, {Name: "br0", Kind: "bridge"}, {Name: "eth9", Path: "pci-0000:01:00.0"}}}})
	if err != nil || len(got) != 2 || got[0].name != "lan1" || got[1].name != "eth9" {
		t.Errorf("foundPorts = %+v, %v; want lan1 and eth9", got, err)
	}
}
