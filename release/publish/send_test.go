package publish

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublishResumes(t *testing.T) {
	const size = 5*block + 123 // of a.img.zst
	good := content("r1", size)
	for name, tc := range map[string]struct {
		there map[string][]byte
		sent  int64 // of a.img.zst
	}{
		"nothing":           {nil, size},
		"less than a block": {map[string][]byte{"a.img.zst": good[:block-1]}, size},
		"its beginning":     {map[string][]byte{"a.img.zst": good[:3*block+9]}, size - 3*block},
		"another beginning": {map[string][]byte{"a.img.zst": content("x", 3*block)}, size},
		"a hole":            {map[string][]byte{"a.img.zst": append(make([]byte, block), good[block:3*block]...)}, size},
		"all":               {map[string][]byte{"a.img.zst": good}, 0},
		"all, but other":    {map[string][]byte{"a.img.zst": content("x", size)}, size},
		"more than it has":  {map[string][]byte{"a.img.zst": append(bytes.Clone(good), 'x')}, size},
		"a stranger":        {map[string][]byte{"b.img.zst": good}, size},
	} {
		t.Run(name, func(t *testing.T) {
			dir := treeDir(t)
			folder := filepath.Join(dir, partial("r1"))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for f, data := range tc.there {
				if err := os.WriteFile(filepath.Join(folder, f), data, 0o444); err != nil {
					t.Fatal(err)
				}
			}
			src := source(t, "r1")
			h := publish(t, &Tree{local{dir}}, src, 3)
			if want := tc.sent + src.Size() - size; h.sent != want {
				t.Errorf("%d bytes were sent, want %d", h.sent, want)
			}
			served(t, dir)
		})
	}
}

// A host that runs no programs has only the end of what is there read back
// before the file goes on: its beginning shows at the end.
func TestWrongBeginningIsSentAgain(t *testing.T) {
	dir := treeDir(t)
	folder := filepath.Join(dir, partial("r1"))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	there := append(make([]byte, block), content("r1", 3*block)[block:]...)
	if err := os.WriteFile(filepath.Join(folder, "a.img.zst"), there, 0o644); err != nil {
		t.Fatal(err)
	}
	h := publish(t, &Tree{sftpOnly{local{dir}}}, source(t, "r1"), 3)
	served(t, dir)
	if !strings.Contains(strings.Join(h.lines, "\n"), "what an earlier run sent is not right") {
		t.Errorf("no word of it:\n%s", strings.Join(h.lines, "\n"))
	}
}

// sftpOnly is a tree whose hashes come over the line.
type sftpOnly struct{ local }

func (sftpOnly) SumsThere() bool { return false }

func TestInterruptedRunGivesTheLockBack(t *testing.T) {
	dir := treeDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := options(&heard{})
	src := source(t, "r1")
	o.Report = stopper{cancel}
	err := (&Tree{local{dir}}).Publish(ctx, src, o)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want %v", err, context.Canceled)
	}
	if _, err := os.Lstat(filepath.Join(dir, lockLink)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock is still there: %v", err)
	}
}

// stopper is ctrl-C when the first bytes were sent.
type stopper struct{ cancel func() }

func (s stopper) Start(string, string)          {}
func (s stopper) Note(string, string)           {}
func (s stopper) Warn(string)                   {}
func (s stopper) Progress(int64, int64, string) { s.cancel() }
