package boxes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
)

var known = []string{"alix2d3", "apu2", "h61m-usb3"}

func mac(t *testing.T, s string) event.MAC {
	t.Helper()
	m, err := event.ParseMAC(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestExample(t *testing.T) {
	data, err := os.ReadFile("boxes.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse("desk/boxes.toml", data, options{known: known})
	if err != nil {
		t.Fatal(err)
	}
	want := Inventory{Boxes: []Box{
		{Name: "fbsd", MACs: []event.MAC{mac(t, "52:54:00:12:34:61")}, System: FreeBSD, Tree: "desk/freebsd-15.1", Speed: 115200},
		{Name: "gw0", MACs: []event.MAC{mac(t, "52:54:00:12:34:56"), mac(t, "52:54:00:12:34:57")}, System: Tench,
			Board: "apu2", Config: "desk/gw0.toml", Identity: "desk/gw0", Disk: "S3Z9NB0K123456"},
		{Name: "gw1", Serial: "1234-AB-99", System: Tench, Board: "h61m-usb3", Hardware: "B75 Express"},
		{Name: "obsd", MACs: []event.MAC{mac(t, "52:54:00:12:34:60")}, System: OpenBSD, Tree: "desk/openbsd-7.7", Speed: 38400, Answers: "desk/obsd-install.conf"},
		{Name: "pi", MACs: []event.MAC{mac(t, "dc:a6:32:12:34:62")}, System: RaspberryPi, Tree: "desk/raspberrypi"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parse (-want +got)\n%s", diff)
	}
}

func TestFinding(t *testing.T) {
	inv, err := parse("b", []byte(`
[box.a]
mac = ["52-54-00-12-34-56"]
board = "apu2"
[box.b]
serial = "00112233-4455-6677-8899-AABBCCDDEEFF"
board = "apu2"
`), options{known: known})
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := inv.ByMAC(mac(t, "52:54:00:12:34:56")); !ok || b.Name != "a" {
		t.Errorf("ByMAC = %q, %v", b.Name, ok)
	}
	if b, ok := inv.BySerial(" 00112233-4455-6677-8899-aabbccddeeff"); !ok || b.Name != "b" {
		t.Errorf("BySerial = %q, %v", b.Name, ok)
	}
	if b, ok := inv.ByName("b"); !ok || b.Board != "apu2" {
		t.Errorf("ByName = %+v, %v", b, ok)
	}
	if _, ok := inv.BySerial(""); ok {
		t.Error("the empty serial number finds a box that has none")
	}
	if _, ok := inv.ByMAC(mac(t, "52:54:00:12:34:57")); ok {
		t.Error("a stranger's address finds a box")
	}
	if near := (Inventory{Boxes: []Box{{Name: "gateway"}}}).Nearest("gatewya"); near != "gateway" {
		t.Errorf("Nearest = %q", near)
	}
	if !inv.WantsSerial() || (Inventory{}).WantsSerial() {
		t.Error("WantsSerial is wrong")
	}
}

func TestErrors(t *testing.T) {
	const good = "[box.a]\nmac = [\"52:54:00:12:34:56\"]\nboard = \"apu2\"\n"
	for name, tc := range map[string]struct{ in, want string }{
		"unknown key":            {"[box.a]\nmack = []\n", "b:2: unknown key \"box.a.mack\"\n  hint: did you mean \"mac\"?"},
		"unknown table":          {"[boxes.a]\n", "b:1: unknown key \"boxes\"\n  hint: did you mean \"box\"?"},
		"one MAC for a list":     {"[box.a]\nmac = \"52:54:00:12:34:56\"\n", "b:2: box.a.mac: is a string, not a list"},
		"no MAC":                 {"[box.a]\nmac = [\"52:54\"]\nboard = \"apu2\"\n", "b:2: box.a.mac: ethernet address \"52:54\": want six bytes, e.g. 52:54:00:12:34:56"},
		"one MAC twice":          {good + "[box.b]\nmac = [\n  \"52-54-00-12-34-56\"]\nboard = \"apu2\"\n", "b:6: box.b.mac: 52:54:00:12:34:56 belongs to box a already"},
		"one MAC twice in a box": {"[box.a]\nmac = [\"52:54:00:12:34:56\", \"52:54:00:12:34:56\"]\nboard = \"apu2\"\n", "b:2: box.a.mac: 52:54:00:12:34:56 belongs to box a already"},
		"the later one is told":  {"[box.b]\nserial = \"X1\"\nboard = \"apu2\"\n[box.a]\nserial = \"x1\"\nboard = \"apu2\"\n", "b:5: box.a.serial: x1 belongs to box b already"},
		"placeholder":            {"[box.a]\nserial = \"Default String\"\nboard = \"apu2\"\n", "b:2: box.a.serial: \"Default String\" is what makers write who give none: other boxes have it too"},
		"spaces at the end":      {"[box.a]\nserial = \"X1 \"\nboard = \"apu2\"\n", "b:2: box.a.serial: \"X1 \" is no serial number"},
		"nobody":                 {"[box.a]\nboard = \"apu2\"\n", "b:1: box.a: nothing says which box it is: give mac or serial"},
		"name":                   {strings.Replace(good, "box.a", "box.GW", 1), "b:1: box.GW: a box has a name of"},
		"no board":               {strings.Replace(good, "board = \"apu2\"\n", "", 1), "b:1: box.a.board: a box needs one, e.g. \"apu2\""},
		"unknown board":          {strings.Replace(good, "apu2", "apu3", 1), "b:3: box.a.board: there is no board \"apu3\"\n  hint: did you mean \"apu2\"?"},
		"board far from any":     {strings.Replace(good, "apu2", "zzzzzzz", 1), "b:3: box.a.board: there is no board \"zzzzzzz\"\n  hint: boards: alix2d3, apu2, h61m-usb3"},
		"empty disk":             {good + "disk = \"\"\n", "b:4: box.a.disk: \"\" is no serial number of a disk"},
		"empty hardware":         {good + "hardware = \"\"\n", "b:4: box.a.hardware: \"\" is no name of hardware"},
		"hardware with a line":   {good + "hardware = \"x\\ny\"\n", "b:4: box.a.hardware: \"x\\ny\" is no name of hardware"},
		"hardware of another":    {"[box.a]\nserial = \"X1\"\nsystem = \"openbsd\"\ntree = \"x\"\nhardware = \"y\"\n", "b:5: box.a.hardware: it means nothing"},
		"tree of a tench box":    {good + "tree = \"x\"\n", "b:4: box.a.tree: it means nothing to a box with system = \"tench\""},
		"system":                 {good + "system = \"netbsd\"\n", "b:4: box.a.system: \"netbsd\" is not one of"},
		"no tree":                {"[box.a]\nserial = \"X1\"\nsystem = \"openbsd\"\n", "b:1: box.a.tree: a box with system = \"openbsd\" needs the folder with its files"},
		"board of another":       {"[box.a]\nserial = \"X1\"\nsystem = \"freebsd\"\ntree = \"x\"\nboard = \"apu2\"\n", "b:5: box.a.board: it means nothing to a box with system = \"freebsd\""},
		"answers for FreeBSD":    {"[box.a]\nserial = \"X1\"\nsystem = \"freebsd\"\ntree = \"x\"\nanswers = \"y\"\n", "b:5: box.a.answers: it means nothing"},
		"answers for a Pi":       {"[box.a]\nserial = \"X1\"\nsystem = \"raspberrypi\"\ntree = \"x\"\nanswers = \"y\"\n", "b:5: box.a.answers: it means nothing to a box with system = \"raspberrypi\""},
		"speed of a Pi":          {"[box.a]\nserial = \"X1\"\nsystem = \"raspberrypi\"\ntree = \"x\"\nspeed = 9600\n", "b:5: box.a.speed: it means nothing"},
		"a Pi without a tree":    {"[box.a]\nserial = \"X1\"\nsystem = \"raspberrypi\"\n", "b:1: box.a.tree: a box with system = \"raspberrypi\" needs the folder with its files"},
		"speed":                  {"[box.a]\nserial = \"X1\"\nsystem = \"freebsd\"\ntree = \"x\"\nspeed = 9601\n", "b:5: box.a.speed: 9601 is not one of"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse("b", []byte(tc.in), options{known: known})
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("parse(%q) =\n%v\nwant\n%s", tc.in, err, tc.want)
			}
		})
	}
}

func TestPathsMustLeadSomewhere(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"gw0.toml", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "gw0"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ keys, want string }{
		"both there":               {"config = \"gw0.toml\"\nidentity = \"gw0\"\n", ""},
		"absolute":                 {"config = \"" + filepath.Join(dir, "gw0.toml") + "\"\n", ""},
		"no config":                {"config = \"gw1.toml\"\n", ":4: box.a.config: " + filepath.Join(dir, "gw1.toml") + ": no such file or directory"},
		"a folder for a config":    {"config = \"gw0\"\n", ":4: box.a.config: " + filepath.Join(dir, "gw0") + " is no plain file"},
		"a file for an identity":   {"identity = \"file\"\n", ":4: box.a.identity: " + filepath.Join(dir, "file") + " is no folder"},
		"both wrong, told at once": {"config = \"x\"\nidentity = \"y\"\n", ":5: box.a.identity: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "boxes.toml")
			text := "[box.a]\nmac = [\"52:54:00:12:34:56\"]\nboard = \"apu2\"\n" + tc.keys
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, known)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), path+tc.want)) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Load(filepath.Join(dir, "none.toml"), known); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("Load of a file that is not there = %v, want a hint", err)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("boxes.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("[box.a]\nmac = [\"\"]\nserial = \"\\u0000\"\nboard = \"apu2\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := parse("b", data, options{known: known})
		if err != nil {
			return
		}
		for _, b := range inv.Boxes {
			if len(b.MACs) == 0 && b.Serial == "" || b.System == Tench && b.Board == "" || b.System != Tench && b.Tree == "" {
				t.Errorf("Parse let %+v pass", b)
			}
			for _, m := range b.MACs {
				if found, ok := inv.ByMAC(m); !ok || found.Name != b.Name {
					t.Errorf("%s is %s's and finds %q", m, b.Name, found.Name)
				}
			}
		}
	})
}
