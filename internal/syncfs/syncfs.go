// Package syncfs brings whole trees of files to the disk.
package syncfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync brings all that was written to the file system of the folder dir to the disk
// (syncfs(2)): one call for a tree that may have 90,000 files.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
