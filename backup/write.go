package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Write writes the archive. Nothing in the stream depends on the clock or on
// who writes it.
func Write(w io.Writer, a Archive) error {
	a.About.Format, a.About.Files = Format, len(a.Files())
	if err := a.check(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	about, err := json.MarshalIndent(a.About, "", "  ")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	// The whole stream is made first: a box that is out of bounds says so before
	// the first byte, and not in the middle of somebody's file.
	var stream bytes.Buffer
	t := tar.NewWriter(&stream)
	files := append([]File{{aboutName, append(about, '\n')}}, a.Files()...)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: f.Path, Mode: 0o600,
			Size: int64(len(f.Data)), ModTime: time.Unix(0, 0)}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("backup: %s: %w", f.Path, err)
		}
		if _, err := t.Write(f.Data); err != nil {
			return fmt.Errorf("backup: %s: %w", f.Path, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if stream.Len() > MaxTotal {
		return fmt.Errorf("backup: it has %d bytes; at most %d", stream.Len(), MaxTotal)
	}
	if _, err := w.Write(stream.Bytes()); err != nil {
		return fmt.Errorf("backup: write: %w", err)
	}
	return nil
}
