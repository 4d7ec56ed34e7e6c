package slots

import (
	"fmt"
	"strconv"
	"strings"
)

// Boot is what the boot loader said on the kernel's command line.
type Boot struct {
	Disk  uint32 // tench.disk=1a2b3c4d: disk id of the MBR we booted from; 0 for none
	Slot  string // tench.slot=a; "" for none
	Trial bool   // tench.trial=2: the slot is on trial
	Left  int    // with Trial: how often GRUB will try it again
}

// ParseCmdline reads /proc/cmdline. The last of equal words wins, as it does
// for the kernel. What is not ours is the kernel's.
func ParseCmdline(text string) (Boot, error) {
	var b Boot
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "tench.disk":
			id, err := strconv.ParseUint(value, 16, 32)
			if err != nil || id == 0 {
				return b, fmt.Errorf("cmdline: tench.disk=%s is not a disk id of up to 8 hex digits other than 0", value)
			}
			b.Disk = uint32(id)
		case "tench.slot":
			if value != "a" && value != "b" {
				return b, fmt.Errorf("cmdline: tench.slot=%s is not a or b", value)
			}
			b.Slot = value
		case "tench.trial":
			left, err := strconv.Atoi(value)
			if err != nil || left < 0 || left >= MaxTries {
				return b, fmt.Errorf("cmdline: tench.trial=%s is not between 0 and %d", value, MaxTries-1)
			}
			b.Trial, b.Left = true, left
		}
	}
	return b, nil
}
