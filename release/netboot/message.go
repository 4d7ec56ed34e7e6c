package netboot

// Stage is what a box is at.
type Stage string

// The stages, in their order.
const (
	Disks   Stage = "disks"   // it looks at its disks, and waits for the server
	Confirm Stage = "confirm" // it waits for a word on its console; Text: which
	Write   Stage = "write"   // Done and Total of the bytes to write
	Check   Stage = "verify"  // it reads back what was written
	Reboot  Stage = "reboot"  // it is about to
	Failed  Stage = "failed"  // it gave up; Text: why
	Ready   Stage = "ready"   // it runs, and has the configured network
	Healthy Stage = "healthy" // it calls itself healthy
)

// Progress is the body of POST progress.
type Progress struct {
	Stage Stage  `json:"stage"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	Text  string `json:"text,omitempty"`
}

// Disk is a disk of the box, as the box sees it.
type Disk struct {
	Name    string `json:"name"`              // the kernel's, e.g. "sda"
	Model   string `json:"model,omitempty"`   // e.g. "SanDisk Ultra"
	Serial  string `json:"serial,omitempty"`  // "" where it has none
	Size    int64  `json:"size"`              // bytes
	Content string `json:"content"`           // what is on it, in words
	Refused string `json:"refused,omitempty"` // why it is never written; "" for it may be
	// Board and Release are what a disk of ours holds, and Slot, "a" or "b", is
	// the one that an install writes there, on trial, while all else stays. They
	// are empty for any other disk.
	Board   string `json:"board,omitempty"`
	Release string `json:"release,omitempty"`
	Slot    string `json:"slot,omitempty"`
}

// What a Disk's content is of a disk that holds nobody's data, word by word.
const (
	Empty      = "empty"
	Unfinished = "an install of tench that did not end"
)

// Question is the body of POST plan.
type Question struct {
	Disks    []Disk   `json:"disks"`
	Hardware Hardware `json:"hardware,omitzero"`
}

// Hardware is what the firmware of a box calls it: the fields of
// boards.Hardware.
type Hardware struct {
	Vendor     []string `json:"vendor,omitempty"`
	Product    []string `json:"product,omitempty"`
	Compatible []string `json:"compatible,omitempty"`
}

// Plan is the answer to POST plan. Without Ask the disk is written at once. With
// it the words are shown on the console, and a person names the disk by the last
// four characters of its serial number, or by its name where it has none: Disk,
// or where that is "" any that is not refused.
type Plan struct {
	Disk string `json:"disk,omitempty"`
	Ask  string `json:"ask,omitempty"`
	// Wipe writes the whole disk, also where a slot of it would do.
	Wipe bool `json:"wipe,omitempty"`
}

// Done is the body of POST done.
type Done struct {
	SHA256 string `json:"sha256"` // the writestream.Receipt of what was read back
}
