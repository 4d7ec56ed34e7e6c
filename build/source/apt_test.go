package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tench/release"
)

// signer is a GnuPG key of the tests.
type signer struct{ home string }

// newSigner makes a key in a folder of its own and ends gpg's agent with the
// test; options are of gpg. The folder's path must be short: it holds a socket.
func newSigner(t *testing.T, options ...string) signer {
	t.Helper()
	need(t, "gpg", "gpgconf")
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	s := signer{home}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--homedir", home, "--kill", "all")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("gpgconf: %v: %s", err, out)
		}
		os.RemoveAll(home)
	})
	s.gpg(t, nil, append(options, "--passphrase", "", "--quick-generate-key", "tench test", "ed25519", "sign", "never")...)
	return s
}

func (s signer) gpg(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("gpg", append([]string{"--homedir", s.home, "--batch", "--quiet", "--pinentry-mode", "loopback"}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg %s: %v: %s", args[0], err, &stderr)
	}
	return out
}

// archiveServer is a small Debian archive on loopback: files by their path.
type archiveServer struct {
	Archive
	mu      sync.Mutex
	files   map[string][]byte
	index   bytes.Buffer // Packages
	sources []byte       // Sources
	// onlyApt answers nobody but apt, as if the way there were a proxy that
	// only apt's configuration names.
	onlyApt bool
}

func newArchive(t *testing.T, key signer) *archiveServer {
	t.Helper()
	need(t, "apt-get", "dpkg-deb", "dpkg")
	a := &archiveServer{files: map[string][]byte{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		data, ok := a.files[strings.TrimPrefix(r.URL.Path, "/")]
		if a.onlyApt && !strings.Contains(r.UserAgent(), "APT") {
			ok = false
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", testTime, bytes.NewReader(data))
	}))
	t.Cleanup(srv.Close)
	a.Suites = srv.URL + " bookworm main"
	a.Keyring = filepath.Join(t.TempDir(), "keys.gpg")
	if err := os.WriteFile(a.Keyring, key.gpg(t, nil, "--export"), 0o644); err != nil {
		t.Fatal(err)
	}
	return a
}

const pkgName = "linux-source-6.12"

func poolPath(version string) string { return "pool/" + pkgName + "_" + version + "_all.deb" }

// add puts one version of the package into the archive and returns its file.
func (a *archiveServer) add(t *testing.T, version string) []byte {
	t.Helper()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a\n", pkgName, version)
	deb := debOf(t, control, map[string][]byte{"usr/src/version": []byte(version)})
	p := pinFor("", deb)
	a.files[poolPath(version)] = deb
	fmt.Fprintf(&a.index, "%sFilename: %s\nSize: %d\nSHA256: %s\n\n", control, poolPath(version), p.Size, p.SHA256)
	return deb
}

const (
	packagesPath = "main/binary-amd64/Packages"
	sourcesPath  = "main/source/Sources"
)

// publish writes the index and its Release file, signed where key has a home.
func (a *archiveServer) publish(t *testing.T, key signer) {
	t.Helper()
	text := "Origin: test\nSuite: bookworm\nCodename: bookworm\nDate: Sat, 21 Nov 2026 00:00:00 UTC\nArchitectures: all amd64\nComponents: main\nSHA256:\n"
	indexes := map[string][]byte{packagesPath: bytes.Clone(a.index.Bytes()), sourcesPath: a.sources}
	for path, index := range indexes {
		p := pinFor("", index)
		text += fmt.Sprintf(" %s %d %s\n", p.SHA256, p.Size, path)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, index := range indexes {
		a.files["dists/bookworm/"+path] = index
	}
	a.files["dists/bookworm/Release"] = []byte(text)
	if key.home != "" {
		a.files["dists/bookworm/InRelease"] = key.gpg(t, []byte(text), "--clear-sign")
	}
}

// aptRecipe pins one version of the package; its other place is gone.
func aptRecipe(version string, deb []byte) release.Recipe {
	f := fileFor(pkgName+"_"+version+"_all.deb", deb,
		release.Location{Debian: &release.DebianPackage{Package: pkgName, Version: version, Arch: "all"}})
	f.Unpack = release.Unpack{Deb: true}
	return recipe(f)
}

func TestPinnedFromArchive(t *testing.T) {
	key := newSigner(t)
	for name, onlyApt := range map[string]bool{"directly": false, "by apt": true} {
		t.Run(name, func(t *testing.T) { testPinnedFromArchive(t, key, onlyApt) })
	}
}

func testPinnedFromArchive(t *testing.T, key signer, onlyApt bool) {
	a := newArchive(t, key)
	a.onlyApt = onlyApt
	pinned := a.add(t, "6.12.117-1~deb12u1")
	a.add(t, "6.12.119-1~deb12u1")
	a.publish(t, key)
	s := openStore(t, filepath.Join(t.TempDir(), "a cache"))
	r := aptRecipe("6.12.117-1~deb12u1", pinned)
	o := Options{Strict: true, Archive: a.Archive}
	got, err := s.Fetch(t.Context(), r, "source", o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Followed || got.Version != "6.12.117" || got.From != "Debian package linux-source-6.12=6.12.117-1~deb12u1 (all)" {
		t.Errorf("Fetch = %+v, want the pinned package", got)
	}
	wantContent(t, got.Path, pinned)
	if again, err := s.Fetch(t.Context(), r, "source", o); again != got || err != nil {
		t.Errorf("second Fetch = %+v, %v; want the same", again, err)
	}
	dir := filepath.Join(t.TempDir(), "tree")
	if err := Unpack(t.Context(), got, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(dir, "usr/src/version"), []byte("6.12.117-1~deb12u1"))
}

// What an interrupted run left of a package is taken up.
func TestPackageIsResumed(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	pinned := a.add(t, "6.12.117-1~deb12u1")
	a.publish(t, key)
	s := openStore(t, t.TempDir())
	half := len(pinned) / 2
	if err := os.WriteFile(s.partial(pinFor("", pinned)), pinned[:half], 0o644); err != nil {
		t.Fatal(err)
	}
	first := int64(-1)
	got, err := s.Fetch(t.Context(), aptRecipe("6.12.117-1~deb12u1", pinned), "source", Options{Archive: a.Archive,
		Progress: func(done, _ int64, _ string) {
			if first < 0 {
				first = done
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, pinned)
	if first <= int64(half) {
		t.Errorf("progress began at %d, want more than the %d bytes that were there", first, half)
	}
}

func TestReadStatus(t *testing.T) {
	var got []float64
	readStatus(strings.NewReader("dlstatus:1:18.7:Retrieving file 1 of 1\npmstatus:x:1:y\ndlstatus:1:x:y\ndlstatus:1:100:a:b\n"+strings.Repeat("x", 1<<17)),
		func(percent float64) { got = append(got, percent) })
	if len(got) != 2 || got[0] != 18.7 || got[1] != 100 {
		t.Errorf("readStatus tells %v, want 18.7 and 100", got)
	}
}

// A pin that rotted: the newest version of the series stands in for it, in this
// build and in later ones.
func TestFollow(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	a.add(t, "6.12.99-1~deb12u1")
	newest := a.add(t, "6.12.119-1~deb12u1")
	a.add(t, "6.12.118-1~deb12u1")
	a.add(t, "6.120.1-1~deb12u1") // another series
	a.publish(t, key)
	dir := t.TempDir()
	r := aptRecipe("6.12.117-1~deb12u1", noise(100))
	var log bytes.Buffer
	first, err := openStore(t, dir).Fetch(t.Context(), r, "source", Options{Archive: a.Archive, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	want := Fetched{Path: first.Path, Name: "linux-source-6.12_6.12.119-1~deb12u1_all.deb", SHA256: pinFor("", newest).SHA256, Version: "6.12.119", Debian: "6.12.119-1~deb12u1",
		From: "Debian package linux-source-6.12=6.12.119-1~deb12u1 (all)", Size: int64(len(newest)), Followed: true, Unpack: release.Unpack{Deb: true}}
	if first != want {
		t.Errorf("Fetch = %+v, want %+v", first, want)
	}
	wantContent(t, first.Path, newest)
	if !strings.Contains(log.String(), "warning: linux 6.12.117 is pinned, 6.12.119 is used") {
		t.Errorf("the log has no warning:\n%s", &log)
	}
	second, err := openStore(t, dir).Fetch(t.Context(), r, "source", Options{Offline: true})
	if err != nil || second != first {
		t.Errorf("offline: Fetch = %+v, %v; want the same as before", second, err)
	}
	other := aptRecipe("6.12.116-1~deb12u1", noise(102)) // of another release
	if _, err := openStore(t, dir).Fetch(t.Context(), other, "source", Options{Archive: a.Archive}); err != nil {
		t.Fatal(err)
	}
	if again, err := openStore(t, dir).Fetch(t.Context(), r, "source", Options{Offline: true}); err != nil || again != first {
		t.Errorf("after another release: Fetch = %+v, %v; want the same as before", again, err)
	}
	if _, missing := openStore(t, dir).Missing(r, "source", Options{}); missing {
		t.Error("Missing overlooks the followed version")
	}
	for name, o := range map[string]Options{"strict": {Offline: true, Strict: true}, "another pin": {Offline: true}} {
		other := r
		if name == "another pin" {
			other = aptRecipe("6.12.118-1~deb12u1", noise(101))
		}
		if _, err := openStore(t, dir).Fetch(t.Context(), other, "source", o); err == nil {
			t.Errorf("%s: a version that was followed for another pin is used", name)
		}
		if _, missing := openStore(t, dir).Missing(other, "source", o); !missing {
			t.Errorf("%s: Missing = false", name)
		}
	}
}

func TestArchiveIsNotBelieved(t *testing.T) {
	const version = "6.12.117-1~deb12u1"
	key, stranger := newSigner(t), newSigner(t)
	for name, tc := range map[string]struct {
		// change is done to the published archive.
		change func(t *testing.T, a *archiveServer)
		strict bool
		want   string
	}{
		"pin is gone, strict": {func(t *testing.T, a *archiveServer) {}, true, "no location has the pinned version 6.12.117"},
		"index was changed": {func(t *testing.T, a *archiveServer) {
			path := "dists/bookworm/" + packagesPath
			a.files[path] = bytes.Replace(a.files[path], []byte("6.12.119-1"), []byte("6.12.666-1"), -1)
		}, false, "Hash Sum mismatch"},
		"Release was changed": {func(t *testing.T, a *archiveServer) {
			path := "dists/bookworm/InRelease"
			a.files[path] = bytes.Replace(a.files[path], []byte("Origin: test"), []byte("Origin: evil"), 1)
		}, false, "BADSIG"},
		"signed by a stranger": {func(t *testing.T, a *archiveServer) { a.publish(t, stranger) }, false, "NO_PUBKEY"},
		"not signed":           {func(t *testing.T, a *archiveServer) { delete(a.files, "dists/bookworm/InRelease") }, false, "is not signed"},
		"package was changed": {func(t *testing.T, a *archiveServer) {
			path := poolPath("6.12.119-1~deb12u1")
			a.files[path] = append(a.files[path][:len(a.files[path])-1], 'x')
		}, false, "Hash Sum mismatch"},
		"package is gone":  {func(t *testing.T, a *archiveServer) { delete(a.files, poolPath("6.12.119-1~deb12u1")) }, false, "404"},
		"nothing is there": {func(t *testing.T, a *archiveServer) { clear(a.files) }, false, "does not have a Release file"},
		"nothing of our series": {func(t *testing.T, a *archiveServer) {
			a.index.Reset()
			a.add(t, "6.13.1-1")
			a.publish(t, key)
		}, false, "the archive has no linux-source-6.12 of series 6.12"},
		"pinned version with another hash": {func(t *testing.T, a *archiveServer) {
			a.index.Reset()
			a.add(t, version)
			a.publish(t, key)
		}, false, "one of the two was tampered with"},
		"no keys": {func(t *testing.T, a *archiveServer) { a.Keyring += ".none" }, false, "hint: apt-get install debian-archive-keyring"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, key)
			a.add(t, "6.12.119-1~deb12u1")
			a.publish(t, key)
			tc.change(t, a)
			s := openStore(t, t.TempDir())
			got, err := s.Fetch(t.Context(), aptRecipe(version, noise(100)), "source", Options{Strict: tc.strict, Archive: a.Archive})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Fetch = %+v, %v\nwant %q", got, err, tc.want)
			}
			if files, _ := filepath.Glob(filepath.Join(s.dir, "sha256", "*", "*")); files != nil {
				t.Errorf("the store has %v", files)
			}
			if notes, _ := filepath.Glob(filepath.Join(s.dir, "followed", "*")); notes != nil {
				t.Errorf("followed: %v", notes)
			}
		})
	}
}

// A suite that cannot be read, as when a mirror is not in step with itself,
// keeps nobody from a pinned file of another one. What is not pinned waits.
func TestPinnedBesideABrokenSuite(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	pinned := a.add(t, "6.12.117-1~deb12u1")
	a.publish(t, key)
	uri, _, _ := strings.Cut(a.Suites, " ")
	a.Suites += "\n" + uri + " bookworm-security main"
	s := openStore(t, t.TempDir())
	got, err := s.Fetch(t.Context(), aptRecipe("6.12.117-1~deb12u1", pinned), "source", Options{Strict: true, Archive: a.Archive})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, pinned)
	a.add(t, "6.12.119-1~deb12u1")
	a.publish(t, key)
	gone := aptRecipe("6.12.116-1~deb12u1", noise(100))
	_, err = openStore(t, t.TempDir()).Fetch(t.Context(), gone, "source", Options{Archive: a.Archive})
	if want := "bookworm-security Release' does not have a Release file"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Fetch of a pin that is gone: %v, want %q", err, want)
	}
}

// An index whose signature was good before may not be replaced by a bad one.
func TestTamperedUpdate(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	a.add(t, "6.12.119-1~deb12u1")
	a.publish(t, key)
	dir := t.TempDir()
	r := aptRecipe("6.12.117-1~deb12u1", noise(100))
	if _, err := openStore(t, dir).Fetch(t.Context(), r, "source", Options{Archive: a.Archive}); err != nil {
		t.Fatal(err)
	}
	a.add(t, "6.12.666-1")
	delete(a.files, "dists/bookworm/InRelease")
	a.publish(t, signer{})
	r.Files[0].SHA256 = pinFor("", []byte("another pin")).SHA256
	got, err := openStore(t, dir).Fetch(t.Context(), r, "source", Options{Archive: a.Archive})
	if err == nil || got.Followed {
		t.Errorf("Fetch = %+v, %v; want an error", got, err)
	}
}

func TestAptLeavesTheHostAlone(t *testing.T) {
	a := apt{dir: "/cache/dl/apt/amd64", arch: "amd64", from: "Packages"}
	got := a.sources(Archive{}.orDebian())
	want := `Types: deb
Architectures: amd64
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Targets: Packages
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`
	if !strings.Contains(got, want) || strings.Contains(strings.ToLower(got), "trusted") {
		t.Errorf("sources =\n%s", got)
	}
	s := openStore(t, t.TempDir())
	a.dir = filepath.Join(s.dir, "apt", "amd64")
	need(t, "apt-config")
	keyring := filepath.Join(t.TempDir(), "keys.gpg")
	if err := os.WriteFile(keyring, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.setUp(t.Context(), Archive{Keyring: keyring}.orDebian()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(a.dir, "apt.conf")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("apt.conf, which may have the password of a proxy, is %v, %v", info.Mode(), err)
	}
	// apt-config is the independent reader of our apt.conf.
	out, err := a.run(t.Context(), nil, "apt-config", "dump")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "Invoke") {
			t.Errorf("a hook of the host has a say: %s", line)
		}
	}
	for _, want := range []string{
		`Dir::State::lists "` + a.dir + `/lists";`, `Dir::Etc::sourceparts "/dev/null";`, `APT::Architectures:: "amd64";`,
		`APT::Get::AllowUnauthenticated "false";`, `Acquire::AllowInsecureRepositories "false";`,
	} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("apt.conf lacks %s", want)
		}
	}
	a.dir = `/tmp/a"b`
	if err := a.setUp(t.Context(), Archive{Keyring: keyring}.orDebian()); err == nil || !strings.Contains(err.Error(), "has a quote") {
		t.Errorf("setUp in %s = %v", a.dir, err)
	}
}

// TestArchiveAsNormalUser does the same without root's rights.
func TestArchiveAsNormalUser(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "root is needed to become another user")
	}
	need(t, "apt-get", "gpg")
	dir, err := os.MkdirTemp("", "tench-user")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program, home := filepath.Join(dir, "test"), filepath.Join(dir, "home")
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^(TestPinnedFromArchive|TestFollow)$", "-test.v")
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "TENCH_LAB=yes"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte("\n--- PASS")) != 2 {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

func TestAptInterrupted(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	a.publish(t, key)
	ctx, cancel := context.WithCancel(t.Context())
	s := openStore(t, t.TempDir())
	r := aptRecipe("6.12.117-1~deb12u1", noise(100))
	_, err := s.Fetch(ctx, r, "source", Options{Archive: a.Archive, Log: writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch = %v, want context.Canceled", err)
	}
	// An interrupted update is no update: the next try makes it.
	if _, err := s.Fetch(t.Context(), r, "source", Options{Archive: a.Archive, Strict: true}); err == nil || !strings.Contains(err.Error(), "Unable to locate package") {
		t.Errorf("Fetch = %v, want apt's word that there is no such version", err)
	}
}

func TestUpstream(t *testing.T) {
	for version, want := range map[string]string{
		"6.12.117-1~deb12u1": "6.12.117", "2.06-13+deb12u2": "2.06", "1:2.3-4-5": "2.3-4", "3.1": "3.1",
		"2:6.2.1+dfsg1-1.1": "6.2.1", "2023.01+dfsg-2+deb12u3": "2023.01", "5.9ds2-1": "5.9ds2",
	} {
		if got := upstream(version); got != want {
			t.Errorf("upstream(%s) = %s, want %s", version, got, want)
		}
	}
}
