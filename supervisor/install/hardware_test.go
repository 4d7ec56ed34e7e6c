package install

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/release/netboot"
	"tench/release/writestream"
)

func TestRecognize(t *testing.T) {
	known := boards.Hardware{Vendor: []string{"PC Engines"}, Product: []string{"apu2"}}
	for name, tc := range map[string]struct {
		files map[string]string
		named string // in boxes.toml
		want  string // why it is refused
	}{
		"no SMBIOS": {},
		"the board": {files: map[string]string{"sys/class/dmi/id/sys_vendor": "PC Engines\n", "sys/class/dmi/id/product_name": "apu2\n"}},
		"a maker who says nothing": {files: map[string]string{"sys/class/dmi/id/sys_vendor": "To be filled by O.E.M.\n",
			"sys/class/dmi/id/product_name": "To be filled by O.E.M.\n", "sys/class/dmi/id/board_name": "Default string\n"}},
		"another board": {files: map[string]string{"sys/class/dmi/id/sys_vendor": "PC Engines\n", "sys/class/dmi/id/product_name": "ALIX\x1b[2J.2D\n"},
			want: "this is no apu2: its firmware tells the product \"ALIX[2J.2D\"\nhint: list it as the board that it is; if it is one, write hardware = \"ALIX[2J.2D\" under [box.gw0] in boxes.toml"},
		"the desk knows better":       {files: map[string]string{"sys/class/dmi/id/product_name": "FW-7525\n"}, named: "FW-7525"},
		"it is not what the desk has": {files: map[string]string{"sys/class/dmi/id/product_name": "apu2\n"}, named: "FW-7525", want: `this is not the hardware "FW-7525" that boxes.toml names: its firmware calls it "apu2"`},
		"a device tree":               {files: map[string]string{"proc/device-tree/compatible": "xunlong,orangepi-pc\x00allwinner,sun8i-h3\x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			b := newBox(t, s.url)
			b.i.Known, b.i.Server.File.Hardware = known, tc.named
			for file, text := range tc.files {
				b.write(file, text)
			}
			b.disk("sda", "S1", make([]byte, 8*mib))
			var question netboot.Question
			s.plan = func(_ int, q netboot.Question) any { question = q; return netboot.Plan{Disk: "sda"} }
			s.image = func(_ int, r writestream.Request, w http.ResponseWriter) { stream(newDisk(), r.Size, w) }
			err := b.i.Run(t.Context())
			if tc.want == "" {
				if diff := cmp.Diff(b.i.hardware(), boards.Hardware(question.Hardware)); diff != "" || err != nil {
					t.Errorf("Run = %v; the server was told (-want +got):\n%s", err, diff)
				}
				return
			}
			if err == nil || err.Error() != "install: "+tc.want || s.asked+s.images > 0 {
				t.Errorf("Run = %v; want %s", err, tc.want)
			}
			last := s.posts[len(s.posts)-1]
			if last.Stage != netboot.Failed || last.Text != "install: "+strings.ReplaceAll(tc.want, "\nhint: ", "; ") || !strings.Contains(b.out.String(), tc.want) {
				t.Errorf("the server heard %+v, the console shows\n%s", last, b.out.String())
			}
		})
	}
}

// What the server refuses for good is not asked again, as a missing disk is.
func TestRefusedForGood(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.url)
	b.disk("sda", "S1", make([]byte, 8*mib))
	s.refuse = http.StatusForbidden
	s.plan = func(int, netboot.Question) any { return "gw0 is an alix2d3" }
	if err := b.i.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "gw0 is an alix2d3") || s.asked != 1 {
		t.Errorf("Run = %v, after %d questions", err, s.asked)
	}
}

func TestDeviceTree(t *testing.T) {
	b := newBox(t, "http://192.0.2.1")
	b.i.Known = boards.Hardware{Compatible: []string{"friendlyarm,nanopi-neo"}}
	b.write("proc/device-tree/compatible", "xunlong,orangepi-pc\x00allwinner,sun8i-h3\x00")
	if err := b.i.recognize(b.i.hardware()); err == nil || !strings.Contains(err.Error(), `the device tree "xunlong,orangepi-pc", "allwinner,sun8i-h3"`) {
		t.Errorf("an Orange Pi: %v", err)
	}
	b.write("proc/device-tree/compatible", "friendlyarm,nanopi-neo\x00allwinner,sun8i-h3\x00")
	if err := b.i.recognize(b.i.hardware()); err != nil {
		t.Error(err)
	}
	b.write("proc/device-tree/compatible", strings.Repeat("x\x00", 1000)+strings.Repeat("y", 1000))
	if n := len(b.i.hardware().Compatible); n != maxCompatible {
		t.Errorf("%d names are kept", n)
	}
}
