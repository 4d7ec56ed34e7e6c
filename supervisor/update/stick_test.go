package update

import "testing"

func TestAddedDevice(t *testing.T) {
	event := func(action, subsystem, name string) string {
		return action + "@/devices/x\x00ACTION=" + action + "\x00SUBSYSTEM=" + subsystem + "\x00DEVNAME=" + name + "\x00SEQNUM=7\x00"
	}
	for text, want := range map[string]string{
		event("add", "block", "sdb1"):       "sdb1",
		event("add", "block", "mmcblk1p1"):  "mmcblk1p1",
		event("remove", "block", "sdb1"):    "",
		event("add", "net", "sdb1"):         "",
		event("add", "block", "loop0"):      "",
		event("add", "block", "sda/../x"):   "",
		event("add", "block", "sd"):         "",
		"libudev\x00\xfe\xed\xca\xfe\x00":   "",
		"":                                  "",
		"add@/x\x00ACTION=add\x00DEVNAME==": "",
	} {
		if got, ok := addedDevice([]byte(text)); got != want || ok != (want != "") {
			t.Errorf("addedDevice(%q) = %q, %v; want %q", text, got, ok, want)
		}
	}
}

func FuzzAddedDevice(f *testing.F) {
	f.Add([]byte("add@/x\x00ACTION=add\x00SUBSYSTEM=block\x00DEVNAME=sdb1\x00"))
	f.Fuzz(func(t *testing.T, event []byte) {
		if name, ok := addedDevice(event); ok && !isDisk(name) {
			t.Errorf("addedDevice(%q) = %q", event, name)
		}
	})
}
