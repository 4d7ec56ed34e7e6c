package release

import (
	"fmt"
	"io/fs"
	"slices"
)

// Signature is what a file's author vouches for it with: a detached signature,
// which is a file with locations of its own, and the key that must have made it.
type Signature struct {
	Format    SignatureFormat
	Key       string // the public key's file, below the recipe's folder, e.g. "keys/musl.asc"
	AllowSHA1 bool   // the signature is over a SHA-1 hash, as old OpenPGP keys still make them
	Name      string // e.g. "musl_1.2.3.orig.tar.gz.asc"
	Size      int64  // bytes
	SHA256    string // lower-case hex
	Locations []Location
}

// SignatureFormat is how a signature is written.
type SignatureFormat string

// The formats.
const (
	OpenPGP SignatureFormat = "openpgp" // RFC 9580, armoured or not
	Signify SignatureFormat = "signify" // OpenBSD's signify(1)
)

// File is the signature as a file to fetch.
func (s Signature) File(part string) File {
	return File{Part: part, Name: s.Name, Size: s.Size, SHA256: s.SHA256, Locations: s.Locations}
}

type rawSignature struct {
	OpenPGP   string        `toml:"openpgp"`
	Signify   string        `toml:"signify"`
	AllowSHA1 bool          `toml:"allow-sha1"`
	File      string        `toml:"file"`
	Size      int64         `toml:"size"`
	SHA256    string        `toml:"sha256"`
	Locations []rawLocation `toml:"locations"`
}

// maxSignature is far above what a detached signature has, in bytes.
const maxSignature = 1 << 16

func (c *checker) signature(raw rawSignature, at ...string) *Signature {
	key := func(k string) []string { return append(slices.Clone(at), k) }
	s := Signature{Format: OpenPGP, Key: raw.OpenPGP, AllowSHA1: raw.AllowSHA1, Name: raw.File, Size: raw.Size, SHA256: raw.SHA256}
	if c.f.Has(key("signify")...) {
		c.require(!c.f.Has(key("openpgp")...), "signature: it is openpgp or signify, not both", at...)
		c.require(!s.AllowSHA1, "allow-sha1: signify has no SHA-1", key("allow-sha1")...)
		s.Format, s.Key = Signify, raw.Signify
	}
	c.require(fs.ValidPath(s.Key) && s.Key != ".", fmt.Sprintf("signature: %q is not a key's file below the recipe's folder; give openpgp or signify, e.g. openpgp = \"keys/musl.asc\"", s.Key), at...)
	c.content(s.Name, s.Size, s.SHA256, at...)
	c.require(s.Size <= maxSignature, fmt.Sprintf("size: %d is more than the %d bytes of any signature", s.Size, maxSignature), key("size")...)
	s.Locations = c.locations(raw.Locations, key("locations")...)
	return &s
}
