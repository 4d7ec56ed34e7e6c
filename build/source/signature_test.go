package source

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/release"
)

// in2020 and its like are times at which gpg is to believe it runs.
const (
	in2020 = "--faked-system-time=20200101T000000"
	in2021 = "--faked-system-time=20210101T000000"
	in2023 = "--faked-system-time=20230101T000000"
)

// key is the public key, and who it is of.
func (s signer) key(t *testing.T) []byte { return s.gpg(t, nil, "--armor", "--export") }

func (s signer) fingerprint(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(string(s.gpg(t, nil, "--with-colons", "--list-keys"))) {
		if rest, ok := strings.CutPrefix(line, "fpr:::::::::"); ok {
			return strings.TrimSuffix(strings.TrimSpace(rest), ":")
		}
	}
	t.Fatal("gpg lists no fingerprint")
	return ""
}

func (s signer) sign(t *testing.T, data []byte, options ...string) []byte {
	return s.gpg(t, data, append(options, "--detach-sign")...)
}

// expire makes the key end in 2022; when is the time at which that is decided.
func (s signer) expire(t *testing.T, when string) {
	s.gpg(t, nil, when, "--passphrase", "", "--quick-set-expire", s.fingerprint(t), "20220101T000000")
}

// revoke withdraws the key: for no reason (0), or because it is no longer used (3).
func (s signer) revoke(t *testing.T, reason string) {
	t.Helper()
	cmd := exec.Command("gpg", "--homedir", s.home, "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--command-fd", "0", "--armor", "--gen-revoke", s.fingerprint(t))
	cmd.Stdin = strings.NewReader("y\n" + reason + "\n\ny\n")
	cert, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg --gen-revoke: %v", err)
	}
	s.gpg(t, cert, "--import")
}

// gpgv is what GnuPG's own verifier says.
func gpgv(t *testing.T, key, sig, data []byte) bool {
	t.Helper()
	need(t, "gpgv", "gpg")
	dir := t.TempDir()
	for name, content := range map[string][]byte{"key": pipe(t, key, "gpg", "--dearmor"), "sig": sig, "data": data} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("gpgv", "--keyring", filepath.Join(dir, "key"), filepath.Join(dir, "sig"), filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "GNUPGHOME="+dir)
	return cmd.Run() == nil
}

func TestOpenPGP(t *testing.T) {
	data := []byte("a tarball")
	owner, stranger := newSigner(t), newSigner(t)
	key := owner.key(t)
	expired := newSigner(t, in2020)
	madeLate := expired.sign(t, data, in2023)
	expired.expire(t, in2020)
	madeInTime := expired.sign(t, data, in2021)
	renewed := newSigner(t, in2020)
	old := renewed.sign(t, data, in2020)
	renewed.expire(t, in2021)
	revoked, retired := newSigner(t, in2020), newSigner(t, in2020)
	beforeRevocation, beforeRetirement := revoked.sign(t, data, in2020), retired.sign(t, data, in2020)
	revoked.revoke(t, "0")
	retired.revoke(t, "3")
	subkeys := newSigner(t)
	subkeys.gpg(t, nil, "--passphrase", "", "--quick-add-key", subkeys.fingerprint(t), "rsa2048", "sign", "never")
	good := owner.sign(t, data)
	for name, tc := range map[string]struct {
		key, sig, data []byte
		sha1           bool
		gpgv           bool   // what gpgv says
		err            string // "" where it verifies
	}{
		"good":                      {key, good, data, false, true, ""},
		"armoured":                  {key, owner.sign(t, data, "--armor"), data, false, true, ""},
		"by a subkey":               {subkeys.key(t), subkeys.sign(t, data), data, false, true, ""},
		"one of two keys":           {append(stranger.gpg(t, nil, "--export"), owner.gpg(t, nil, "--export")...), good, data, false, true, ""},
		"signed twice":              {key, append(stranger.sign(t, data), good...), data, false, false, ""}, // gpgv wants both keys
		"key has expired since":     {expired.key(t), madeInTime, data, false, true, ""},
		"key was renewed since":     {renewed.key(t), old, data, false, true, ""},
		"by a key that had expired": {expired.key(t), madeLate, data, false, true, "key expired"},         // gpgv only warns
		"by a key that was revoked": {revoked.key(t), beforeRevocation, data, false, true, "was revoked"}, // gpgv only warns
		"by a key that has retired": {retired.key(t), beforeRetirement, data, false, true, ""},
		"by somebody else": {key, stranger.sign(t, data), data, false, false,
			"made by key " + stranger.fingerprint(t) + ", wanted is key " + owner.fingerprint(t)},
		"of another file": {key, owner.sign(t, []byte("another")), data, false, false,
			"made by key " + owner.fingerprint(t) + ", which is the wanted one, but it does not verify: openpgp: invalid signature"},
		"over SHA-1":          {key, owner.sign(t, data, "--digest-algo", "SHA1"), data, false, true, "it is over a SHA-1 hash, which is too weak"},
		"over SHA-1, allowed": {key, owner.sign(t, data, "--digest-algo", "SHA1"), data, true, true, ""},
		"cut short":           {key, good[:len(good)-10], data, false, false, "read signature: "},
		"empty":               {key, nil, data, false, false, "read signature: there is none in the file"},
		"a web page":          {key, []byte("<html>please log in</html>"), data, false, false, "read signature: "},
		"a key instead":       {key, key, data, false, false, "read signature: it is a PGP PUBLIC KEY BLOCK"},
		"no key":              {[]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), good, data, false, false, "read key: "},
	} {
		t.Run(name, func(t *testing.T) {
			by, err := verifyOpenPGP(tc.key, tc.sig, bytes.NewReader(tc.data), tc.sha1)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("verifyOpenPGP = %v, want %q", err, tc.err)
			}
			if (err == nil) != strings.HasPrefix(by, "OpenPGP ") {
				t.Errorf("verifyOpenPGP = %q, %v", by, err)
			}
			if bytes.HasPrefix(tc.key, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n")) {
				if got := gpgv(t, tc.key, tc.sig, tc.data); got != tc.gpgv {
					t.Errorf("gpgv says %v, want %v", got, tc.gpgv)
				}
			}
		})
	}
}

func TestSignify(t *testing.T) {
	need(t, "signify-openbsd")
	dir := t.TempDir()
	run := func(args ...string) {
		cmd := exec.Command("signify-openbsd", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("signify: %v: %s", err, out)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("a tarball"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"owner", "stranger"} {
		run("-G", "-n", "-p", name+".pub", "-s", name+".sec")
		run("-S", "-s", name+".sec", "-m", "data", "-x", name+".sig")
	}
	for name, tc := range map[string]struct{ sig, data, err string }{
		"good":             {"owner", "a tarball", ""},
		"by somebody else": {"stranger", "a tarball", "signature: made by key "},
		"of another file":  {"owner", "another", "bad signature"},
	} {
		_, err := verifySignify(read("owner.pub"), read(tc.sig+".sig"), strings.NewReader(tc.data))
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: verifySignify = %v, want %q", name, err, tc.err)
		}
	}
}

// A file is refused without its signature, wherever the file itself is from.
func TestFetchWantsTheSignature(t *testing.T) {
	data := noise(1000)
	owner, stranger := newSigner(t), newSigner(t)
	good, bad := owner.sign(t, data), stranger.sign(t, data)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.asc"), owner.key(t), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		pinned, served []byte
		key            string
		err            string
	}{
		"good":             {good, good, "key.asc", ""},
		"by somebody else": {bad, bad, "key.asc", "fetch linux source: a.tar: check signature a.tar.sig: made by key " + stranger.fingerprint(t)},
		"not there":        {good, nil, "key.asc", "check signature a.tar.sig: no location has the pinned version"},
		"another one":      {good, bad, "key.asc", "check signature a.tar.sig: no location has the pinned version"},
		"no key":           {good, good, "none.asc", "read key: open "},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			url := serve(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/a.tar":
					content(data)(w, r)
				case tc.served != nil:
					content(tc.served)(w, r)
				default:
					http.NotFound(w, r)
				}
			}))
			p := pinFor("a.tar.sig", tc.pinned)
			f := fileFor("a.tar", data, release.Location{URL: url + "/a.tar"})
			f.Signature = &release.Signature{Format: release.OpenPGP, Key: tc.key, Name: p.Name, Size: p.Size, SHA256: p.SHA256,
				Locations: []release.Location{{URL: url + "/a.tar.sig"}}}
			r := recipe(f)
			r.Dir = dir
			for _, again := range []string{"the first time", "again"} {
				got, err := s.Fetch(t.Context(), r, "source", Options{})
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) {
						t.Errorf("%s: Fetch = %v\nwant %q", again, err, tc.err)
					}
					if err != nil && strings.Contains(err.Error(), "--strict") {
						t.Errorf("%s: %v: nothing can stand in for a signature", again, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", again, err)
				}
				wantContent(t, got.Path, data)
			}
			if _, missing := s.Missing(r, "source", Options{}); missing != (tc.served == nil || name == "another one") {
				t.Errorf("Missing = %v", missing)
			}
			if _, err := s.Fetch(t.Context(), r, "source", Options{Offline: true}); tc.served == nil && (err == nil || !strings.Contains(err.Error(), "a.tar.sig  (")) {
				t.Errorf("offline: Fetch = %v, want the signature listed", err)
			}
		})
	}
}

// TestUpstreamSignatures checks what the authors of our sources signed.
func TestUpstreamSignatures(t *testing.T) {
	mirrors := filepath.SplitList(os.Getenv("TENCH_MIRROR"))
	if len(mirrors) == 0 {
		t.Skip("TENCH_MIRROR names no folder with upstream's archives")
	}
	for _, name := range []string{"musl", "openssl", "strongswan"} {
		r, err := release.Load("../../release/recipes", name)
		if err != nil {
			t.Fatal(err)
		}
		f := r.Part("source")[0]
		want := map[string]string{"musl": "836489290BB6B70F99FFDA0556BCDB593020450F", "openssl": "BA5473A2B0587B07FB27CF2D216094DFD0CB81EF",
			"strongswan": "948F158A4E76A27BF3D07532DF42C170B34DBA77"}[name]
		got, err := openStore(t, t.TempDir()).Fetch(t.Context(), r, "source", Options{Offline: true, Strict: true, Mirrors: mirrors})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.SignedBy != "OpenPGP "+want {
			t.Errorf("%s: SignedBy = %s, want %s", name, got.SignedBy, want)
		}
		key, err := os.ReadFile(r.At(f.Signature.Key))
		if err != nil {
			t.Fatal(err)
		}
		changed, err := os.ReadFile(got.Path)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := os.ReadFile(filepath.Join(mirrors[0], f.Signature.Name))
		if err != nil {
			t.Fatal(err)
		}
		if !gpgv(t, key, sig, changed) {
			t.Errorf("%s: gpgv does not verify it", name)
		}
		changed[len(changed)/2] ^= 1
		if _, err := verifyOpenPGP(key, sig, bytes.NewReader(changed), f.Signature.AllowSHA1); err == nil {
			t.Errorf("%s: a changed archive verifies", name)
		}
	}
}

func FuzzVerifyOpenPGP(f *testing.F) {
	for _, name := range []string{"musl", "openssl", "strongswan"} {
		key, err := os.ReadFile("../../release/recipes/" + name + "/keys/" + name + ".asc")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(key, key)
	}
	f.Fuzz(func(t *testing.T, key, sig []byte) {
		if _, err := verifyOpenPGP(key, sig, strings.NewReader("never signed"), true); err == nil {
			t.Error("it verifies")
		}
	})
}
