package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tench/internal/syncfs"
)

// StepError is a step that failed.
type StepError struct {
	Step string
	Log  string   // path of its log; "" if it did not come so far
	Tail []string // the log's last lines, at most 20
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

func (e *StepError) Unwrap() error { return e.Err }

// Waiting is the unit that progress is given, with a total of 0, while another
// process builds the same product.
const Waiting = "waiting for another tench that builds the same"

// Run returns the step's product from the store, or builds it. The error is a
// *StepError. progress may be nil.
func (s *Store) Run(ctx context.Context, step Step, progress func(done, total int64, unit string)) (Product, error) {
	if progress == nil {
		progress = func(int64, int64, string) {}
	}
	began := s.now()
	p, err := s.run(ctx, step, progress)
	if err != nil {
		var failed *StepError
		if !errors.As(err, &failed) {
			failed = &StepError{Step: step.Name, Err: s.explainError(ctx, err)}
		}
		return Product{}, failed
	}
	p.Took = s.now().Sub(began)
	return p, nil
}

func (s *Store) run(ctx context.Context, step Step, progress func(done, total int64, unit string)) (Product, error) {
	if err := errors.Join(ctx.Err(), step.check()); err != nil {
		return Product{}, err
	}
	key := step.Key()
	unlock, err := s.lock(ctx, step.Name, key, func() { progress(0, 0, Waiting) })
	if err != nil {
		return Product{}, err
	}
	defer unlock()
	p, err := s.load(step.Name, key)
	if err == nil {
		p.Hit = true
		s.touch(s.productDir(step.Name, key))
		return p, nil
	}
	// It is not there, or damaged: either way it is built.
	return s.build(ctx, step, key, progress)
}

// touch notes that a product or a scratch folder is in use, for Prune.
func (s *Store) touch(dir string) {
	now := s.now()
	_ = os.Chtimes(dir, now, now)
}

// build makes the product in work/NAME/KEY.new and renames it when it is whole. The
// caller holds the lock of key.
func (s *Store) build(ctx context.Context, step Step, key string, progress func(done, total int64, unit string)) (Product, error) {
	began := spent{wall: s.now(), cpu: cpuTime()}
	scratch, final := s.workDir(step.Name, key), s.productDir(step.Name, key)
	tmp, logPath := scratch+".new", scratch+".log"
	for _, dir := range []string{tmp, final} { // an interrupted run's, a damaged one
		if err := RemoveAll(dir); err != nil {
			return Product{}, err
		}
	}
	for _, dir := range []string{scratch, filepath.Join(tmp, outName), filepath.Dir(final)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return Product{}, err
		}
	}
	defer RemoveAll(tmp)
	s.touch(scratch)
	log, err := os.Create(logPath)
	if err != nil {
		return Product{}, err
	}
	defer log.Close()
	work := Work{Out: filepath.Join(tmp, outName), Scratch: scratch, Log: log, Progress: progress}
	err = step.Build(ctx, work)
	if err == nil {
		// A build that overlooked the end of ctx may have done half of it.
		err = ctx.Err()
	}
	if err == nil {
		err = s.finish(step, key, tmp, log, began)
	}
	if err != nil {
		last := Tail(logPath)
		if s.full(err, last) {
			err = fmt.Errorf("%w: %w", err, syscall.ENOSPC)
		}
		return Product{}, &StepError{Step: step.Name, Log: logPath, Tail: last, Err: s.explainError(ctx, err)}
	}
	if err := commit(tmp, final); err != nil {
		return Product{}, err
	}
	// The product is safe: leftovers are only a waste of space, and Prune's.
	_ = RemoveAll(scratch)
	_ = os.Remove(logPath)
	s.touch(final)
	return s.load(step.Name, key)
}

// spent is what clock and processor said when a step began.
type spent struct {
	wall time.Time
	cpu  time.Duration
}

// cpuTime is the processor time of this process and the programs that it has
// waited for. A machine's load does not change it, so that builds of different
// hours can be compared; steps run one after the other.
func cpuTime() time.Duration {
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}

// finish writes step.json and the log beside the product's files.
func (s *Store) finish(step Step, key, tmp string, log *os.File, began spent) error {
	files, err := listFiles(filepath.Join(tmp, outName))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("the step left no files")
	}
	r := record{
		Step: step.Name, Key: key, Took: s.now().Sub(began.wall).Seconds(), CPU: (cpuTime() - began.cpu).Seconds(),
		Inputs: step.inputs(), Files: files,
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, recordName), append(data, '\n'), 0o644); err != nil {
		return err
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tmp, logName), text, 0o644)
}

// commit makes the finished folder tmp the product final: first its content
// reaches the disk, then its name.
func commit(tmp, final string) error {
	parent, err := os.Open(filepath.Dir(final))
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := syncfs.Sync(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return parent.Sync()
}

// explainError adds what the operator can do, and says that a step was
// interrupted whatever the tools it had running made of it.
func (s *Store) explainError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%w (%v)", ctx.Err(), err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w\nhint: free some space for %s, or set TENCH_CACHE to a folder on a larger disk", err, s.dir)
	}
	return err
}

// full reports whether err comes from a tool that ran out of space, of which we
// only get the exit status. The tool says so in the log, if there was space for
// that, and removes what it was writing.
func (s *Store) full(err error, log []string) bool {
	const little = 1 << 20 // bytes
	var exit *exec.ExitError
	if !errors.As(err, &exit) || errors.Is(err, syscall.ENOSPC) {
		return false
	}
	said := strings.ToLower(strings.Join(log, "\n"))
	var fs unix.Statfs_t
	return strings.Contains(said, syscall.ENOSPC.Error()) ||
		unix.Statfs(s.dir, &fs) == nil && fs.Bavail*uint64(fs.Bsize) < little
}

// Tail returns the last lines of the log at path, 20 at most and those of its last
// 64 KiB.
func Tail(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 1<<16 {
		_, _ = f.Seek(-1<<16, io.SeekEnd)
	}
	data, _ := io.ReadAll(f)
	data = bytes.TrimRight(data, "\n")
	if len(data) == 0 {
		return nil
	}
	lines := strings.Split(string(data), "\n")
	return lines[max(0, len(lines)-20):]
}
