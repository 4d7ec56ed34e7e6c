package track

import "fmt"

// Stage is what a box is doing. The order is that of a boot: a later stage is
// nearer to the end.
type Stage int

// The stages.
const (
	Quiet      Stage = iota // nothing was heard of it
	Discovers               // it asks for an address
	Unanswered              // it asks, and we are silent
	Offered                 // it has our offer
	Addressed               // it has an address and knows what to fetch
	Disk                    // it was told to boot its disk, or runs from it
	Loader                  // it fetches a loader
	Script                  // it fetches what tells the loader what to do
	Kernel                  // it fetches the kernel
	Initramfs               // it fetches the initramfs
	Starting                // it has all; nothing was heard from the kernel yet
	Disks                   // the installer looks at the disks
	Confirm                 // the installer waits for a word on the console
	Write                   // the installer writes
	Verify                  // the installer reads back
	Reboots                 // it is written, and starts again
	FirstBoot               // it was told to boot the disk that we wrote
	Ready                   // its network is up
	Healthy                 // it calls itself healthy
	Failed                  // its installer gave up
	stages     int   = iota // how many there are
)

// stageNames is what people and scripts read.
var stageNames = [stages]string{
	"", "discover", "not answered", "offered", "addressed", "boots its disk", "loader", "script", "kernel", "initramfs", "starting",
	"looks at disks", "confirm", "write", "verify", "reboots", "first boot", "ready", "healthy", "failed",
}

// Stages are all stages, for metrics that name those nobody is in too.
func Stages() []Stage {
	all := make([]Stage, stages)
	for i := range all {
		all[i] = Stage(i)
	}
	return all
}

// String is the name of a stage, e.g. "first boot".
func (s Stage) String() string { return stageNames[s] }

// MarshalText is String.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String gives.
func (s *Stage) UnmarshalText(text []byte) error {
	for i, name := range stageNames {
		if name == string(text) {
			*s = Stage(i)
			return nil
		}
	}
	return fmt.Errorf("stage %q: there is no such stage", text)
}
