package release

// The names of a release's files; BOARD is the board's name.
const (
	ManifestFile  = "manifest.json" // of out/BOARD: Manifest; of a release's directory: Index
	SumsFile      = "SHA256"
	SignatureFile = "SHA256.sig"
	ListingFile   = "index.txt"
	NotesFile     = "NOTES.md"
)

// UnfinishedDir is the folder in out/BOARD in which a build makes its products,
// before they take the place of the last one's. What an interrupted build left there
// is removed by the next.
const UnfinishedDir = ".new"

// ImageName is the file name of a board's stick image.
func ImageName(board string) string { return "tench-" + board + ".img" }

// PackedImageName is ImageName compressed with zstd, as a release has it.
func PackedImageName(board string) string { return ImageName(board) + ".zst" }

// KernelName is the file name of the kernel that a board's slots hold; with
// InitrdName it is what a board boots from the network.
func KernelName(board string) string { return "tench-" + board + ".vmlinuz" }

// InitrdName is the file name of the initramfs that a board's slots hold.
func InitrdName(board string) string { return "tench-" + board + ".initrd" }

// SlotName is the file name of what an update writes into a slot: the slot's
// file system up to the last block of 4 KiB that is not all zeros.
func SlotName(board string) string { return "tench-" + board + ".slot" }

// SBOMName is the file name of what a board's image consists of (CycloneDX).
func SBOMName(board string) string { return "tench-" + board + ".cdx.json" }

// ConfigName is the file name of a board's kernel configuration.
func ConfigName(board string) string { return "tench-" + board + ".config" }

// FilesName is the file name of the list of a board's root file system, mtree(5).
func FilesName(board string) string { return "tench-" + board + ".mtree" }

// ManifestName is the file name of a board's Manifest in a release's directory.
func ManifestName(board string) string { return "tench-" + board + ".json" }
