package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecretsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	if names, err := SecretNames(dir); len(names) > 0 || err != nil {
		t.Errorf("SecretNames of an identity without any = %v, %v", names, err)
	}
	for _, name := range []string{"wg0", "isp"} {
		if err := SetSecret(dir, name, []byte("secret of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	// What a power cut left behind is no secret.
	if err := os.WriteFile(filepath.Join(dir, SecretsDir, ".isp123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := SecretNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"isp", "wg0"}, names); diff != "" {
		t.Errorf("SecretNames (-want +got):\n%s", diff)
	}
	if err := RemoveSecret(dir, "isp"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, SecretsDir, "isp")); !os.IsNotExist(err) {
		t.Errorf("the removed secret's file: %v", err)
	}
	for name, want := range map[string]string{"isp": "there is no secret", "../name": "names are up to", "": "names are up to"} {
		if err := RemoveSecret(dir, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("RemoveSecret(%q) = %v; want %q", name, err, want)
		}
	}
}
