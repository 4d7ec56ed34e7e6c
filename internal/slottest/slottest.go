// Package slottest makes small slot images, keys and releases for tests.
package slottest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/release"
	"tench/release/signify"
)

const sector = 512

// Image describes a slot image.
type Image struct {
	Board, Release string
	Epoch          int64
	Kernel, Ramfs  []byte
}

// New is an image whose kernel and initramfs are random, of so many bytes each.
func New(board, name string, epoch int64, kernel, ramfs int) Image {
	r := rand.New(rand.NewPCG(uint64(epoch), uint64(kernel)))
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	return Image{board, name, epoch, fill(kernel), fill(ramfs)}
}

// Bytes is the image: a FAT16 with clusters of 1 KiB, laid out as build/disk
// does it, and as much of the file allocation table as the reader looks at.
func (i Image) Bytes() []byte {
	const reserved, fats, fatSectors, entries, clusterSectors = 4, 2, 32, 512, 2
	root := (reserved + fats*fatSectors) * sector
	clusters := root + entries*32
	env := clusters + clusterSectors*sector // cluster 3
	kernel := env + clusterSectors*sector
	ramfs := kernel + up(len(i.Kernel), clusterSectors*sector)
	b := make([]byte, up(ramfs+len(i.Ramfs), 4096))
	put16 := func(at, v int) { binary.LittleEndian.PutUint16(b[at:], uint16(v)) }
	put16(11, sector)
	b[13], b[16] = clusterSectors, fats
	put16(14, reserved)
	put16(17, entries)
	put16(22, fatSectors)
	b[510], b[511] = 0x55, 0xaa
	copy(b[root:], "TENCH_SLOT ")
	b[root+11] = 0x08
	copy(b[root+32:], "SLOT    ENV")
	put16(root+32+26, 3)
	put16(root+32+28, 1024)
	text := fmt.Sprintf("# GRUB Environment Block\nboard=%s\nrelease=%s\nepoch=%d\nargs=quiet\nkernel=%d+%d\nramfs=%d+%d\n", i.Board, i.Release, i.Epoch,
		kernel/sector, up(len(i.Kernel), sector)/sector, ramfs/sector, up(len(i.Ramfs), sector)/sector)
	copy(b[env:], text+strings.Repeat("#", 1024-len(text)))
	copy(b[kernel:], i.Kernel)
	copy(b[ramfs:], i.Ramfs)
	return b
}

func up(n, unit int) int { return (n + unit - 1) / unit * unit }

// Key makes a key pair; equal seeds make equal ones.
func Key(t testing.TB, seed uint64) (signify.PublicKey, signify.SecretKey) {
	t.Helper()
	var random bytes.Buffer
	r := rand.New(rand.NewPCG(seed, 1))
	for range 64 {
		random.WriteByte(byte(r.Uint32()))
	}
	public, secret, err := signify.Generate(&random, fmt.Sprint("test ", seed))
	if err != nil {
		t.Fatal(err)
	}
	return public, secret
}

// Ticket is SHA256.sig of a release that has only these slot images, by board.
func Ticket(t testing.TB, key signify.SecretKey, images map[string][]byte) []byte {
	t.Helper()
	var list []release.Product
	for board, data := range images {
		list = append(list, release.Product{File: release.SlotName(board), SHA256: Sum(data)})
	}
	sums, err := release.FormatSums(list)
	if err != nil {
		t.Fatal(err)
	}
	return key.SignInside(sums)
}

// Sum is the SHA-256 of data in hex.
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Release writes a signed release with one slot image into dir.
func Release(t testing.TB, dir string, key signify.SecretKey, i Image) {
	t.Helper()
	data := i.Bytes()
	for name, content := range map[string][]byte{release.SlotName(i.Board): data,
		release.SignatureFile: Ticket(t, key, map[string][]byte{i.Board: data})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
