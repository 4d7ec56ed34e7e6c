package boards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryBoardLoads(t *testing.T) {
	list, err := List(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("List(.) found no boards")
	}
	for _, b := range list {
		if _, err := os.Stat(filepath.Join(b.Dir, "router.toml")); err != nil {
			t.Errorf("board %s: %v", b.Name, err)
		}
	}
}

func TestLoadNamesTheNearestBoard(t *testing.T) {
	_, err := Load(".", "qemu-amd46")
	if err == nil || !strings.Contains(err.Error(), `did you mean "qemu-amd64"?`) {
		t.Errorf("Load(qemu-amd46) = %v, want a hint at qemu-amd64", err)
	}
	if _, err := Load(".", "../boards/qemu-amd64"); err == nil {
		t.Error("Load follows a path out of the boards folder")
	}
}

// A board that is there and cannot be read is not told to be missing.
func TestLoadOfAFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "small", FileName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, "small"); err == nil || !strings.HasSuffix(err.Error(), "small/board.toml: is a directory") {
		t.Errorf("Load = %v, want why it cannot be read", err)
	}
}

func TestParse(t *testing.T) {
	good, err := os.ReadFile("qemu-amd64/board.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ old, new, want string }{
		"wrong speed":        {"speed = 115200", "speed = 14400", `board.toml:11: console.speed: "14400" is not one of 9600, 19200, 38400, 57600, 115200`},
		"unknown CPU":        {`arch = "amd64"`, `arch = "mips"`, `board.toml:3: arch: "mips" is not one of 386, amd64, arm, arm64`},
		"unknown key":        {"slot-mib", "slots-mib", "unknown key \"layout.slots-mib\"\n  hint: did you mean \"slot-mib\"?"},
		"boot too small":     {"boot-mib = 65", "boot-mib = 64", "layout.boot-mib: 64 is not between 65 and 128"},
		"port label twice":   {`label = "LAN"`, `label = "WAN"`, `port label "WAN" is used twice`},
		"unknown firmware":   {`"bios", "uefi"`, `"bios", "coreboot"`, `firmware.1: "coreboot" is not one of bios, uefi, u-boot`},
		"watchdog too quick": {"timeout = 30", "timeout = 1", "watchdog.timeout: 1 is not between 5 and 240"},
		"unknown medium":     {`"sata"]`, `"floppy"]`, `media.2: "floppy" is not one of cf, emmc`},
		"port without path":  {`path = "pci-0000:00:10.0"`, ``, "a port needs label, and path or name"},
		"port with both":     {`path = "pci-0000:00:10.0"`, "path = \"pci-0000:00:10.0\"\nname = \"eth0\"", "a port needs label, and path or name"},
		"u-boot without it":  {`"bios", "uefi"`, `"u-boot"`, "u-boot: needs recipe and file"},
		"u-boot for a BIOS":  {"[layout]", "[u-boot]\nrecipe = \"x\"\n[layout]", `u-boot: the firmware is not "u-boot"`},
		"quirk, no proof":    {"[qemu]", "[[quirk]]\nname = \"x\"\nwhy = \"y\"\nargs = [\"z\"]\n[qemu]", `quirk "x": name a check`},
		"quirk does nothing": {"[qemu]", "[[quirk]]\nname = \"x\"\nwhy = \"y\"\n[qemu]", `quirk "x": name args or sysctl`},
		"check elsewhere": {"[qemu]", "[[quirk]]\nname = \"x\"\nwhy = \"y\"\nargs = [\"z\"]\n[[quirk.check]]\nfile = \"/sys/../etc/shadow\"\nwant = [\"1\"]\n[qemu]",
			`check: "/sys/../etc/shadow" is not a file of /proc or /sys`},
		"lacks a typo":       {"[console]", "[cpu]\nlacks = [\"see\"]\n[console]", "cpu.lacks.0: \"see\" is not one of clflush, endbr, mmxext, nopl, sse\n  hint: did you mean \"sse\"?"},
		"hardware unnamed":   {"[console]", "[hardware]\nproduct = [\"Default string\"]\n[console]", `board.toml:10: hardware.product: "Default string" names no hardware`},
		"hardware of a firm": {"[console]", "[hardware]\nvendor = [\"ASUS\"]\n[console]", "hardware.vendor: a vendor makes more than one board: name the product too"},
		"LED without name":   {"[qemu]", "[[led]]\nlabel = \"1\"\n[qemu]", "a led needs label and device"},
	} {
		t.Run(name, func(t *testing.T) {
			in := strings.Replace(string(good), tc.old, tc.new, 1)
			if in == string(good) {
				t.Fatalf("%q is not in board.toml", tc.old)
			}
			_, err := Parse("board.toml", "x", []byte(in))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse with %q =\n%v\nwant\n%s", tc.new, err, tc.want)
			}
		})
	}
	b, err := Parse("board.toml", "x", good)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Layout.TotalMiB(); got != 1+65+32+32+64 {
		t.Errorf("TotalMiB() = %d, want 194", got)
	}
}

func TestKernelArgs(t *testing.T) {
	b, err := Load(".", "dell-r300")
	if err != nil {
		t.Fatal(err)
	}
	b.Kernel.Args = []string{"first"}
	if got := strings.Join(b.KernelArgs(), " "); got != "first hpet=disable" {
		t.Errorf("KernelArgs() = %q, want the board's words, then those of its quirks", got)
	}
}

func TestLoadOfANameThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "NanoPi_R4S"), os.DirFS("vm")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, "NanoPi_R4S"); err == nil || !strings.Contains(err.Error(), "a board's name is up to 31 lower-case letters") {
		t.Errorf("Load = %v, want what a name must be", err)
	}
}
