// Package identity is what makes a box this box and no other: who may log in,
// whose updates it takes, its host key and its secrets. It is a directory, the
// same on the desk and on the box (data:/identity).
//
//	identity.go  Identity: the names, checks, Load
//	write.go     Create, SetSecret, NewHostKey
//	secrets.go   listing and removing secrets
//	keys.go      the keys in it, for those who check logins and updates; from.go: from="…"
//
// The directory, of mode 0700; its files have mode 0600:
//
//	name                      "gw0\n": the box's name, for people
//	ssh_host_ed25519_key      OpenSSH private key; where there is none, the box makes one at its first boot
//	authorized_keys           OpenSSH public keys that may log in
//	update-keys/NAME.pub      signify public keys; an update needs a signature of one of them
//	secrets/NAME              the bytes of the secret, nothing added
//
// Names that begin with a dot are files being written, which a power cut may
// leave behind; nobody reads them.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tench/release/signify"
)

// The names in the directory.
const (
	NameFile           = "name"
	HostKeyFile        = "ssh_host_ed25519_key"
	AuthorizedKeysFile = "authorized_keys"
	UpdateKeysDir      = "update-keys"
	SecretsDir         = "secrets"
)

// updateKeyEnd is how the name of a file in UpdateKeysDir ends.
const updateKeyEnd = ".pub"

// MaxFile is the longest file in bytes that is read or written: a chain of
// certificates fits, a router's memory is not filled.
const MaxFile = 64 << 10

// maxFiles is how many secrets and how many update keys there may be.
const maxFiles = 256

// Identity is the content of the directory.
type Identity struct {
	Name           string
	HostKey        []byte            // HostKeyFile; nil where the box shall make its own
	AuthorizedKeys []byte            // AuthorizedKeysFile
	UpdateKeys     map[string][]byte // by file name, e.g. "release.pub"
	Secrets        map[string][]byte // by name
}

var (
	// nameRE is a label of a host name (RFC 1123, section 2.1), in lower case.
	nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	fileRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

// CheckName refuses what is not the name of a box: up to 63 lower-case letters,
// digits and hyphens, none at the ends.
func CheckName(name string) error {
	if !nameRE.MatchString(name) {
		return fmt.Errorf("name %q: up to 63 of a-z, 0-9 and -, with no - at its ends, are allowed", name)
	}
	return nil
}

// CheckSecretName refuses what is not the name of a secret, which is a file's
// name: letters, digits and . _ -, the first a letter or digit, at most 63.
func CheckSecretName(name string) error {
	if !fileRE.MatchString(name) {
		return fmt.Errorf("secret %q: names are up to 63 of letters, digits and . _ -, and begin with a letter or digit", name)
	}
	return nil
}

// File is a file or folder of the directory.
type File struct {
	Path    string // slash-separated, e.g. "secrets/isp"
	Mode    fs.FileMode
	Content []byte // nil for a folder
}

// Files lists the directory's content, folders before what is in them, in an
// order that depends on the names only.
func (id Identity) Files() []File {
	list := []File{{NameFile, 0o600, []byte(id.Name + "\n")}}
	if id.HostKey != nil {
		list = append(list, File{HostKeyFile, 0o600, id.HostKey})
	}
	list = append(list, File{AuthorizedKeysFile, 0o600, id.AuthorizedKeys})
	for _, sub := range []struct {
		dir   string
		files map[string][]byte
	}{{UpdateKeysDir, id.UpdateKeys}, {SecretsDir, id.Secrets}} {
		list = append(list, File{Path: sub.dir, Mode: fs.ModeDir | 0o700})
		for _, name := range sortedKeys(sub.files) {
			list = append(list, File{sub.dir + "/" + name, 0o600, sub.files[name]})
		}
	}
	return list
}

func sortedKeys(m map[string][]byte) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Load reads the directory and checks all that is in it; what it does not know
// is an error. It is for the desk, where a mistake can be mended before it is
// far away; a box reads the files one by one, so that one that is damaged takes
// nothing with it.
func Load(dir string) (Identity, error) {
	id, err := load(dir)
	if err != nil {
		return Identity{}, fmt.Errorf("identity %s: %w", dir, err)
	}
	return id, nil
}

func load(dir string) (Identity, error) {
	names, err := visible(dir)
	if err != nil {
		return Identity{}, fmt.Errorf("%w\nhint: tench identity new NAME makes one", err)
	}
	var id Identity
	for _, name := range names {
		if err := id.read(dir, name); err != nil {
			return Identity{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return id, id.check()
}

// read reads one entry of the directory.
func (id *Identity) read(dir, name string) error {
	path := filepath.Join(dir, name)
	var err error
	switch name {
	case NameFile:
		var data []byte
		data, err = readFile(path)
		id.Name = strings.TrimSuffix(string(data), "\n")
	case HostKeyFile:
		id.HostKey, err = readPrivate(path)
	case AuthorizedKeysFile:
		id.AuthorizedKeys, err = readFile(path)
	case UpdateKeysDir:
		id.UpdateKeys, err = readDir(path, readFile)
	case SecretsDir:
		id.Secrets, err = readDir(path, readPrivate)
	default:
		err = fmt.Errorf("is no part of an identity\nhint: its parts are %s", strings.Join(
			[]string{NameFile, HostKeyFile, AuthorizedKeysFile, UpdateKeysDir, SecretsDir}, ", "))
	}
	return err
}

// check looks at all parts, and tells every mistake.
func (id Identity) check() error {
	problems := []error{CheckName(id.Name)}
	if id.HostKey != nil {
		_, err := ParseHostKey(id.HostKey)
		problems = append(problems, err)
	}
	_, err := ParseAuthorizedKeys(id.AuthorizedKeys)
	problems = append(problems, err)
	for _, name := range sortedKeys(id.UpdateKeys) {
		_, err := parseUpdateKey(name, id.UpdateKeys[name])
		problems = append(problems, err)
	}
	for _, name := range sortedKeys(id.Secrets) {
		problems = append(problems, CheckSecretName(name), checkSecret(name, id.Secrets[name]))
	}
	return errors.Join(problems...)
}

// parseUpdateKey reads a file of UpdateKeysDir.
func parseUpdateKey(name string, data []byte) (signify.PublicKey, error) {
	if !fileRE.MatchString(name) || !strings.HasSuffix(name, updateKeyEnd) {
		return signify.PublicKey{}, fmt.Errorf("%s/%s: update keys are called NAME%s", UpdateKeysDir, name, updateKeyEnd)
	}
	key, err := signify.ParsePublicKey(data)
	if err != nil {
		return signify.PublicKey{}, fmt.Errorf("%s/%s: %w", UpdateKeysDir, name, err)
	}
	return key, nil
}

func checkSecret(name string, value []byte) error {
	if len(value) == 0 || len(value) > MaxFile {
		return fmt.Errorf("secret %s: it has %d bytes; 1 to %d are allowed", name, len(value), MaxFile)
	}
	return nil
}

// readDir reads the files of a folder.
func readDir(dir string, read func(path string) ([]byte, error)) (map[string][]byte, error) {
	names, err := visible(dir)
	if err != nil {
		return nil, err
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("has more than %d files", maxFiles)
	}
	files := map[string][]byte{}
	for _, name := range names {
		data, err := read(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = data
	}
	return files, nil
}

// visible lists the names in a folder, sorted, but for those that begin with a
// dot.
func visible(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, withoutPath(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// readPrivate reads a file that only its owner may read.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("its mode %04o lets others read it\nhint: chmod 600 %s; on a FAT stick, which keeps no modes, that does nothing: copy the identity to this machine's disk, and chmod -R go-rwx the copy", mode, path)
	}
	return readFile(path)
}

// readFile reads a plain file of at most MaxFile bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() || info.Size() > MaxFile {
		return nil, fmt.Errorf("is not a file of at most %d bytes", MaxFile)
	}
	data, err := os.ReadFile(path)
	return data, withoutPath(err)
}

// withoutPath is the cause of a file's error: the caller names the file.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
