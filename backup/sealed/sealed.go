// Package sealed encrypts backups for the desk's disk, in the format of age
// (age-encryption.org/v1), so that Debian's age opens them too.
//
//	sealed.go  Seal and Open
//	keys.go    whom a backup is for, and who may open it
//
// Neither ever writes a file: what is not encrypted stays in memory.
package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"tench/backup"
)

// Seal returns the archive, encrypted for each of the recipients.
func Seal(a backup.Archive, to ...age.Recipient) ([]byte, error) {
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to...)
	if err != nil {
		return nil, fmt.Errorf("backup: encrypt: %w", err)
	}
	if err := backup.Write(w, a); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("backup: encrypt: %w", err)
	}
	return file.Bytes(), nil
}

// maxFile is the most that is read of a file, in bytes: age adds 16 to each 64 KiB
// of an archive, and a header.
const maxFile = backup.MaxTotal + 1<<20

// Open reads what Seal wrote, with the first of the identities that fits. A file
// that is cut short or altered is refused; of one that is no backup, e.g. the
// image of a disk, no more is read than a backup can have.
func Open(r io.Reader, as ...age.Identity) (backup.Archive, error) {
	plain, err := age.Decrypt(io.LimitReader(r, maxFile), as...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return backup.Archive{}, errors.New("backup: decrypt: none of these keys opens it\nhint: --identity-file names the key of the recipient that it was made for; without that the passphrase is asked for")
	case err != nil:
		return backup.Archive{}, fmt.Errorf("backup: decrypt: %w", err)
	}
	return backup.Read(plain)
}
