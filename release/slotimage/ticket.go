package slotimage

import (
	"errors"
	"fmt"
	"strings"

	"tench/release"
	"tench/release/signify"
)

// MaxTicket is the longest ticket in bytes: a release of a hundred boards has
// less.
const MaxTicket = 256 << 10

// Ticket is what an update must show first: the text of SHA256.sig, signify's
// signature with the checksums of a whole release inside.
type Ticket []byte

// Grant is what a ticket says once its signature is verified.
type Grant struct {
	SHA256 string // of the board's slot image, hex
	Signer signify.PublicKey
}

// Verify checks the ticket with the keys of which one must have signed, and
// finds the image of board in it.
func (t Ticket) Verify(board string, keys []signify.PublicKey) (Grant, error) {
	if len(t) == 0 {
		return Grant{}, errors.New("ticket: the update is not signed\nhint: tench release signs with --key; tench update --key signs a build")
	}
	if len(t) > MaxTicket {
		return Grant{}, fmt.Errorf("ticket: %d bytes are more than the %d allowed", len(t), MaxTicket)
	}
	s, err := signify.ParseSignature(t)
	if err != nil {
		return Grant{}, fmt.Errorf("ticket: %w", err)
	}
	var known []string
	for _, key := range keys {
		known = append(known, key.Number.String())
		if key.Number != s.Number {
			continue
		}
		sums, err := key.Open(t)
		if err != nil {
			return Grant{}, fmt.Errorf("ticket: key %s: %w", key.Number, err)
		}
		sum, err := sumOf(sums, board)
		return Grant{SHA256: sum, Signer: key}, err
	}
	if len(keys) == 0 {
		return Grant{}, errors.New("ticket: there is no key to verify it with\nhint: update-keys of the box's identity holds the public keys that may sign")
	}
	return Grant{}, fmt.Errorf("ticket: signed by key %s, which this box does not know; it knows %s\nhint: update-keys of the box's identity holds the public keys that may sign",
		s.Number, strings.Join(known, ", "))
}

// Sum is what the ticket says of the board's image, whoever signed it.
func (t Ticket) Sum(board string) (string, error) {
	s, err := signify.ParseSignature(t)
	if err != nil {
		return "", fmt.Errorf("ticket: %w", err)
	}
	return sumOf(s.Message, board)
}

func sumOf(sums []byte, board string) (string, error) {
	list, err := release.ParseSums(release.SignatureFile, sums)
	if err != nil {
		return "", fmt.Errorf("ticket: %w", err)
	}
	var others []string
	for _, p := range list {
		if p.File == release.SlotName(board) {
			return p.SHA256, nil
		}
		if name, ok := strings.CutPrefix(p.File, "tench-"); ok && strings.HasSuffix(name, ".slot") {
			others = append(others, strings.TrimSuffix(name, ".slot"))
		}
	}
	if len(others) == 0 {
		return "", fmt.Errorf("ticket: it has no %s\nhint: is it of a release that tench update can send?", release.SlotName(board))
	}
	return "", fmt.Errorf("ticket: the update is for %s, and this is board %s", strings.Join(others, ", "), board)
}
