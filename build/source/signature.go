package source

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"tench/release"
	"tench/release/signify"
)

// vouch refuses a file whose signature is not by the key in the recipe, and
// returns which key that is; "" where the recipe has none. A version that was
// followed has no signature: the archive's keys vouch for it.
func (s *Store) vouch(ctx context.Context, r release.Recipe, files []release.File, got Fetched, o Options) (key string, err error) {
	for _, f := range files {
		if f.Signature == nil || got.Followed || f.SHA256 != got.SHA256 {
			continue
		}
		if key, err = s.checkSignature(ctx, r, f, got, o); err != nil {
			return "", fmt.Errorf("%s: check signature %s: %w", f.Name, f.Signature.Name, err)
		}
	}
	return key, nil
}

func (s *Store) checkSignature(ctx context.Context, r release.Recipe, f release.File, got Fetched, o Options) (by string, err error) {
	o.Strict, o.Follow = true, "" // nothing can stand in for a signature
	fetched, err := s.pinnedFile(ctx, r, []release.File{f.Signature.File(f.Part)}, o)
	if err != nil {
		return "", err
	}
	sig, err := os.ReadFile(fetched.Path)
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(r.At(f.Signature.Key))
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	signed, err := os.Open(got.Path)
	if err != nil {
		return "", err
	}
	defer signed.Close()
	if f.Signature.Format == release.Signify {
		by, err = verifySignify(key, sig, ctxReader{ctx, signed})
	} else {
		by, err = verifyOpenPGP(key, sig, ctxReader{ctx, signed}, f.Signature.AllowSHA1)
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w\nhint: the file matches its SHA-256 but not %s: one of the two in %s is wrong, or upstream signs with another key now",
			err, f.Signature.Key, filepath.Join(r.Dir, release.RecipeFile))
	}
	return by, err
}

// verifySignify checks a signature in OpenBSD's format, which is over the whole
// file at once, and returns the key's number.
func verifySignify(key, sig []byte, signed io.Reader) (string, error) {
	k, err := signify.ParsePublicKey(key)
	if err != nil {
		return "", err
	}
	message, err := io.ReadAll(signed)
	if err != nil {
		return "", err
	}
	return "signify " + k.Number.String(), k.Verify(message, sig)
}

// signedHashes are the hashes that a signature may be over.
var signedHashes = map[crypto.Hash]bool{crypto.SHA256: true, crypto.SHA384: true, crypto.SHA512: true, crypto.SHA3_256: true, crypto.SHA3_512: true}

// verifyOpenPGP checks a detached signature (RFC 9580 section 10.4) by one of
// the keys, and returns the fingerprint of that one. A key that has expired
// since is no fault: what counts is whether it was valid when it signed. That a
// thief of an old key could give another day does not help him, because the
// recipe has the file's hash.
func verifyOpenPGP(keys, sig []byte, signed io.Reader, allowSHA1 bool) (string, error) {
	ring, err := readKeys(keys)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	binary, err := dearmour(sig)
	if err != nil {
		return "", fmt.Errorf("read signature: %w", err)
	}
	made, key, err := signatureBy(ring, binary)
	if err != nil {
		return "", err
	}
	if !signedHashes[made.Hash] && !(allowSHA1 && made.Hash == crypto.SHA1) {
		return "", fmt.Errorf("it is over a %v hash, which is too weak", made.Hash)
	}
	if made.CreationTime.Before(key.PublicKey.CreationTime) {
		return "", errors.New("it is older than the key")
	}
	if withdrawn(key) {
		return "", fmt.Errorf("its key %s was revoked", fingerprint(key.PublicKey))
	}
	when := validAt(made, key)
	_, err = openpgp.CheckDetachedSignature(ring, signed, bytes.NewReader(binary), &packet.Config{Time: func() time.Time { return when }})
	if err != nil {
		return "", fmt.Errorf("made by key %s, which is the wanted one, but it does not verify: %w", fingerprint(key.PublicKey), err)
	}
	return "OpenPGP " + fingerprint(key.PublicKey), nil
}

// signatureBy returns the first signature by one of the keys, as the check
// itself picks it. Its error says who signed instead.
func signatureBy(ring openpgp.EntityList, sig []byte) (*packet.Signature, openpgp.Key, error) {
	var signers []string
	for packets := packet.NewReader(bytes.NewReader(sig)); ; {
		p, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, openpgp.Key{}, fmt.Errorf("read signature: %w", err)
		}
		made, ok := p.(*packet.Signature)
		if !ok || made.IssuerKeyId == nil {
			return nil, openpgp.Key{}, errors.New("read signature: it is not a detached signature that names its key")
		}
		if keys := ring.KeysByIdUsage(*made.IssuerKeyId, packet.KeyFlagSign); len(keys) > 0 {
			return made, keys[0], nil
		}
		signer := fmt.Sprintf("%016X", *made.IssuerKeyId)
		if made.IssuerFingerprint != nil {
			signer = fmt.Sprintf("%X", made.IssuerFingerprint)
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, openpgp.Key{}, errors.New("read signature: there is none in the file")
	}
	var wanted []string
	for _, e := range ring {
		wanted = append(wanted, fingerprint(e.PrimaryKey))
	}
	return nil, openpgp.Key{}, fmt.Errorf("made by key %s, wanted is key %s", strings.Join(signers, " and "), strings.Join(wanted, " or "))
}

func fingerprint(k *packet.PublicKey) string { return fmt.Sprintf("%X", k.Fingerprint) }

// withdrawn reports whether the key was revoked for a reason that makes earlier
// signatures worthless too (RFC 9580 section 5.2.3.31): any but that it is no
// longer used.
func withdrawn(key openpgp.Key) bool {
	return slices.ContainsFunc(slices.Concat(key.Entity.Revocations, key.Revocations), func(r *packet.Signature) bool {
		return r.RevocationReason == nil || *r.RevocationReason != packet.KeySuperseded && *r.RevocationReason != packet.KeyRetired
	})
}

// validAt is the time at which the key's validity is judged: when the signature
// was made, or, where the key's owner has renewed the key since, when that was.
func validAt(made *packet.Signature, key openpgp.Key) time.Time {
	when := made.CreationTime
	self, _ := key.Entity.PrimarySelfSignature()
	for _, s := range []*packet.Signature{self, key.SelfSignature} {
		if s != nil && s.CreationTime.After(when) {
			when = s.CreationTime
		}
	}
	return when
}

func readKeys(data []byte) (openpgp.EntityList, error) {
	if bytes.Contains(data, []byte("-----BEGIN PGP")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(data))
}

// dearmour returns a signature's packets.
func dearmour(sig []byte) ([]byte, error) {
	if !bytes.Contains(sig, []byte("-----BEGIN PGP")) {
		return sig, nil
	}
	block, err := armor.Decode(bytes.NewReader(sig))
	if err != nil {
		return nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, fmt.Errorf("it is a %s", block.Type)
	}
	return io.ReadAll(block.Body)
}
