package publish

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// hashers are the programs that print the SHA-256 of their input, first on the
// line: GNU's and busybox's, that of the BSDs, Perl's.
var hashers = []string{"sha256sum", "sha256", "shasum -a 256"}

var hashRE = regexp.MustCompile(`^[0-9a-f]{64}$`)

// findHasher looks for a program on the host that hashes, so that the bytes
// need not come back over the line. A host that lets us in for SFTP alone runs
// none, and that is fine.
func (r *overSSH) findHasher() {
	for _, h := range hashers {
		if sum, err := r.hash(context.Background(), h+" </dev/null", probeTime); err == nil && sum == sumBytes(nil) {
			r.hasher = h
			return
		}
	}
}

func (r *overSSH) SumsThere() bool { return r.hasher != "" }

func (r *overSSH) How() string {
	if r.hasher == "" {
		return "read back over SFTP"
	}
	return "by the host's " + r.hasher
}

// Sum has the host hash the file, or else reads it back.
func (r *overSSH) Sum(ctx context.Context, part span, moved func(int64)) (string, error) {
	if r.hasher != "" {
		sum, err := r.hash(ctx, sumCommand(r.path(part.name), r.hasher, part), 0)
		if err == nil {
			moved(part.to - part.from)
			return sum, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		// It has a shell that sees other files than SFTP does, e.g. outside of a
		// chroot, or none any more.
		r.hasher = ""
	}
	return r.readBack(ctx, part, moved)
}

// sumCommand prints the hash of part of a file. The login shell may be any: the
// line is for sh.
func sumCommand(path, hasher string, part span) string {
	file := quote(path)
	count := (part.to - part.from + block - 1) / block
	script := fmt.Sprintf("test -f %s && dd bs=%d skip=%d count=%d <%s 2>/dev/null | %s",
		file, block, part.from/block, count, file, hasher)
	return "exec sh -c " + quote(script)
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// hash runs a command on the host that prints a hash. Zero is no time limit.
func (r *overSSH) hash(ctx context.Context, command string, limit time.Duration) (string, error) {
	s, err := r.client.SSH().NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	if limit > 0 {
		defer time.AfterFunc(limit, func() { s.Close() }).Stop()
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	out, err := s.Output(command)
	if err != nil {
		return "", err
	}
	sum, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !hashRE.MatchString(sum) {
		return "", fmt.Errorf("%.80q is no hash", out)
	}
	return sum, nil
}
