package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"tench/release"
	"tench/release/signify"
)

// Image is a stick image whose hash is right. Its content is a copy that nobody
// else can reach, so that what is written is what was checked.
type Image struct {
	Label
	Path   string // of the file, which may be packed
	SHA256 string // of the file, in hexadecimal digits
	Size   int64  // bytes, unpacked
	Made   time.Time
	// SignedBy is the key that SHA256.sig was verified with; nil where nothing
	// is signed, as in out/BOARD.
	SignedBy *signify.PublicKey

	file  *os.File // unpacked, sparse, without a name
	parts [4]span
}

// Trust says whose images are taken.
type Trust struct {
	Keys     []signify.PublicKey // one of them must have signed what is signed
	Must     bool                // refuse what is not signed at all
	Unsigned bool                // take what is signed by a key that is not here
}

const (
	packedEnd = ".zst"
	maxImage  = 16 << 30  // bytes, beyond which a packed image is not believed
	maxWindow = 128 << 20 // of zstd: what tench release packs with
	maxSums   = 1 << 20   // bytes of SHA256 and of SHA256.sig
)

// OpenImage checks the image at path, FILE.img or FILE.img.zst, by SHA256 and
// SHA256.sig beside it, and looks at what it is. Close it.
func OpenImage(ctx context.Context, path string, trust Trust, report func(Progress)) (*Image, error) {
	img := &Image{Path: path}
	if err := img.open(ctx, trust, report); err != nil {
		img.Close()
		return nil, fmt.Errorf("flash: image %s: %w", path, err)
	}
	return img, nil
}

// Close gives back the room that the copy takes.
func (img *Image) Close() error {
	if img.file == nil {
		return nil
	}
	return img.file.Close()
}

func (img *Image) open(ctx context.Context, trust Trust, report func(Progress)) error {
	want, err := img.expected(trust)
	if err != nil {
		return err
	}
	sum, err := img.copy(ctx, report)
	if err != nil {
		return err
	}
	if sum != want {
		return fmt.Errorf("its SHA-256 is %s, but %s beside it has %s\nhint: it was damaged or cut short on its way; fetch or build it again", sum, release.SumsFile, want)
	}
	img.SHA256 = sum
	if img.parts, err = readTable(img.file, img.Size); err == nil {
		img.Label, err = readLabel(img.file, img.parts)
	}
	if err != nil {
		return fmt.Errorf("is no image of tench: %w", err)
	}
	data, err := openExt4(io.NewSectionReader(img.file, img.parts[dataPart].at, img.parts[dataPart].size))
	if err != nil {
		return fmt.Errorf("is no image of tench: partition %d: %w", dataPart+1, err)
	}
	img.Made = time.Unix(data.made, 0).UTC()
	return nil
}

// expected is the hash that the file must have.
func (img *Image) expected(trust Trust) (string, error) {
	dir, name := filepath.Split(img.Path)
	sums, err := readSmall(filepath.Join(dir, release.SumsFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no %s beside it to check it by\nhint: fetch it with its %s and %s, or build it: tench image", release.SumsFile, release.SumsFile, release.SignatureFile)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", release.SumsFile, err)
	}
	if img.SignedBy, err = trust.signer(dir, sums); err != nil {
		return "", fmt.Errorf("%s: %w", release.SignatureFile, err)
	}
	list, err := release.ParseSums(release.SumsFile, sums)
	if err != nil {
		return "", err
	}
	for _, p := range list {
		if p.File == name {
			return p.SHA256, nil
		}
	}
	return "", fmt.Errorf("%s beside it does not list it", release.SumsFile)
}

// signer verifies the signature of the sums in dir; nil where there is none, or
// none that counts.
func (t Trust) signer(dir string, sums []byte) (*signify.PublicKey, error) {
	sig, err := readSmall(filepath.Join(dir, release.SignatureFile))
	if errors.Is(err, os.ErrNotExist) && !t.Must {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := signify.ParseSignature(sig)
	if err != nil {
		return nil, err
	}
	for _, key := range t.Keys {
		if key.Number == s.Number {
			return &key, key.Verify(sums, sig)
		}
	}
	if t.Unsigned {
		return nil, nil
	}
	return nil, fmt.Errorf("signed by key %s (%.60s), which is not known here\nhint: name the key that you trust: --key FILE.pub", s.Number, printable(s.Comment))
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSums+1))
	if err == nil && len(data) > maxSums {
		err = fmt.Errorf("has more than %d bytes", maxSums)
	}
	return data, withoutPath(err)
}

// copy makes the copy of the image, unpacked, and returns the hash of the file as
// it is.
func (img *Image) copy(ctx context.Context, report func(Progress)) (string, error) {
	in, err := os.Open(img.Path)
	if err != nil {
		return "", withoutPath(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return "", err
	}
	if img.file, err = os.CreateTemp("", "tench-flash-*"); err != nil {
		return "", err
	}
	if err := os.Remove(img.file.Name()); err != nil {
		return "", err
	}
	hash, done := sha256.New(), int64(0)
	file := readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := in.Read(b)
		hash.Write(b[:n])
		done += int64(n)
		if report != nil {
			report(Progress{PhaseCheck, done, info.Size()})
		}
		return n, err
	})
	if strings.HasSuffix(img.Path, packedEnd) {
		err = img.unpack(file)
	} else {
		err = img.fill(file)
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (img *Image) unpack(packed io.Reader) error {
	z, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	if err := img.fill(z); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	_, err = io.Copy(io.Discard, packed) // so that the hash is over all of it
	return err
}

// fill fills the copy and leaves holes where there are only zeros.
func (img *Image) fill(r io.Reader) error {
	b := make([]byte, len(zeros))
	for {
		n, err := readFull(r, b)
		if err != nil {
			return err
		}
		if !bytes.Equal(b[:n], zeros[:n]) {
			if _, err := img.file.WriteAt(b[:n], img.Size); err != nil {
				return err
			}
		}
		if img.Size += int64(n); img.Size > maxImage {
			return fmt.Errorf("it is larger than %d GiB", maxImage>>30)
		}
		if n < len(b) {
			return img.file.Truncate(img.Size)
		}
	}
}

// readFull reads until b is full or r is at its end. Unlike io.ReadFull it tells
// an end from the io.ErrUnexpectedEOF that a cut zstd file gives.
func readFull(r io.Reader, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
