package sealed

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"tench/backup"
	"tench/internal/lab"
)

func sample() backup.Archive {
	return backup.Archive{
		About:       backup.About{Format: backup.Format, Files: 3, Board: "apu2"},
		Generations: []backup.Generation{{Number: 7, Data: []byte("hostname = \"gw0\"\n")}},
		Current:     7,
		Identity:    []backup.File{{Path: "secrets/wan", Data: []byte("s3cret")}},
	}
}

// cheap is a passphrase's recipient that costs no second.
func cheap(t *testing.T, passphrase string) age.Recipient {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10)
	return r
}

func answer(words string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(words), nil }
}

// sshKey makes a key pair: the line of the .pub file, and the secret file.
func sshKey(t *testing.T, passphrase string) (public string, secret []byte) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(p)), pem.EncodeToMemory(block)
}

func TestSealedForEveryKindOfKey(t *testing.T) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	open, secret := sshKey(t, "")
	locked, lockedSecret := sshKey(t, "horse")
	never := func() ([]byte, error) { t.Error("asked for a passphrase"); return nil, errors.New("asked") }
	for _, tc := range []struct {
		name, recipient string
		identity        []byte
		ask             func() ([]byte, error)
	}{
		{"age-keygen", x.Recipient().String(), []byte("# made today\n" + x.String() + "\n"), never},
		{"ssh-keygen", open, secret, never},
		{"ssh-keygen with a passphrase", locked, lockedSecret, answer("horse")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to, err := ParseRecipient(tc.recipient)
			if err != nil {
				t.Fatal(err)
			}
			data, err := Seal(sample(), to)
			if err != nil {
				t.Fatal(err)
			}
			ids, err := ParseIdentities(tc.identity, tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Open(bytes.NewReader(data), append([]age.Identity{ByPassphrase(never)}, ids...)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sample(), got); diff != "" {
				t.Errorf("Open (-want +got):\n%s", diff)
			}
			if _, err := Open(bytes.NewReader(data), ByPassphrase(never)); err == nil || !strings.Contains(err.Error(), "none of these keys") {
				t.Errorf("Open without the key: %v", err)
			}
		})
	}
}

func TestPassphrase(t *testing.T) {
	data, err := Seal(sample(), cheap(t, "correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("s3cret")) || bytes.Contains(data, []byte("gw0")) {
		t.Error("the file has plain text in it")
	}
	got, err := Open(bytes.NewReader(data), ByPassphrase(answer("correct horse")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("Open (-want +got):\n%s", diff)
	}
	if _, err := Open(bytes.NewReader(data), ByPassphrase(answer("battery"))); err == nil || !strings.Contains(err.Error(), "the passphrase is wrong") {
		t.Errorf("Open with a wrong passphrase: %v", err)
	}
}

// Every cut and every changed byte must be seen.
func TestDamage(t *testing.T) {
	data, err := Seal(sample(), cheap(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(data); n += 61 {
		if _, err := Open(bytes.NewReader(data[:n]), ByPassphrase(answer("x"))); err == nil {
			t.Errorf("the first %d of %d bytes count as whole", n, len(data))
		}
		bad := bytes.Clone(data)
		bad[n] ^= 1
		if _, err := Open(bytes.NewReader(bad), ByPassphrase(answer("x"))); err == nil {
			t.Errorf("a change of byte %d is not seen", n)
		}
	}
}

// A disk, or its image, is no backup, and does not fill the memory.
func TestFileWithoutAnEnd(t *testing.T) {
	disk := &zeros{}
	if _, err := Open(disk, ByPassphrase(answer("x"))); err == nil || disk.read > 2*backup.MaxTotal {
		t.Errorf("Open of a disk = %v, after %d bytes", err, disk.read)
	}
}

// zeros is a disk of 64 MiB.
type zeros struct{ read int }

func (z *zeros) Read(p []byte) (int, error) {
	if z.read >= 64<<20 {
		return 0, io.EOF
	}
	clear(p)
	z.read += len(p)
	return len(p), nil
}

func TestRecipientsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"age1xyz":                  "hint: age1... of age-keygen",
		"ssh-ed25519 nonsense":     "hint: age1...",
		"":                         "hint: age1...",
		"AGE-SECRET-KEY-1QQQSECRE": "this is a secret key",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nQQQSECRE":                          "hint: the public key of an SSH key is in the .pub file",
		"# created: 2026-11-26\n# public key: age1xyz\nAGE-SECRET-KEY-1QQQSECRE": "hint: age-keygen -y FILE prints its public key",
		"age-secret-key-1QQQSECRE":                                               "this is a secret key",
		"# mine\n-----BEGIN OPENSSH PRIVATE KEY-----\nQQQSECRE":                  "hint: the public key of an SSH key is in the .pub file",
	} {
		_, err := ParseRecipient(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "QQQSECRE") {
			t.Errorf("ParseRecipient(%q) = %v; want an error with %q", text, err, want)
		}
	}
}

// Debian's age is the independent reader and writer.
func TestDebianAge(t *testing.T) {
	lab.Require(t, "age", "age-keygen", "tar")
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	lab.Run(t, "", "age-keygen", "-o", key)
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseRecipient(lab.Run(t, "", "age-keygen", "-y", key))
	if err != nil {
		t.Fatal(err)
	}
	data, err := Seal(sample(), to)
	if err != nil {
		t.Fatal(err)
	}
	file, plain := filepath.Join(dir, "a.age"), filepath.Join(dir, "a.tar")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	lab.Run(t, "", "age", "-d", "-i", key, "-o", plain, file)
	if got := lab.Run(t, "", "tar", "-xOf", plain, "identity/secrets/wan"); got != "s3cret" {
		t.Errorf("tar -xO of what age decrypted: %q", got)
	}
	again, err := exec.Command("age", "-r", strings.TrimSpace(lab.Run(t, "", "age-keygen", "-y", key)), plain).Output()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities(secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(bytes.NewReader(again), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("Open of what age encrypted (-want +got):\n%s", diff)
	}
}
