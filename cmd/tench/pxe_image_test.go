package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tench/pxe"
	"tench/release"
	"tench/release/signify"
	"tench/release/writestream"
)

// TestPXEImageThatChanged changes an image, or what vouches for it, once a box is
// armed: not a byte of it goes out, and the operator is told which file it was. To arm
// another box looks at what vouches for the release again, and refuses what is not
// signed any more.
func TestPXEImageThatChanged(t *testing.T) {
	const board = "qemu-amd64"
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	public, secret, err := signify.Generate(rand.New(rand.NewSource(1)), "test")
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := signify.Generate(rand.New(rand.NewSource(2)), "test")
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "test.pub")
	if err := os.WriteFile(key, public.Marshal(), 0o644); err != nil {
		t.Fatal(err)
	}
	image, err := makeStick(root, filepath.Join(t.TempDir(), "work"), dir, board)
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) release.Product {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		return release.Product{File: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
	}
	list := []release.Product{image, put(release.KernelName(board), "kernel"), put(release.InitrdName(board), "initrd"),
		put(release.SBOMName(board), `{"bomFormat":"CycloneDX","components":[{"name":"linux","version":"6.12"}]}`)}
	sign := func(with signify.SecretKey) error {
		sums, err := os.ReadFile(path(release.SumsFile))
		return errors.Join(err, os.WriteFile(path(release.SignatureFile), with.SignInside(sums), 0o644))
	}
	m := release.Manifest{Board: board, Release: "2026.11", Products: list}
	if err := errors.Join(m.Write(path(release.ManifestFile)), release.WriteSums(path(release.SumsFile), list), sign(secret)); err != nil {
		t.Fatal(err)
	}

	c := &cobra.Command{}
	c.SetContext(t.Context())
	p := &pxeProducts{c: c, t: tree{Root: root}, o: pxeOptions{release: dir, keys: []string{key}}}
	product, err := p.get(t.Context(), board)
	if err != nil {
		t.Fatal(err)
	}
	// set writes bytes into the image, which is the same file after that.
	set := func(at int64, text string) error {
		f, err := os.OpenFile(path(image.File), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(text), at)
		return errors.Join(err, f.Close())
	}
	tests := []struct {
		name           string
		change, repair func() error
		want           string // of the image that is sent
		arm            string // of the next box that is armed
	}{
		{"nothing", func() error { return nil }, func() error { return nil }, "", ""},
		{"a byte of the image", func() error { return set(image.Size/2, "x") }, func() error { return set(image.Size/2, "\x00") }, image.File + ": its SHA-256 is ", ""},
		{"the image's end", func() error { return os.Truncate(path(image.File), image.Size-512) },
			func() error { return os.Truncate(path(image.File), image.Size) }, image.File + ": its SHA-256 is ", ""},
		{"SHA256", func() error { return release.WriteSums(path(release.SumsFile), list[:1]) },
			func() error { return release.WriteSums(path(release.SumsFile), list) }, "SHA256: it is not what was verified when the box was armed\nhint: arm the box again",
			"is not whole: SHA256.sig: signature: the message inside is not the file"},
		{"image and SHA256, signed anew", func() error {
			other := append([]release.Product{}, list...)
			other[0].SHA256 = strings.Repeat("0", 64)
			return errors.Join(release.WriteSums(path(release.SumsFile), other), sign(secret))
		}, func() error { return errors.Join(release.WriteSums(path(release.SumsFile), list), sign(secret)) }, "SHA256: it is not what was verified when the box was armed",
			"is not whole: " + image.File + ": its SHA-256 is "},
		{"the signature: another's", func() error { return sign(stranger) }, func() error { return sign(secret) }, "which is not known here\nhint: --key FILE.pub", "which is not known here\nhint: --key FILE.pub"},
		{"the signature: damaged", func() error { return os.WriteFile(path(release.SignatureFile), []byte("x"), 0o644) }, func() error { return sign(secret) }, release.SignatureFile + ": signature: line 1", release.SignatureFile + ": signature: line 1"},
		{"the signature: of something else", func() error { return os.WriteFile(path(release.SignatureFile), secret.SignInside([]byte("x")), 0o644) }, func() error { return sign(secret) },
			release.SignatureFile + ": signature: the message inside", "is not whole: " + release.SignatureFile + ": signature: the message inside"},
		{"the signature: gone", func() error { return os.Remove(path(release.SignatureFile)) }, func() error { return sign(secret) },
			"and --key wants it to be", "and --key wants it to be"},
		{"the image: gone", func() error { return os.Rename(path(image.File), path("x")) }, func() error { return os.Rename(path("x"), path(image.File)) }, image.File + ": no such file",
			"is not whole: " + image.File + ": no such file"},
		{"nothing, after all that", func() error { return nil }, func() error { return nil }, "", ""},
	}
	for _, tt := range tests {
		if err := tt.change(); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		var receipt string
		stream, err := p.image(t.Context(), pxe.Image{Product: product, Request: writestream.Request{Disk: "sda", Size: 1 << 30}})
		if err == nil {
			receipt, err = stream.Send(t.Context(), &out)
			stream.Close()
		}
		switch {
		case tt.want == "" && (err != nil || receipt == "" || out.Len() == 0):
			t.Errorf("%s: %d bytes, %v, want the image", tt.name, out.Len(), err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		case tt.want != "" && (out.Len() > 0 || receipt != ""):
			t.Errorf("%s: %d bytes went out", tt.name, out.Len())
		}
		if _, err := p.get(t.Context(), board); tt.arm == "" && err != nil || tt.arm != "" && (err == nil || !strings.Contains(err.Error(), tt.arm)) {
			t.Errorf("%s: another box is armed, with %v, want %q", tt.name, err, tt.arm)
		}
		if err := tt.repair(); err != nil {
			t.Fatal(err)
		}
	}
	// Another release takes its place, and it is that which the next box is armed with.
	m.Release = "2026.12"
	list[1] = put(list[1].File, "of another release")
	m.Products = list
	if err := errors.Join(m.Write(path(release.ManifestFile)), release.WriteSums(path(release.SumsFile), list), sign(secret)); err != nil {
		t.Fatal(err)
	}
	if next, err := p.get(t.Context(), board); err != nil || next.Files.Release != m.Release {
		t.Errorf("once another release is there: %v, want it", err)
	}
}
