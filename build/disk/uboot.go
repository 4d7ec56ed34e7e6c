package disk

import (
	"fmt"
	"os"

	"tench/boards"
)

// writeUBoot puts the loader in the file at path where the board's ROM reads
// it: behind the partition table and before the first partition.
func writeUBoot(img *os.File, b boards.Board, path string) error {
	if b.UBoot.Recipe == "" {
		return nil
	}
	loader, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("u-boot: %w", err)
	}
	at := int64(b.UBoot.AtKiB) << 10
	if room := firstByte - at; int64(len(loader)) > room {
		return fmt.Errorf("u-boot: %s has %d bytes, but there is room for %d before the first partition", path, len(loader), room)
	}
	_, err = img.WriteAt(loader, at)
	return err
}
