package disk

import (
	"io/fs"

	"tench/backup"
)

// RestoredBox lists the files of the data partition of the box that a backup is
// of. What that box only remembered is not there: its folder is empty.
func RestoredBox(a backup.Archive) []DataFile {
	var files []DataFile
	for _, dir := range a.Folders() {
		files = append(files, DataFile{Path: dir, Mode: fs.ModeDir | 0o700})
	}
	for _, f := range a.Files() {
		files = append(files, DataFile{Path: f.Path, Mode: 0o600, Content: f.Data})
	}
	return files
}
