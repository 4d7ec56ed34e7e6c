package rollout

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tench/release"
	"tench/release/slotimage"
	"tench/release/transfer"
)

// Source is where images come from.
type Source struct {
	// Path is a release's directory, a build's out/BOARD, or a file in one of
	// these: the slot image itself, or the stick image beside it.
	Path string
	// Sign makes the ticket of a build that nobody signed; nil reads SHA256.sig.
	Sign func(sums []byte) []byte
}

// Image is the slot image for a board.
type Image struct {
	Path   string
	Data   []byte
	SHA256 string // hex
	Info   slotimage.Info
	Ticket slotimage.Ticket
}

// Load reads the image for a board and checks that it is one, is for that
// board, and is what its ticket says.
func (s Source) Load(board string) (Image, error) {
	img, err := s.load(board)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	return img, nil
}

func (s Source) load(board string) (Image, error) {
	info, err := os.Stat(s.Path)
	if err != nil {
		return Image{}, err
	}
	dir := s.Path
	if !info.IsDir() {
		dir = filepath.Dir(s.Path)
	}
	img := Image{Path: filepath.Join(dir, release.SlotName(board))}
	if strings.HasSuffix(s.Path, ".slot") && !info.IsDir() {
		img.Path = s.Path
	}
	if err := img.read(board); err != nil {
		return Image{}, err
	}
	if s.Sign == nil {
		return img, img.readTicket(filepath.Join(dir, release.SignatureFile), board)
	}
	sums, err := release.FormatSums([]release.Product{{File: release.SlotName(board), SHA256: img.SHA256}})
	if err != nil {
		return Image{}, err
	}
	img.Ticket = s.Sign(sums)
	return img, nil
}

func (img *Image) read(board string) error {
	info, err := os.Stat(img.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w\nhint: the box is board %s; tench image %[2]s makes an image for it", err, board)
	}
	if err != nil {
		return err
	}
	if n := info.Size(); n <= 0 || n > transfer.MaxImage || n%slotimage.BlockSize != 0 {
		return fmt.Errorf("%s: %d bytes are no slot image: one has whole blocks of %d, and at most %d bytes", img.Path, n, slotimage.BlockSize, transfer.MaxImage)
	}
	if img.Data, err = os.ReadFile(img.Path); err != nil {
		return err
	}
	if _, img.Info, err = slotimage.ReadHead(bytes.NewReader(img.Data)); err != nil {
		return fmt.Errorf("%s: %w", img.Path, err)
	}
	if img.Info.Board != board {
		return fmt.Errorf("%s is for board %s, and the box is board %s", img.Path, img.Info.Board, board)
	}
	sum := sha256.Sum256(img.Data)
	img.SHA256 = hex.EncodeToString(sum[:])
	return nil
}

func (img *Image) readTicket(path, board string) error {
	var err error
	img.Ticket, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w\nhint: nobody signed it: --key FILE.sec signs it now, with a key that the box knows", err)
	}
	if err != nil {
		return err
	}
	sum, err := img.Ticket.Sum(board)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if sum != img.SHA256 {
		return fmt.Errorf("%s: its SHA-256 is %s, and %s was signed\nhint: was it built again since? --key FILE.sec signs it now", img.Path, img.SHA256, sum)
	}
	return nil
}
