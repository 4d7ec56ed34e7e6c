package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"tench/internal/lab"
	"tench/release/signify"
)

// publicKey is the line of a key, without a comment.
var publicKey = func() string {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}()

// sample is an identity with one of each.
func sample(t *testing.T) Identity {
	t.Helper()
	hostKey, err := NewHostKey(rand.Reader, "gw0")
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := signify.Generate(rand.Reader, "release")
	if err != nil {
		t.Fatal(err)
	}
	return Identity{
		Name: "gw0", HostKey: hostKey, AuthorizedKeys: []byte("# people\n" + publicKey + " hans@desk\n"),
		UpdateKeys: map[string][]byte{"release.pub": public.Marshal()},
		Secrets:    map[string][]byte{"isp": []byte("carps and tenches"), "wg.key": {0, 1, '\n'}},
	}
}

// created is the sample in a directory.
func created(t *testing.T) (Identity, string) {
	t.Helper()
	id, dir := sample(t), filepath.Join(t.TempDir(), "gw0")
	if err := id.Create(dir); err != nil {
		t.Fatal(err)
	}
	return id, dir
}

func TestCreatedIsLoaded(t *testing.T) {
	id, dir := created(t)
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(id, got); diff != "" {
		t.Errorf("Load after Create (-want +got):\n%s", diff)
	}
	modes := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(dir, path)
		modes[name] = info.Mode().String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "drwx------", "name": "-rw-------", "ssh_host_ed25519_key": "-rw-------", "authorized_keys": "-rw-------",
		"update-keys": "drwx------", "update-keys/release.pub": "-rw-------",
		"secrets": "drwx------", "secrets/isp": "-rw-------", "secrets/wg.key": "-rw-------",
	}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	id, dir := created(t)
	if err := id.Create(dir); err == nil || !strings.Contains(err.Error(), "it exists\nhint:") {
		t.Errorf("Create over another = %v, want a refusal with a hint", err)
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it is %v, %v; want nothing", entries, err)
	}
}

func TestCreateWhereThereIsNoFolder(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "boxes")
	dir := filepath.Join(parent, "gw0")
	want := "identity " + dir + ": no such file or directory\nhint: make the folder " + parent + " first"
	if err := sample(t).Create(dir); err == nil || err.Error() != want {
		t.Errorf("Create = %v\nwant %s", err, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	write := func(name, text string, mode fs.FileMode) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"not there":               {func(t *testing.T, dir string) { os.RemoveAll(dir) }, "no such file or directory\nhint: tench identity new"},
		"a typo":                  {write("authorised_keys", "", 0o600), "authorised_keys: is no part of an identity\nhint: its parts are name, "},
		"name of two words":       {write("name", "gw 0\n", 0o600), `name "gw 0": up to 63 of a-z, 0-9 and -`},
		"name in capitals":        {write("name", "GW0\n", 0o600), `name "GW0"`},
		"secret for all":          {write("secrets/isp", "x", 0o644), "secrets: isp: its mode 0644 lets others read it\nhint: chmod 600 "},
		"on a FAT stick":          {write("ssh_host_ed25519_key", "x", 0o755), "its mode 0755 lets others read it\nhint: chmod 600 DIR/ssh_host_ed25519_key; on a FAT stick, which keeps no modes, that does nothing: copy the identity to this machine's disk, and chmod -R go-rwx the copy"},
		"host key for the group":  {write("ssh_host_ed25519_key", "x", 0o640), "its mode 0640 lets others read it"},
		"host key is none":        {write("ssh_host_ed25519_key", "x", 0o600), "ssh_host_ed25519_key: ssh: no key found"},
		"secret empty":            {write("secrets/isp", "", 0o600), "secret isp: it has 0 bytes"},
		"secret too long":         {write("secrets/isp", strings.Repeat("x", MaxFile+1), 0o600), "is not a file of at most 65536 bytes"},
		"secret with a space":     {write("secrets/my isp", "x", 0o600), `secret "my isp": names are`},
		"secret is a folder":      {func(t *testing.T, dir string) { os.Mkdir(filepath.Join(dir, "secrets", "d"), 0o700) }, "secrets: d: is not a file"},
		"update key is none":      {write("update-keys/x.pub", "x\n", 0o600), "update-keys/x.pub: public key: line 1"},
		"update key without .pub": {write("update-keys/x", "x\n", 0o600), "update keys are called NAME.pub"},
		"authorized key cut":      {write("authorized_keys", "# ok\nssh-ed25519 AAAA\n", 0o600), "authorized_keys:2: is no line such as"},
		"authorized key, options": {write("authorized_keys", `tunnel="0" `+publicKey+"\n", 0o600), "authorized_keys:1: option \"tunnel=\\\"0\\\"\" is not honoured, so the key is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := created(t)
			tc.change(t, dir)
			_, err := Load(dir)
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), tc.want) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "identity "+dir+": ") {
				t.Errorf("Load = %v, want it to name the directory", err)
			}
		})
	}
}

// What is being written is not read, and does not disturb.
func TestHiddenFilesAreNotRead(t *testing.T) {
	id, dir := created(t)
	for _, name := range []string{".x", "secrets/.isp123", "update-keys/.x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(id, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestSecrets(t *testing.T) {
	_, dir := created(t)
	if err := os.RemoveAll(filepath.Join(dir, SecretsDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(dir, "isp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LoadSecret of none = %v, want os.ErrNotExist", err)
	}
	for _, value := range []string{"first", "second\n\x00"} {
		if err := SetSecret(dir, "isp", []byte(value)); err != nil {
			t.Fatal(err)
		}
		got, err := LoadSecret(dir, "isp")
		if err != nil || string(got) != value {
			t.Errorf("LoadSecret = %q, %v, want %q", got, err, value)
		}
		path := filepath.Join(dir, SecretsDir, "isp")
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
		}
		if err := os.Chmod(path, 0o644); err != nil { // the next one mends that
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", ".isp", "../name", "a/b", "a b", strings.Repeat("x", 64)} {
		if err := SetSecret(dir, name, []byte("x")); err == nil {
			t.Errorf("SetSecret takes the name %q", name)
		}
		if _, err := LoadSecret(dir, name); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("LoadSecret(%q) = %v, want its name refused", name, err)
		}
	}
	if err := SetSecret(dir, "isp", nil); err == nil {
		t.Error("SetSecret takes no bytes for a secret")
	}
}

// A box with a damaged file still lets in whom the rest of it names.
func TestKeysBesideDamagedOnes(t *testing.T) {
	_, dir := created(t)
	keys, err := ParseAuthorizedKeys([]byte("ssh-ed25519 AAAA\n" + publicKey + " hans@desk\nssh-rsa\n"))
	if err == nil || len(keys) != 1 || keys[0].Comment != "hans@desk" {
		t.Errorf("ParseAuthorizedKeys = %v, %v, want one of hans@desk and an error of the two bad lines", keys, err)
	}
	if err := os.WriteFile(filepath.Join(dir, UpdateKeysDir, "a.pub"), []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A power cut or a person may leave worse than half a key.
	if err := os.Mkdir(filepath.Join(dir, UpdateKeysDir, "folder.pub"), 0o700); err != nil {
		t.Fatal(err)
	}
	update, err := LoadUpdateKeys(dir)
	if err == nil || len(update) != 1 {
		t.Errorf("LoadUpdateKeys = %v, %v, want one key and an error of the other", update, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, UpdateKeysDir)); err != nil {
		t.Fatal(err)
	}
	if update, err := LoadUpdateKeys(dir); err != nil || len(update) > 0 {
		t.Errorf("LoadUpdateKeys of no folder = %v, %v, want none", update, err)
	}
}

// OpenSSH reads our host key, and finds the same public key in it.
func TestHostKeyAsSSHKeygenReadsIt(t *testing.T) {
	lab.Require(t, "ssh-keygen")
	id, dir := created(t)
	key, err := ParseHostKey(id.HostKey)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-y", "-f", filepath.Join(dir, HostKeyFile)).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	got, err := ParseAuthorizedKeys(out)
	if err != nil || len(got) != 1 || got[0].Comment != "gw0" || string(got[0].Key.Marshal()) != string(key.PublicKey().Marshal()) {
		t.Errorf("ssh-keygen -y prints %s (%v), which is another key", out, err)
	}
}

func FuzzParseAuthorizedKeys(f *testing.F) {
	f.Add([]byte("# people\n" + publicKey + " hans@desk\n"))
	f.Add([]byte("from=\"a b\" " + publicKey))
	f.Add([]byte("ssh-ed25519 AAAA\r\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, _ := ParseAuthorizedKeys(data)
		for _, k := range keys {
			if k.Key == nil {
				t.Fatal("a key that is none")
			}
		}
	})
}
