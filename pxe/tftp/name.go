package tftp

import (
	"errors"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds a file's name, in bytes. A request is 512 bytes at most
// (RFC 2347), the DHCP field it comes from 128.
const maxName = 400

var errName = errors.New("this is no name of a file that could be here")

// cleanName makes of what a client asked for a name below the tree that is
// served: "/etc/boot.conf" is "etc/boot.conf", and Windows' boot loaders write
// backslashes. What it returns satisfies fs.ValidPath, so no part of it is
// empty, "." or "..". A name that climbs out of the tree is an error and not
// another name: nobody asks that by accident. Nothing is decoded: a percent
// sign is a percent sign, and characters that only look like a slash or a dot
// are what they are.
func cleanName(raw string) (string, error) {
	if len(raw) > maxName || !utf8.ValidString(raw) || strings.ContainsFunc(raw, unicode.IsControl) {
		return "", errName
	}
	var parts []string
	for part := range strings.SplitSeq(strings.ReplaceAll(raw, `\`, "/"), "/") {
		switch part {
		case "", ".":
		case "..":
			if len(parts) == 0 {
				return "", errName
			}
			parts = parts[:len(parts)-1]
		default:
			parts = append(parts, part)
		}
	}
	name := strings.Join(parts, "/")
	if name == "" || !fs.ValidPath(name) {
		return "", errName
	}
	return name, nil
}
