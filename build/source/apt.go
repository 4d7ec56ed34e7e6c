package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"tench/release"
)

// Archive is a Debian archive and the keys that sign it. The zero value is
// Debian 12's main archive with its updates and security updates.
type Archive struct {
	Suites  string // lines of "URI SUITE COMPONENT", e.g. "http://deb.debian.org/debian bookworm main"
	Keyring string // file with the only keys that may sign its indexes; apt allows no spaces in its path
}

// Plain http is Debian's default: apt verifies the signed indexes, and with
// them each file.
const debianSuites = `http://deb.debian.org/debian bookworm main
http://deb.debian.org/debian bookworm-updates main
http://deb.debian.org/debian-security bookworm-security main`

const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

func (a Archive) orDebian() Archive {
	if a.Suites == "" {
		a.Suites = debianSuites
	}
	if a.Keyring == "" {
		a.Keyring = debianKeyring
	}
	return a
}

// apt is a private apt: its own lists, caches, sources and settings below dir,
// nothing of /etc/apt but the way to the network.
type apt struct {
	dir  string
	arch string // Debian architecture of the packages, not of the host
	from string // kind of index: "Packages", or "Sources" for source packages
	old  error  // why some of its lists may be those of an earlier day; nil: none is
}

// sourceArch stands for an architecture where source packages are meant, as it
// does in Debian's own files.
const sourceArch = "source"

// anyArch is the architecture whose index is read for packages that have none;
// every index lists them.
const anyArch = "amd64"

// fromArchive downloads the package with apt-get and adopts it.
func (s *Store) fromArchive(ctx context.Context, pkg release.DebianPackage, p pin, o Options) error {
	a, unlock, err := s.openOldApt(ctx, pkg.Arch, o)
	if err != nil {
		return err
	}
	defer unlock()
	return s.aptDownload(ctx, a, pkg, p, o)
}

// openApt sets up the private apt for an architecture, with lists that this
// process has fetched, and keeps other processes out of it.
func (s *Store) openApt(ctx context.Context, arch string, o Options) (apt, func(), error) {
	a, unlock, err := s.openOldApt(ctx, arch, o)
	if err == nil && a.old != nil {
		unlock()
		err = a.old
	}
	return a, unlock, err
}

// openOldApt is openApt where lists of an earlier day will do, and those of the
// suites that could be read: for pinned files, whose hash is known. A mirror
// whose index and Release file do not match for a day stops nobody so.
func (s *Store) openOldApt(ctx context.Context, arch string, o Options) (apt, func(), error) {
	archive := o.Archive.orDebian()
	if arch == "all" {
		arch = anyArch
	}
	a := apt{dir: filepath.Join(s.dir, "apt", arch), arch: arch, from: "Packages"}
	if arch == sourceArch {
		a.arch, a.from = anyArch, "Sources"
	}
	unlock, err := s.lock(ctx, filepath.Join("apt", arch), o)
	if err != nil {
		return apt{}, nil, err
	}
	err = s.update(ctx, a, archive, o)
	if old := (oldLists{}); errors.As(err, &old) && ctx.Err() == nil {
		a.old, err = old, nil
	}
	if err != nil {
		unlock()
		return apt{}, nil, err
	}
	return a, unlock, nil
}

// oldLists is the error of an apt-get update that did not get all of the lists:
// apt keeps those that it had.
type oldLists struct{ error }

func (o oldLists) Unwrap() error { return o.error }

// update fetches the archive's lists, once in the life of the store: an error
// is remembered as well, so that a machine without the network does not wait
// for it again and again.
func (s *Store) update(ctx context.Context, a apt, archive Archive, o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := Archive{a.dir + "\n" + archive.Suites, archive.Keyring}
	if err, done := s.updated[id]; done {
		return err
	}
	err := a.setUp(ctx, archive)
	if err == nil {
		o.logf("reading the archive's package lists (%s)", filepath.Base(a.dir))
		if _, err = a.run(ctx, nil, "apt-get", "update"); err != nil {
			err = oldLists{err}
		}
	}
	if ctx.Err() == nil {
		s.updated[id] = err
	}
	return err
}

// setUp writes the private configuration.
func (a apt) setUp(ctx context.Context, archive Archive) error {
	if strings.ContainsAny(a.dir, "\"\n") {
		return fmt.Errorf("apt: the cache folder %q has a quote or line end in its name, which apt.conf cannot hold", a.dir)
	}
	if _, err := os.Stat(archive.Keyring); err != nil {
		return fmt.Errorf("apt: read archive keys: %w\nhint: apt-get install debian-archive-keyring", err)
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "download"} {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o755); err != nil {
			return fmt.Errorf("apt: %w", err)
		}
	}
	network, err := hostNetwork(ctx)
	if err != nil {
		return err
	}
	files := map[string]string{
		"status":         "", // nothing is installed here: only the archive counts
		"apt.conf":       fmt.Sprintf(aptConf, a.dir, a.arch) + network,
		"tench.sources":  a.sources(archive),
		"empty.apt.conf": "",
	}
	for name, text := range files {
		// A proxy of the host may have a password.
		if err := renameio.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("apt: %w", err)
		}
	}
	return nil
}

// aptConf replaces every setting of the host (apt.conf(5)): its hooks, sources
// and preferences have no say, and no index is taken that is not signed.
const aptConf = `Dir::Etc::main "%[1]s/empty.apt.conf";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "%[1]s/tench.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "%[1]s";
Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
`

// sources is the sources.list(5) of the archive, in its deb822 style, which
// can hold any path.
func (a apt) sources(archive Archive) string {
	var b strings.Builder
	for line := range strings.Lines(archive.Suites) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		types := "deb\nArchitectures: " + a.arch
		if a.from == "Sources" {
			types = "deb-src"
		}
		fmt.Fprintf(&b, "Types: %s\nURIs: %s\nSuites: %s\nComponents: %s\nTargets: %s\nSigned-By: %s\n\n",
			types, fields[0], fields[1], strings.Join(fields[2:], " "), a.from, archive.Keyring)
	}
	return b.String()
}

// hostNetwork returns the host's own settings of how its archive is reached:
// proxies, and whether the dates of indexes are to be believed.
func hostNetwork(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("apt: there is no apt on this machine")
	}
	if err != nil {
		return "", fmt.Errorf("apt: read the host's settings: %w", err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		for _, prefix := range []string{"Acquire::http::", "Acquire::https::", "Acquire::Check-"} {
			if strings.HasPrefix(line, prefix) {
				b.WriteString(line)
			}
		}
	}
	return b.String(), nil
}

// run runs one of apt's programs in dir/download and returns its output. Its
// status lines go to status, where that is not nil.
func (a apt) run(ctx context.Context, status *os.File, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join(a.dir, "download")
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	// apt ends its transfers and keeps what is there when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if status != nil {
		cmd.ExtraFiles = []*os.File{status}
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w%s", name, args[0], err, complaints(stderr.String()))
		if a.old != nil {
			err = fmt.Errorf("%w\n%w", err, a.old)
		}
		return nil, err
	}
	return stdout.Bytes(), nil
}

// complaints are the warnings and errors in apt's output, one a line.
func complaints(stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: ") {
			b.WriteString("\n" + strings.TrimSpace(line))
		}
	}
	return b.String()
}

// aptDownload fetches one version of a package and adopts it if it is what p
// says. apt finds it in its verified index; we download it from there, because
// apt-get download begins anew after an interruption. Where we do not get it,
// for instance behind a proxy that only apt knows, apt does.
func (s *Store) aptDownload(ctx context.Context, a apt, pkg release.DebianPackage, p pin, o Options) error {
	name := pkg.Package + "=" + pkg.Version
	out, err := a.run(ctx, nil, "apt-get", "download", "--print-uris", name)
	if err != nil {
		return err
	}
	// 'URI' FILE SIZE HASH
	uri, _, _ := strings.Cut(strings.TrimPrefix(string(out), "'"), "' ")
	if strings.HasPrefix(uri, "http:") || strings.HasPrefix(uri, "https:") {
		err := s.fromURL(ctx, uri, p, locationOf(pkg), o)
		if err == nil || ctx.Err() != nil || isFull(err) {
			return err
		}
		o.logf("%s: not from %s: %v: trying with apt", p.Name, uri, err)
	}
	if err := s.aptGet(ctx, a, p, o, "download", name); err != nil {
		return err
	}
	// apt writes an epoch's colon as %3a; the rest of the name is ours.
	file := pkg.Package + "_" + strings.ReplaceAll(pkg.Version, ":", "%3a") + "_" + pkg.Arch + ".deb"
	return s.adopt(ctx, filepath.Join(a.dir, "download", file), p, locationOf(pkg))
}

// locationOf is how a package is named as the origin of a file.
func locationOf(pkg release.DebianPackage) string {
	return release.Location{Debian: &pkg}.String()
}

// aptGet runs apt-get with args, which download to dir/download, and shows how
// far it is with the file of p.
func (s *Store) aptGet(ctx context.Context, a apt, p pin, o Options, args ...string) error {
	status, w, err := os.Pipe()
	if err != nil {
		return err
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		readStatus(status, func(percent float64) { o.bytes(int64(percent/100*float64(p.Size)), p.Size) })
	}()
	_, err = a.run(ctx, w, "apt-get", append(args, "-o", "APT::Status-Fd=3")...)
	w.Close()
	<-finished
	status.Close()
	if err != nil && strings.Contains(err.Error(), "No space left on device") {
		return fmt.Errorf("%w: %w", err, syscall.ENOSPC)
	}
	return err
}

// readStatus reads the lines `dlstatus:FILE:PERCENT:TEXT` that apt writes to
// APT::Status-Fd, to the end.
func readStatus(r io.Reader, tell func(percent float64)) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 4)
		if len(fields) != 4 || fields[0] != "dlstatus" {
			continue
		}
		if percent, err := strconv.ParseFloat(fields[2], 64); err == nil {
			tell(percent)
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line too long, so that apt does not block
}
