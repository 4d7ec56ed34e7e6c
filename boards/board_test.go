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
		for _, file := range []string{"kernel.config", "router.toml"} {
			if _, err := os.Stat(filepath.Join(b.Dir, file)); err != nil {
				t.Errorf("board %s: %v", b.Name, err)
			}
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

func TestParse(t *testing.T) {
	good, err := os.ReadFile("qemu-amd64/board.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ old, new, want string }{
		"wrong speed":        {"speed = 115200", "speed = 14400", `board.toml:10: console.speed: "14400" is not one of 9600, 19200, 38400, 57600, 115200`},
		"unknown CPU":        {`arch = "amd64"`, `arch = "mips"`, `board.toml:3: arch: "mips" is not one of amd64`},
		"unknown key":        {"slot-mib", "slots-mib", "unknown key \"layout.slots-mib\"\n  hint: did you mean \"slot-mib\"?"},
		"boot too small":     {"boot-mib = 65", "boot-mib = 64", "layout.boot-mib: 64 is not between 65 and 128"},
		"port label twice":   {`label = "LAN"`, `label = "WAN"`, `port label "WAN" is used twice`},
		"unknown firmware":   {`"bios", "uefi"`, `"bios", "coreboot"`, `firmware.1: "coreboot" is not one of bios, uefi`},
		"watchdog too quick": {"timeout = 30", "timeout = 1", "watchdog.timeout: 1 is not between 5 and 240"},
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
