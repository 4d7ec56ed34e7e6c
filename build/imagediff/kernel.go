package imagediff

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// kernelTree is the configuration inside a kernel, as its one file: what
// CONFIG_IKCONFIG puts into it, also where the kernel is packed with zstd.
func kernelTree(vmlinuz []byte) (tree, error) {
	config, err := kernelConfig(vmlinuz)
	if err != nil {
		return nil, err
	}
	return tree{".config": {about: "file", size: int64(len(config)), read: content(config)}}, nil
}

var (
	configMark = []byte("IKCFG_ST") // kernel/configs.c of Linux; gzip follows
	zstdMagic  = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

func kernelConfig(vmlinuz []byte) ([]byte, error) {
	if config, err := markedConfig(vmlinuz); err == nil {
		return config, nil
	}
	// The packed kernel begins somewhere behind the code that unpacks it, which
	// may hold the magic number as well.
	const most = 16
	for at, tries := 0, 0; tries < most; tries++ {
		i := bytes.Index(vmlinuz[at:], zstdMagic)
		if i < 0 {
			break
		}
		at += i
		// What follows the packed kernel is no zstd, so that an error after
		// the mark does not matter.
		kernel, _ := unzstd(vmlinuz[at:])
		if config, err := markedConfig(kernel); err == nil {
			return config, nil
		}
		at += len(zstdMagic)
	}
	return nil, errors.New("no configuration in it that is readable here (CONFIG_IKCONFIG, plain or in zstd)")
}

// markedConfig is the configuration behind its mark in an unpacked kernel.
func markedConfig(kernel []byte) ([]byte, error) {
	_, packed, found := bytes.Cut(kernel, configMark)
	if !found {
		return nil, errors.New("no mark")
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	const most = 4 << 20
	config, err := io.ReadAll(io.LimitReader(z, most+1))
	if err == nil && len(config) > most {
		err = fmt.Errorf("configuration of more than %d bytes", most)
	}
	return config, err
}
