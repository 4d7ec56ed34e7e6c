package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tench/release"
)

// fromGit fetches a tag's commit, and nothing else of the repository, and adopts
// the tar archive of it. The same commit always makes the same archive, so that
// its hash can be pinned.
func (s *Store) fromGit(ctx context.Context, r release.Recipe, g release.GitTag, p pin, o Options) error {
	dir := s.partial(p) + ".git"
	if err := os.RemoveAll(dir); err != nil { // an interrupted run's
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	repo := git{dir: dir, from: repository(r, g)}
	if err := repo.fetch(ctx, g); err != nil {
		return err
	}
	tar := filepath.Join(dir, "archive.tar")
	out, err := os.Create(tar)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := repo.command(ctx, "archive", "--format=tar", "--prefix="+r.Name+"-"+r.Version+"/", g.Commit)
	cmd.Stdout = &limitWriter{w: out, limit: p.Size, tell: func(n int64) { o.bytes(n, p.Size) }}
	if err := repo.run(ctx, cmd); err != nil {
		return err
	}
	return s.adopt(ctx, tar, p, release.Location{Git: &g}.String())
}

// repository is the repository's address, or its folder.
func repository(r release.Recipe, g release.GitTag) string {
	if g.Local() {
		return r.At(g.Repository)
	}
	return g.Repository
}

// git runs git(1) with a bare repository in dir.
type git struct {
	dir  string
	from string // the repository that is asked
}

// fetch gets the commit that a tag points at, if it is the one that is wanted.
func (g git) fetch(ctx context.Context, want release.GitTag) error {
	// The empty template has no hooks and no attributes.
	if err := g.run(ctx, g.command(ctx, "init", "--quiet", "--bare", "--template=", g.dir)); err != nil {
		return err
	}
	ref := "refs/tags/" + want.Tag
	err := g.run(ctx, g.command(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", g.from, ref+":"+ref))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := g.command(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	cmd.Stdout = &out
	if err := g.run(ctx, cmd); err != nil {
		return err
	}
	if got := strings.TrimSpace(out.String()); got != want.Commit {
		return fmt.Errorf("the tag %s points at commit %s, the recipe says %s: it was moved", want.Tag, got, want.Commit)
	}
	return nil
}

// tags lists the repository's tags.
func (g git) tags(ctx context.Context) ([]string, error) {
	var out bytes.Buffer
	cmd := g.command(ctx, "ls-remote", "--tags", "--refs", "--quiet", "--end-of-options", g.from)
	cmd.Stdout = &limitWriter{w: &out, limit: maxListing, tell: func(int64) {}}
	if err := g.run(ctx, cmd); err != nil {
		return nil, err
	}
	return tagsOf(out.String()), nil
}

// tagsOf reads git-ls-remote(1)'s lines of "COMMIT\trefs/tags/TAG".
func tagsOf(listing string) []string {
	var tags []string
	for line := range strings.Lines(listing) {
		if _, tag, ok := strings.Cut(strings.TrimRight(line, "\n"), "\trefs/tags/"); ok && tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// command prepares a run of git that nobody's configuration, hooks, attributes
// or credentials have a say in. The settings given here are those that an
// archive's bytes depend on.
func (g git) command(ctx context.Context, args ...string) *exec.Cmd {
	settings := []string{"-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null", "-c", "core.abbrev=40",
		"-c", "core.autocrlf=false", "-c", "tar.umask=0002", "-c", "gc.auto=0", "-c", "credential.helper=",
		"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30"}
	cmd := exec.CommandContext(ctx, "git", append(settings, args...)...)
	cmd.Dir = g.dir
	scheme, _, remote := strings.Cut(g.from, "://")
	if !remote {
		scheme = "file"
	}
	cmd.Env = []string{
		"LC_ALL=C", "HOME=" + g.dir, "GIT_DIR=" + g.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=" + scheme, // no redirection to anything else
	}
	// The way to the network is the machine's.
	for _, name := range []string{"PATH", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its helpers
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a command of git; its error has what git said.
func (g git) run(ctx context.Context, cmd *exec.Cmd) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("git: there is no git on this machine\nhint: apt-get install git")
	}
	if out, ok := cmd.Stdout.(*limitWriter); ok && out.err != nil {
		return out.err
	}
	said := strings.TrimSpace(stderr.String())
	if said == "" {
		said = err.Error()
	}
	if strings.Contains(said, "No space left on device") {
		return fmt.Errorf("git: %s: %w", said, syscall.ENOSPC)
	}
	return fmt.Errorf("git: ask %s: %s", g.from, said)
}

// limitWriter passes on what is within the limit, and ends at more.
type limitWriter struct {
	w     io.Writer
	limit int64 // bytes
	done  int64
	tell  func(done int64)
	err   error // why it ended
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if l.err == nil && l.done+int64(len(p)) > l.limit {
		l.err = &mismatch{fmt.Sprintf("it has more than %d bytes", l.limit)}
	}
	if l.err != nil {
		return 0, l.err
	}
	var n int
	n, l.err = l.w.Write(p)
	l.done += int64(n)
	l.tell(l.done)
	return n, l.err
}
