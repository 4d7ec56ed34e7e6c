package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tench/release"
	"tench/release/slotimage"
)

// Source is an update that the box reads itself.
type Source struct {
	Ticket slotimage.Ticket
	Image  io.ReadCloser
}

// OpenSource opens an update: a release's directory, a slot image beside its
// SHA256.sig, a block device with one of these at its top, or the http URL of a
// release's directory; https needs certificates, of which our images have none.
// The image of a directory is the one of board; run is where a device is mounted.
func OpenSource(ctx context.Context, from, board, run string) (Source, error) {
	var s Source
	var err error
	switch scheme, _, _ := strings.Cut(from, "://"); scheme {
	case "http", "https":
		s, err = fromWeb(ctx, strings.TrimSuffix(from, "/")+"/", board)
	default:
		s, err = fromFile(from, board, run)
	}
	if err != nil {
		return Source{}, fmt.Errorf("update: %w", err)
	}
	return s, nil
}

func fromFile(path, board, run string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Source{}, err
	}
	if info.Mode()&os.ModeDevice != 0 {
		return fromStick(path, board, run)
	}
	dir := path
	if info.IsDir() {
		path = filepath.Join(dir, release.SlotName(board))
	} else {
		dir = filepath.Dir(path)
	}
	ticket, err := readTicket(filepath.Join(dir, release.SignatureFile))
	if err != nil {
		return Source{}, err
	}
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Source{}, fmt.Errorf("%w\nhint: is this a release for board %s?", err, board)
	}
	return Source{ticket, mediumReader{f}}, err
}

// openFile opens a plain file. An ext4 on a stick of somebody's may have a FIFO of
// that name, which open(2) would wait for.
func openFile(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	return os.Open(path)
}

func fromStick(device, board, run string) (Source, error) {
	dir, undo, err := mountStick(device, run)
	if err != nil {
		return Source{}, err
	}
	s, err := fromFile(dir, board, run)
	if err != nil {
		return Source{}, errors.Join(err, undo())
	}
	s.Image = mountedReader{s.Image, undo}
	return s, nil
}

// readTicket reads SHA256.sig.
func readTicket(path string) (slotimage.Ticket, error) {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w\nhint: an update must be signed: SHA256.sig lies beside the slot image", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return limitedTicket(f)
}

func limitedTicket(r io.Reader) (slotimage.Ticket, error) {
	data, err := io.ReadAll(io.LimitReader(r, slotimage.MaxTicket+1))
	if err == nil && len(data) > slotimage.MaxTicket {
		err = fmt.Errorf("%s has more than %d bytes", release.SignatureFile, slotimage.MaxTicket)
	}
	return data, err
}

// mediumReader says in words that a stick was pulled out.
type mediumReader struct{ *os.File }

func (r mediumReader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		err = fmt.Errorf("%w\nhint: was the stick pulled out? put it back and start again; the box runs on as before", err)
	}
	return n, err
}

// fetcher is the program of the image that fetches a URL to standard output.
// tenchd has no HTTP of its own: TLS alone would make it half as large again,
// and that the update is the right one is proved by its signature.
var fetcher = []string{"wget", "-O", "/proc/self/fd/1"}

func fromWeb(ctx context.Context, dir, board string) (Source, error) {
	sig, err := fetch(ctx, dir+release.SignatureFile)
	if err != nil {
		return Source{}, err
	}
	ticket, err := limitedTicket(sig)
	if err := errors.Join(err, sig.Close()); err != nil {
		return Source{}, err
	}
	image, err := fetch(ctx, dir+release.SlotName(board))
	return Source{ticket, image}, err
}

// fetch starts to fetch a URL.
func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetched{url: url, cancel: cancel, cmd: exec.CommandContext(ctx, fetcher[0], append(fetcher[1:len(fetcher):len(fetcher)], url)...)}
	f.cmd.Stderr = &f.said
	var err error
	if f.out, err = f.cmd.StdoutPipe(); err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("fetch %s: %w", url, err)
	}
	return f, nil
}

// fetched is what a fetcher prints. Its end is good only if the fetcher says so.
type fetched struct {
	url    string
	cmd    *exec.Cmd
	cancel context.CancelFunc
	out    io.Reader
	said   strings.Builder
	ended  bool
}

func (f *fetched) Read(p []byte) (int, error) {
	if f.ended {
		return 0, io.EOF
	}
	n, err := f.out.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	f.ended = true
	if werr := f.cmd.Wait(); werr != nil {
		return n, fmt.Errorf("fetch %s: %w: %s\nhint: `tenchd status` says whether the line is up", f.url, werr, strings.TrimSpace(f.said.String()))
	}
	return n, io.EOF
}

// Close ends a fetcher that has not ended.
func (f *fetched) Close() error {
	f.cancel()
	if !f.ended {
		f.ended = true
		_ = f.cmd.Wait() // killed
	}
	return nil
}
