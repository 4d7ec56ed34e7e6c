package imagediff

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// isExt4 looks for the magic number in the super block.
func isExt4(r *io.SectionReader) bool {
	magic := make([]byte, 2)
	_, err := r.ReadAt(magic, 1024+56)
	return err == nil && binary.LittleEndian.Uint16(magic) == 0xEF53
}

// ext4 reads a file system with debugfs, which writes nothing unless asked.
type ext4 struct {
	ctx   context.Context
	image *os.File
	start int64 // of the partition
	tree  tree
	seen  map[string]bool // inodes of folders
}

func ext4Tree(ctx context.Context, image *os.File, p partition) (tree, error) {
	e := &ext4{ctx: ctx, image: image, start: p.start, tree: tree{}, seen: map[string]bool{}}
	const rootInode = "2"
	if err := e.folder("", rootInode); err != nil {
		return nil, fmt.Errorf("ext4: %w", err)
	}
	return e.tree, nil
}

// folder lists the folder with the given inode and those below it.
func (e *ext4) folder(dir, inode string) error {
	if e.seen[inode] {
		return fmt.Errorf("folder /%s is in a ring", dir)
	}
	e.seen[inode] = true
	const most = 16 << 20
	out, err := e.debugfs("ls -p <"+inode+">", most)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		// "/12/100644/0/0/name/5/": inode, mode, owner, group, name, size; a
		// name with a line end or a slash does not have these parts.
		part := strings.Split(strings.TrimRight(line, "\n"), "/")
		if len(part) == 1 && part[0] == "" {
			continue
		}
		if len(part) != 8 {
			return fmt.Errorf("debugfs lists %.80q", line)
		}
		if name := part[5]; name != "." && name != ".." && part[1] != "0" {
			if err := e.entry(dir+name, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *ext4) entry(path string, part []string) error {
	mode, err := strconv.ParseUint(part[2], 8, 16)
	if err != nil {
		return fmt.Errorf("/%s: debugfs shows the mode %.20q", path, part[2])
	}
	if err := e.tree.room(path); err != nil {
		return err
	}
	inode := part[1]
	about := fmt.Sprintf("mode %06o, owner %s:%s", mode, part[3], part[4])
	const kind, isFolder, isFile, isLink = 0o170000, 0o040000, 0o100000, 0o120000
	switch mode & kind {
	case isFolder:
		e.tree[path] = entry{about: about}
		return e.folder(path+"/", inode)
	case isFile, isLink:
		size, err := strconv.ParseInt(part[6], 10, 64)
		if err != nil {
			return fmt.Errorf("/%s: debugfs shows the size %.20q", path, part[6])
		}
		e.tree[path] = entry{about: about, size: size, read: func() ([]byte, error) {
			return e.debugfs("cat <"+inode+">", maxFile)
		}}
	default:
		e.tree[path] = entry{about: about}
	}
	return nil
}

// debugfs runs one command on the file system and returns at most limit bytes
// of its answer; more are an error.
func (e *ext4) debugfs(command string, limit int64) ([]byte, error) {
	file, err := findDebugfs()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	// The image is the child's file 3, whatever it is called.
	cmd := exec.CommandContext(ctx, file, "-R", command, fmt.Sprintf("/proc/self/fd/3?offset=%d", e.start))
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "DEBUGFS_PAGER=cat"}
	cmd.ExtraFiles = []*os.File{e.image}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	out, readErr := io.ReadAll(io.LimitReader(pipe, limit+1))
	if int64(len(out)) > limit {
		cancel()
		readErr = fmt.Errorf("%s: more than %d bytes", command, limit)
	}
	waitErr := cmd.Wait()
	// debugfs ends with 0 whatever happened; its banner is all it may say.
	_, words, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n")
	if words != "" {
		waitErr = errors.New("debugfs: " + words)
	}
	return out, errors.Join(readErr, waitErr)
}

// findDebugfs looks also where Debian keeps programs of root.
func findDebugfs() (string, error) {
	for _, name := range []string{"debugfs", "/usr/sbin/debugfs", "/sbin/debugfs"} {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", errors.New("debugfs: not found\nhint: apt-get install e2fsprogs")
}
