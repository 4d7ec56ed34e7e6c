package source

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/release"
)

// upstreamRepo is a bare repository of the tests.
type upstreamRepo struct{ dir string }

// newRepo makes a repository with the commits and tags of a small project.
func newRepo(t *testing.T) upstreamRepo {
	t.Helper()
	need(t, "git")
	work, bare := filepath.Join(t.TempDir(), "work"), filepath.Join(t.TempDir(), "x.git")
	for _, args := range [][]string{{"init", "-q", "-b", "main", work}, {"init", "-q", "--bare", bare}} {
		gitAs(t, "/", args...)
	}
	for _, v := range []string{"6.12.9", "6.12.117", "6.12.118", "6.13.1"} {
		if err := os.WriteFile(filepath.Join(work, "version"), []byte(v+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		gitAs(t, work, "add", "-A")
		gitAs(t, work, "commit", "-q", "-m", v)
		gitAs(t, work, "tag", "-a", "-m", v, "v"+v) // an object of its own
	}
	gitAs(t, work, "tag", "v6.12.200-rc1")
	gitAs(t, work, "tag", "v6_12_300")
	gitAs(t, work, "push", "-q", "--tags", bare)
	return upstreamRepo{bare}
}

func gitAs(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(bytes.TrimSpace(out))
}

// tag is the location of a version, and the archive that git itself makes of it.
func (u upstreamRepo) tag(t *testing.T, version string) (release.GitTag, []byte) {
	t.Helper()
	commit := gitAs(t, u.dir, "rev-parse", "v"+version+"^{commit}")
	path := filepath.Join(t.TempDir(), "archive.tar")
	gitAs(t, u.dir, "archive", "--format=tar", "--prefix=linux-6.12.117/", "--output="+path, commit)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return release.GitTag{Repository: u.dir, Tag: "v" + version, Commit: commit}, data
}

func TestGitTag(t *testing.T) {
	repo := newRepo(t)
	pinned, data := repo.tag(t, "6.12.117")
	other, _ := repo.tag(t, "6.12.118")
	for name, tc := range map[string]struct {
		change func(g *release.GitTag, f *release.File)
		err    string
	}{
		"a folder":   {func(*release.GitTag, *release.File) {}, ""},
		"an address": {func(g *release.GitTag, _ *release.File) { g.Repository = "file://" + repo.dir }, ""},
		"below the recipe": {func(g *release.GitTag, _ *release.File) {
			g.Repository = "../" + filepath.Base(repo.dir)
		}, ""},
		"tag was moved": {func(g *release.GitTag, _ *release.File) { g.Commit = other.Commit },
			"the tag v6.12.117 points at commit " + pinned.Commit + ", the recipe says " + other.Commit},
		"no such tag":        {func(g *release.GitTag, _ *release.File) { g.Tag = "v6.12.116" }, "couldn't find remote ref refs/tags/v6.12.116"},
		"no such repository": {func(g *release.GitTag, _ *release.File) { g.Repository += ".none" }, "does not appear to be a git repository"},
		"another size":       {func(_ *release.GitTag, f *release.File) { f.Size-- }, "it has more than"},
		"another hash": {func(_ *release.GitTag, f *release.File) { f.SHA256 = strings.Repeat("0", 64) },
			"its SHA-256 is " + pinFor("", data).SHA256 + ", not 000"},
	} {
		t.Run(name, func(t *testing.T) {
			g := pinned
			f := fileFor("linux-6.12.117.tar", data, release.Location{Git: &g})
			tc.change(&g, &f)
			r := recipe(f)
			r.Dir = filepath.Join(filepath.Dir(repo.dir), "linux")
			s := openStore(t, t.TempDir())
			got, err := s.Fetch(t.Context(), r, "source", Options{Strict: true})
			if left, _ := filepath.Glob(filepath.Join(s.dir, "partial", "*.git")); left != nil {
				t.Errorf("left behind: %v", left)
			}
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Fetch = %v\nwant %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantContent(t, got.Path, data)
			tree := filepath.Join(t.TempDir(), "tree")
			if err := Unpack(t.Context(), got, tree, Options{}); err != nil {
				t.Fatal(err)
			}
			wantContent(t, filepath.Join(tree, "version"), []byte("6.12.117\n"))
		})
	}
}

// What a user has configured for git changes neither the archive's bytes nor
// runs anything.
func TestGitIsNotTheUsers(t *testing.T) {
	repo := newRepo(t)
	g, data := repo.tag(t, "6.12.117")
	home := t.TempDir()
	ran := filepath.Join(home, "ran")
	config := "[tar]\n\tumask = 0077\n[core]\n\tautocrlf = true\n\thooksPath = " + home + "\n\tattributesFile = " + home + "/attributes\n" +
		"\tfsmonitor = touch " + ran + "\n[init]\n\ttemplateDir = " + home + "\n[url \"/nowhere\"]\n\tinsteadOf = " + repo.dir + "\n"
	for name, text := range map[string]string{".gitconfig": config, "attributes": "version export-ignore\n", "reference-transaction": "#!/bin/sh\ntouch " + ran + "\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, ".gitconfig"))
	t.Setenv("GIT_DIR", home)
	t.Setenv("GIT_TEMPLATE_DIR", home)
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "tar.umask")
	t.Setenv("GIT_CONFIG_VALUE_0", "0077")
	s := openStore(t, t.TempDir())
	got, err := s.Fetch(t.Context(), recipe(fileFor("a.tar", data, release.Location{Git: &g})), "source", Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, data)
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Error("a hook of the user ran")
	}
}

// The folder for temporary files is everybody's: what looks like a repository
// there has no say in where tags are asked for.
func TestNewerTagTakesNobodysSettings(t *testing.T) {
	repo := newRepo(t)
	g, _ := repo.tag(t, "6.12.9")
	trap := t.TempDir()
	gitAs(t, trap, "init", "-q", "--bare", trap)
	gitAs(t, trap, "config", "url./nowhere.insteadOf", repo.dir)
	t.Setenv("TMPDIR", trap)
	r := recipe(fileFor("a.tar", []byte("a"), release.Location{Git: &g}))
	r.Version = "6.12.9"
	got := openStore(t, t.TempDir()).Newer(t.Context(), r, "source", Options{})
	if diff := cmp.Diff([]Candidate{{Location: release.Location{Git: &g}, Version: "6.12.118"}}, got); diff != "" {
		t.Errorf("Newer (-want +got)\n%s", diff)
	}
}

func TestNewerTag(t *testing.T) {
	repo := newRepo(t)
	for pinned, want := range map[string]string{"6.12.9": "6.12.118", "6.12.118": "6.13.1", "6.13.1": ""} {
		g, _ := repo.tag(t, pinned)
		r := recipe(fileFor("a.tar", []byte("a"), release.Location{Git: &g}))
		r.Version = pinned
		r.Series = pinned[:strings.LastIndex(pinned, ".")]
		got := openStore(t, t.TempDir()).Newer(t.Context(), r, "source", Options{})
		if diff := cmp.Diff([]Candidate{{Location: release.Location{Git: &g}, Version: want}}, got); diff != "" {
			t.Errorf("Newer than %s (-want +got)\n%s", pinned, diff)
		}
	}
	none := release.GitTag{Repository: filepath.Join(t.TempDir(), "none"), Tag: "v6.12.117"}
	got := openStore(t, t.TempDir()).Newer(t.Context(), recipe(fileFor("a.tar", []byte("a"), release.Location{Git: &none})), "source", Options{})
	if len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), "does not appear to be a git repository") {
		t.Errorf("Newer of no repository = %+v", got)
	}
}
