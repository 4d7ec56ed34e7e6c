package disk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"tench/boards"
)

// DataFile is a file or, with fs.ModeDir, a folder of the data partition. All
// belong to root.
type DataFile struct {
	Path    string // slash-separated below the root of p4, e.g. "config/1/router.toml"
	Mode    fs.FileMode
	Content []byte
}

// DataLabel is the label of the data partition's file system.
const DataLabel = "TENCH_DATA"

// IdentityDir is the folder of the data partition that has the box's identity.
const IdentityDir = "identity"

// NewBox lists the files of the data partition of a box that has never run:
// router.toml as its first generation, and the folders that it works with.
func NewBox(router []byte) []DataFile {
	const folder = fs.ModeDir | 0o700
	return []DataFile{
		{Path: "config", Mode: folder},
		{Path: "config/current", Mode: 0o600, Content: []byte("1\n")},
		{Path: "config/1", Mode: folder},
		{Path: "config/1/router.toml", Mode: 0o600, Content: router},
		{Path: IdentityDir, Mode: folder},
		{Path: "state", Mode: folder},
	}
}

var dataPathRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)

// mke2fsConf stands in for the machine's /etc/mke2fs.conf, so that the image is
// not made of its settings. 4 KiB blocks suit flash.
const mke2fsConf = `[defaults]
	base_features = sparse_super,large_file,filetype,dir_index,ext_attr
	blocksize = 4096
	inode_size = 256
	inode_ratio = 16384
	default_mntopts = acl,user_xattr
	enable_periodic_fsck = 0
[fs_types]
	ext4 = {
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
	}
	small = {
		inode_ratio = 16384
	}
`

// journalMiB is the size of the journal, mke2fs' least for 4 KiB blocks.
const journalMiB = 4

// Data writes p4, an ext4 file system with files, to out. The words of the ext4
// tools go to log. Folders on the way to a file are made with mode 0755.
//
// The files are put in by debugfs, which gives them no owner, times or extended
// attributes of this machine, as mke2fs -d would.
func Data(ctx context.Context, b boards.Board, files []DataFile, id Identity, out string, log io.Writer) error {
	if err := writeData(ctx, b, files, ext4{id: id, log: log}, out); err != nil {
		return fmt.Errorf("disk: make data partition %s: %w", out, hinted(err))
	}
	return nil
}

// ext4 makes one file system.
type ext4 struct {
	dir string // scratch folder
	id  Identity
	log io.Writer
}

func writeData(ctx context.Context, b boards.Board, files []DataFile, e ext4, out string) error {
	if err := e.id.check(); err != nil {
		return err
	}
	if err := checkData(b, files); err != nil {
		return err
	}
	// The tools run in the scratch folder, so the image needs its full path.
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if e.dir, err = os.MkdirTemp(filepath.Dir(out), ".data-*"); err != nil {
		return err
	}
	defer os.RemoveAll(e.dir)
	f, err := newFile(out, int64(b.Layout.DataMiB)*mib)
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := e.format(ctx, f.Name()); err != nil {
		return err
	}
	if err := e.fill(ctx, f.Name(), files); err != nil {
		return err
	}
	if _, err := e.run(ctx, "e2fsck", "-f", "-n", f.Name()); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// checkData refuses names that debugfs would misread and content that does not
// fit: each file takes whole blocks, and an eighth is left to ext4's tables.
func checkData(b boards.Board, files []DataFile) error {
	const block = 4096
	need := int64(0)
	for _, f := range files {
		if !dataPathRE.MatchString(f.Path) {
			return fmt.Errorf("file %q: names are made of letters, digits and . _ -, parted by single slashes", f.Path)
		}
		need += (int64(len(f.Content))/block + 2) * block
	}
	needMiB := (need+need/7)/mib + 2 + journalMiB
	if needMiB > int64(b.Layout.DataMiB) {
		return fmt.Errorf("the files need %d MiB, but layout.data-mib is %d\nhint: set layout.data-mib in board.toml to %d or more",
			needMiB, b.Layout.DataMiB, needMiB)
	}
	return nil
}

func (e ext4) format(ctx context.Context, image string) error {
	if err := os.WriteFile(filepath.Join(e.dir, "mke2fs.conf"), []byte(mke2fsConf), 0o600); err != nil {
		return err
	}
	// A fresh file is all zeros, so nothing needs to be zeroed now, nor by the
	// kernel after the first mount.
	options := "hash_seed=" + e.id.uuid("p4 hash seed") +
		",root_owner=0:0,nodiscard,lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1"
	_, err := e.run(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-L", DataLabel, "-U", e.id.uuid("p4"),
		"-J", fmt.Sprintf("size=%d", journalMiB), "-E", options, image)
	return err
}

// fill puts the files in with a debugfs script.
func (e ext4) fill(ctx context.Context, image string, files []DataFile) error {
	var script bytes.Buffer
	made := map[string]bool{".": true}
	var mkdir func(dir string)
	mkdir = func(dir string) {
		if !made[dir] {
			mkdir(path.Dir(dir))
			made[dir] = true
			fmt.Fprintf(&script, "mkdir /%s\n", dir)
		}
	}
	for i, f := range files {
		kind := 0o100000 // S_IFREG
		if f.Mode.IsDir() {
			kind = 0o040000 // S_IFDIR
			mkdir(f.Path)
		} else {
			mkdir(path.Dir(f.Path))
			content := fmt.Sprintf("file%d", i)
			if err := os.WriteFile(filepath.Join(e.dir, content), f.Content, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(&script, "write %s /%s\n", content, f.Path)
		}
		fmt.Fprintf(&script, "set_inode_field /%s mode 0%o\n", f.Path, kind|int(f.Mode.Perm()))
	}
	if err := os.WriteFile(filepath.Join(e.dir, "script"), script.Bytes(), 0o600); err != nil {
		return err
	}
	complaints, err := e.run(ctx, "debugfs", "-w", "-f", "script", image)
	if err != nil {
		return err
	}
	// debugfs ends with 0 whatever happened; its banner is all it may say.
	if _, more, _ := strings.Cut(complaints, "\n"); more != "" {
		return fmt.Errorf("debugfs: %s", strings.TrimSpace(more))
	}
	return nil
}

// run runs one of the ext4 tools in the scratch folder and returns what it
// wrote to standard error. Its clock stands at the epoch.
func (e ext4) run(ctx context.Context, program string, args ...string) (string, error) {
	file, err := findTool(program)
	if err != nil {
		return "", err
	}
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Dir = e.dir
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "MKE2FS_CONFIG=mke2fs.conf",
		fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", e.id.Epoch.Unix())}
	cmd.Stdout = e.log
	cmd.Stderr = io.MultiWriter(e.log, &complaints)
	fmt.Fprintln(e.log, cmd)
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return complaints.String(), nil
}

// findTool looks for an ext4 tool. Debian keeps them in /usr/sbin, which is not
// in everybody's PATH.
func findTool(program string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program, "/sbin/" + program} {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: not found\nhint: apt-get install e2fsprogs", program)
}

// ReadData reads a file of the data partition that begins at an offset of image,
// e.g. "config/1/router.toml".
func ReadData(ctx context.Context, image *os.File, offset int64, path string) ([]byte, error) {
	tool, err := findTool("debugfs")
	if err != nil {
		return nil, err
	}
	if !dataPathRE.MatchString(path) {
		return nil, fmt.Errorf("data partition: read %q: it is no path of a file", path)
	}
	// The image is the child's file 3, whatever it is called.
	cmd := exec.CommandContext(ctx, tool, "-R", "cat /"+path, fmt.Sprintf("/proc/self/fd/3?offset=%d", offset))
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "DEBUGFS_PAGER=cat"}
	cmd.ExtraFiles = []*os.File{image}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	data, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("data partition: read /%s: %w", path, err)
	}
	// debugfs ends with 0 whatever happened; its banner is all it may say.
	if _, more, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n"); more != "" {
		return nil, fmt.Errorf("data partition: read /%s: debugfs: %s", path, more)
	}
	return data, nil
}
