// Package imagediff says in which partition, file and byte two images differ.
//
//	imagediff.go  Compare: sector 0, the gap behind it, then each partition
//	image.go      open an image, packed or not; read its partition table
//	tree.go       what two trees of files have different
//	fat.go        the files of a FAT16 or FAT32
//	ext4.go       the files of an ext4, through debugfs
//	initrd.go     the files of an initramfs
//	kernel.go     the configuration inside a kernel
//
// It reads images that others made, and believes nothing in them: what cannot
// be read as it should be is one more difference, compared byte by byte. It
// shares no code with package disk, which writes them. FAT is read by code of
// our own, because go-diskfs follows a chain of clusters that is a ring until
// the memory is full.
package imagediff

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// Difference is one thing that differs between two images.
type Difference struct {
	// Part is "image", "partition table", "loader", "boot", "slot a", "slot b",
	// "data" or "no partition".
	Part string
	// File is where in the partition, e.g. "boot/grub/grub.cfg", or, in an
	// initramfs, "initrd: bin/tenchd". It is "" for bytes of no file.
	File string
	What string // in words, e.g. "1024 -> 1030 bytes, first different at byte 17"
	// Offset is the first byte that differs, from the start of File, or of the
	// image where there is no file; -1 where no bytes were compared.
	Offset int64
	Text   string // unified diff, where both are short texts
}

// String is the difference in one line.
func (d Difference) String() string {
	if d.File == "" {
		return d.Part + ": " + d.What
	}
	return d.Part + ": " + d.File + ": " + d.What
}

// Compare lists what differs between the images in the files one and two:
// nothing if and only if they are equal, byte for byte. Bytes of a partition that
// belong to no file are told of only where all its files are equal. A file named
// *.zst is unpacked first. An image without a readable partition table,
// or one that is cut short, is an error.
func Compare(ctx context.Context, one, two string) ([]Difference, error) {
	a, err := open(one)
	if err != nil {
		return nil, fmt.Errorf("diff: %w", err)
	}
	defer a.file.Close()
	b, err := open(two)
	if err != nil {
		return nil, fmt.Errorf("diff: %w", err)
	}
	defer b.file.Close()
	list, err := compare(ctx, a, b)
	if err != nil {
		return nil, fmt.Errorf("diff: %w", err)
	}
	return list, nil
}

func compare(ctx context.Context, a, b image) ([]Difference, error) {
	list, err := compareStart(a, b)
	if err != nil {
		return nil, err
	}
	twins, err := slotTwins(a, b)
	if err != nil {
		return nil, err
	}
	for i, p := range a.parts {
		q := b.parts[i]
		if p.size == 0 || q.size == 0 {
			continue // the partition table's lines say it
		}
		found, err := comparePart(ctx, side{a, p}, side{b, q})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		if i == slotB && twins && len(found) > 0 {
			found = []Difference{{Part: p.name, What: "differs as slot a does", Offset: found[0].Offset}}
		}
		list = append(list, found...)
	}
	if len(list) > 0 {
		return list, nil
	}
	// What lies between and behind the partitions.
	at, err := firstDifference(io.NewSectionReader(a.file, 0, a.size), io.NewSectionReader(b.file, 0, b.size))
	if err != nil || at < 0 {
		return nil, err
	}
	return []Difference{{Part: "no partition", Offset: at, What: fmt.Sprintf("first different at byte %d of the image", at)}}, nil
}

// slotTwins reports whether in both images slot b is a copy of slot a, as on
// every new stick.
func slotTwins(a, b image) (bool, error) {
	for _, m := range []image{a, b} {
		at, err := firstDifference(m.section(m.parts[slotA]), m.section(m.parts[slotB]))
		if err != nil || at >= 0 {
			return false, err
		}
	}
	return true, nil
}

// compareStart compares all that lies before the first partition.
func compareStart(a, b image) ([]Difference, error) {
	var list []Difference
	add := func(part, what string, at int64) {
		list = append(list, Difference{Part: part, What: what, Offset: at})
	}
	if a.size != b.size {
		add("image", fmt.Sprintf("%d -> %d bytes", a.size, b.size), -1)
	}
	if a.diskID != b.diskID {
		add("partition table", fmt.Sprintf("disk id %08x -> %08x", a.diskID, b.diskID), diskIDAt)
	}
	for i, p := range a.parts {
		at := tableAt + i*entrySize
		if q := b.parts[i]; p != q {
			add("partition table", fmt.Sprintf("partition %d: %s -> %s", i+1, p, q), int64(at))
		} else if n := mismatch(a.mbr[at:at+entrySize], b.mbr[at:at+entrySize]); n >= 0 {
			add("partition table", fmt.Sprintf("partition %d: first different at byte %d of the image", i+1, at+n), int64(at+n))
		}
	}
	for _, r := range [][2]int64{{0, diskIDAt}, {diskIDAt + 4, 2}, {sector, min(a.gapEnd(), b.gapEnd()) - sector}} {
		at, err := firstDifference(io.NewSectionReader(a.file, r[0], r[1]), io.NewSectionReader(b.file, r[0], r[1]))
		if err != nil {
			return nil, err
		}
		if at >= 0 {
			add("loader", fmt.Sprintf("first different at byte %d of the image", r[0]+at), r[0]+at)
		}
	}
	return list, nil
}

// side is a partition in one of the two images.
type side struct {
	m image
	p partition
}

func comparePart(ctx context.Context, a, b side) ([]Difference, error) {
	at, err := firstDifference(a.m.section(a.p), b.m.section(b.p))
	if err != nil || at < 0 {
		return nil, err
	}
	bytesDiffer := Difference{Part: a.p.name, Offset: a.p.start + at,
		What: fmt.Sprintf("first different at byte %d of the partition, %d of the image", at, a.p.start+at)}
	one, errA := files(ctx, a)
	two, errB := files(ctx, b)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errA != nil:
		bytesDiffer.What += fmt.Sprintf("; its files in the first image: %v", errA)
		return []Difference{bytesDiffer}, nil
	case errB != nil:
		bytesDiffer.What += fmt.Sprintf("; its files in the second image: %v", errB)
		return []Difference{bytesDiffer}, nil
	}
	list := compareTrees(pair{part: a.p.name}, one, two)
	if len(list) == 0 {
		bytesDiffer.What += ", in no file: all files are equal"
		return []Difference{bytesDiffer}, nil
	}
	return list, nil
}

// files lists the files of a partition, whatever file system it has.
func files(ctx context.Context, s side) (tree, error) {
	if isExt4(s.m.section(s.p)) {
		return ext4Tree(ctx, s.m.file, s.p)
	}
	return fatTree(s.m.section(s.p))
}

// firstDifference is the first byte in which two readers differ, or -1. Where
// one ends, the other one differs.
func firstDifference(a, b io.Reader) (int64, error) {
	const chunk = 1 << 20
	one, two := make([]byte, chunk), make([]byte, chunk)
	for at := int64(0); ; at += chunk {
		n, err := fill(a, one)
		if err != nil {
			return 0, err
		}
		m, err := fill(b, two)
		if err != nil {
			return 0, err
		}
		if i := mismatch(one[:n], two[:m]); i >= 0 {
			return at + int64(i), nil
		}
		if n < chunk {
			return -1, nil
		}
	}
}

// fill reads until b is full or r at its end. io.ReadFull does not tell an end
// from packed data that is cut short.
func fill(r io.Reader, b []byte) (int, error) {
	for n := 0; ; {
		more, err := r.Read(b[n:])
		n += more
		if n == len(b) || err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// mismatch is the first index at which a and b differ, or -1.
func mismatch(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
