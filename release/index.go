package release

// Index is manifest.json of a release's directory.
type Index struct {
	Schema  int          `json:"schema"`
	Release string       `json:"release"` // e.g. "2026.11"
	Epoch   int64        `json:"epoch"`   // seconds since 1970; the time of every file
	Boards  []IndexBoard `json:"boards"`
	Files   []Product    `json:"files"` // all that the boards and NOTES.md have, sorted
}

// IndexBoard is a board of a release. Its files have the names that layout.go
// makes of its own.
type IndexBoard struct {
	Name  string `json:"name"`  // e.g. "alix2d3"
	Title string `json:"title"` // e.g. "PC Engines ALIX 2D3"
}

// Write puts the index at path, whole or not at all. Boards keep their order,
// files are sorted.
func (x Index) Write(path string) error {
	x.Schema = Schema
	x.Files = sorted(x.Files)
	return writeJSON(path, x)
}

// ReadIndex reads the index at path. A schema it does not know and keys it does
// not know are errors.
func ReadIndex(path string) (Index, error) {
	var x Index
	return x, readJSON(path, &x)
}
