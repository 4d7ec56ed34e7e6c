package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/build/disk"
	"tench/build/flash"
	"tench/pxe"
	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/pxe/track"
	"tench/release"
	"tench/release/audit"
	"tench/release/signify"
)

// runPXE serves until ctrl-C. then is done once all listens.
func runPXE(c *cobra.Command, o pxeOptions, then ...func(*pxe.Server) error) error {
	view := newPXEView(c.OutOrStdout(), o.json)
	consoles, err := parseTranscripts(o.consoles)
	if err != nil {
		return err
	}
	opts, err := o.server(c)
	if err != nil {
		return err
	}
	opts.Sink, opts.Console = view.event, consoles.of
	t, err := findTree()
	if err != nil {
		return err
	}
	opts.Loaders, err = build.Loaders(c.Context(), build.Options{Root: t.Root, Cache: t.Cache, Mirrors: t.Mirrors, Offline: o.offline, Report: newsOnly{newProgress(c.ErrOrStderr())}})
	if err != nil {
		return explainFailure(err)
	}
	if err := makeState(opts.State); err != nil {
		return err
	}
	s, err := pxe.Listen(c.Context(), opts)
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() { _ = giveToCaller(opts.State) }() // as it is then; without it, arming takes sudo
	if err := giveToCaller(opts.State); err != nil {
		return err
	}
	for _, do := range then {
		if err := do(s); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.ErrOrStderr(), "serving on %s (%s), mode %s; page: %s; ctrl-C ends it\n", o.device, opts.Address.Addr(), s.Mode(), s.Page())
	ctx, cancel := context.WithCancel(c.Context())
	var shown sync.WaitGroup
	shown.Go(func() { view.run(ctx, s.Table()) })
	shown.Go(func() { consoles.run(ctx) })
	err = s.Serve(ctx)
	cancel()
	shown.Wait()
	if c.Context().Err() != nil { // ctrl-C is how it ends
		return nil
	}
	return err
}

// newsOnly shows the steps that work: what is in the cache was there the last time.
type newsOnly struct{ *progress }

func (n newsOnly) Done(s build.StepReport) {
	if s.Outcome != build.Hit {
		n.progress.Done(s)
	}
}

// server is what a server is started with, but the loaders, which take their time.
func (o *pxeOptions) server(c *cobra.Command) (pxe.Options, error) {
	device, err := o.findInterface()
	if err != nil {
		return pxe.Options{}, err
	}
	mode, err := dhcp.ParseMode(o.mode)
	if err != nil {
		return pxe.Options{}, usageError{fmt.Errorf("pxe: --mode: %w", err)}
	}
	loader, err := pxe.ParseLoader(o.loader)
	if err != nil {
		return pxe.Options{}, usageError{fmt.Errorf("pxe: --loader: %w", err)}
	}
	opts, err := o.armory(c)
	if err != nil {
		return pxe.Options{}, err
	}
	opts.Interface, opts.Mode, opts.Loader, opts.AnyBoard, opts.Page, opts.HTTPPort = device, mode, loader, o.anyBoard, o.page, o.port
	opts.Address, err = dhcp.Address(device)
	return opts, err
}

// armory is what arming takes, with or without a server.
func (o *pxeOptions) armory(c *cobra.Command) (pxe.Options, error) {
	t, err := findTree()
	if err != nil {
		return pxe.Options{}, err
	}
	list, err := boards.List(t.boards())
	if err != nil {
		return pxe.Options{}, err
	}
	p := &pxeProducts{c: c, t: t, o: *o}
	opts := pxe.Options{
		Boards: boards.Names(t.boards()), Hardware: map[string]boards.Hardware{}, Product: p.get, Image: p.image,
		Check: func(b boxes.Box) error { return checkBox(t, b) },
	}
	for _, b := range list {
		opts.Hardware[b.Name] = b.Hardware
	}
	if opts.State, err = o.stateDir(); err != nil {
		return pxe.Options{}, err
	}
	if opts.Boxes, err = o.boxesFile(); err != nil || o.release == "" {
		return opts, err
	}
	_, err = p.trusted(o.release) // now, and not when the first box comes
	return opts, err
}

// makeState makes the state folder. What had to be made above it, ~/.local say, is
// the caller's as well.
func makeState(state string) error {
	missing := missingFolders(state)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("pxe: make the state folder: %w\nhint: --state FOLDER", err)
	}
	return chownToCaller(missing)
}

// missingFolders are path and the folders above it that are not there.
func missingFolders(path string) []string {
	var missing []string
	for {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return missing
		}
		missing, path = append(missing, path), filepath.Dir(path)
	}
}

// giveToCaller gives the state folder to who called sudo, who arms boxes without it,
// but nothing else that lies there: --state may name any folder.
func giveToCaller(state string) error {
	paths, err := stateFiles(state)
	return errors.Join(err, chownToCaller(paths))
}

// chownToCaller gives files to who called sudo, if anybody did.
func chownToCaller(paths []string) error {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, gerr := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil || gerr != nil || os.Geteuid() != 0 {
		return nil
	}
	err = nil
	for _, path := range paths {
		err = errors.Join(err, os.Lchown(path, uid, gid))
	}
	return err
}

// stateFiles are the state folder and what is ours in it.
func stateFiles(state string) ([]string, error) {
	entries, err := os.ReadDir(state)
	paths := []string{state}
	for _, e := range entries {
		if track.Ours(e.Name()) {
			paths = append(paths, filepath.Join(state, e.Name()))
		}
	}
	return paths, err
}

// pxeProducts are the boards as they are served.
type pxeProducts struct {
	c *cobra.Command // the one that serves
	t tree
	o pxeOptions

	mu    sync.Mutex
	whole *pxe.Products // of --release
	seal  [2]string     // what vouched for it when it was audited

	told sync.Once // that the release is not signed
}

// get audits the files of a board.
func (p *pxeProducts) get(ctx context.Context, name string) (pxe.Product, error) {
	b, err := boards.Load(p.t.boards(), name)
	if err != nil {
		return pxe.Product{}, err
	}
	files, err := p.files(ctx, b)
	if err != nil {
		return pxe.Product{}, err
	}
	router, err := readConfig(b, filepath.Join(b.Dir, "router.toml"))
	if err != nil {
		return pxe.Product{}, err
	}
	args := append(disk.KernelArgs(b), fmt.Sprintf("tench.id=%s/%s/net", b.Name, files.Release))
	return pxe.Product{Board: b, Args: args, Router: router, Files: files}, nil
}

// files are those of --release, which is audited once as long as what vouches for it
// is the same, or of out/BOARD, which a build may have made anew.
func (p *pxeProducts) files(ctx context.Context, b boards.Board) (*pxe.Products, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dir := p.o.release
	if dir == "" {
		r, err := p.t.release("")
		if err != nil {
			return nil, err
		}
		if dir = p.t.out(r, b); p.missing(dir) {
			return nil, fmt.Errorf("pxe: board %s was not built\nhint: bin/tench image %s", b.Name, b.Name)
		}
		return p.audit(ctx, dir)
	}
	if seal := sealOf(dir); p.whole == nil || p.seal != seal {
		var err error
		if p.whole, err = p.audit(ctx, dir); err != nil {
			return nil, err
		}
		p.seal = seal
	}
	if !p.whole.Has(b.Name) {
		return nil, fmt.Errorf("pxe: the release in %s has no board %s", dir, b.Name)
	}
	return p.whole, nil
}

// sealOf are the checksums of a release and their signature; "" for what cannot be
// read, of which the audit says why.
func sealOf(dir string) (seal [2]string) {
	for n, name := range []string{release.SumsFile, release.SignatureFile} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			seal[n] = string(data)
		}
	}
	return seal
}

func (p *pxeProducts) missing(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, release.SumsFile))
	return errors.Is(err, os.ErrNotExist)
}

// audit opens a directory, which must be signed as trusted says.
func (p *pxeProducts) audit(ctx context.Context, dir string) (*pxe.Products, error) {
	key, err := p.trusted(dir)
	if err != nil {
		return nil, err
	}
	return pxe.OpenProducts(ctx, dir, audit.Options{Key: key})
}

// mustSign tells whether what nobody signed is refused. A release is, for who
// takes SHA256.sig away may have written the rest; a build of this checkout is not.
func (p *pxeProducts) mustSign() bool {
	return len(p.o.keys) > 0 || p.o.release != "" && !p.o.unsigned
}

// trusted is the key that is known here and that signed a directory; nil for one
// that is taken though nobody signed it. A release of --unsigned is told of.
func (p *pxeProducts) trusted(dir string) (*signify.PublicKey, error) {
	data, err := os.ReadFile(filepath.Join(dir, release.SignatureFile))
	switch {
	case p.missing(dir):
		return nil, fmt.Errorf("pxe: %s is no release: there is no %s in it\nhint: tench release makes one", dir, release.SumsFile)
	case errors.Is(err, os.ErrNotExist) && len(p.o.keys) > 0:
		return nil, fmt.Errorf("pxe: %s is not signed, and --key wants it to be", dir)
	case errors.Is(err, os.ErrNotExist) && p.mustSign():
		return nil, fmt.Errorf("pxe: %s is not signed: there is no %s in it\nhint: fetch the release again, or sign it: tench key sign; --unsigned serves it all the same", dir, release.SignatureFile)
	case errors.Is(err, os.ErrNotExist):
		p.tellUnsigned("nobody signed " + dir)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("pxe: %w", err)
	}
	sig, err := signify.ParseSignature(data)
	if err != nil {
		return nil, fmt.Errorf("pxe: %s: %w", filepath.Join(dir, release.SignatureFile), err)
	}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if key.Number == sig.Number {
			return &key, nil
		}
	}
	if p.o.unsigned {
		p.tellUnsigned(fmt.Sprintf("%s is signed by key %s, which is not known here", dir, sig.Number))
		return nil, nil
	}
	return nil, fmt.Errorf("pxe: %s is signed by key %s, which is not known here\nhint: --key FILE.pub names one; --unsigned serves it all the same", dir, sig.Number)
}

// tellUnsigned says once that a release is served that anybody may have made.
func (p *pxeProducts) tellUnsigned(why string) {
	if p.o.release == "" {
		return
	}
	p.told.Do(func() {
		fmt.Fprintf(p.c.ErrOrStderr(), "warning: %s: its hashes show that nothing was damaged, not who made it\n", why)
	})
}

// keys are those of --key, or else those found here.
func (p *pxeProducts) keys() ([]signify.PublicKey, error) {
	files := p.o.keys
	if len(files) == 0 {
		files = releaseKeys()
	}
	var keys []signify.PublicKey
	for _, file := range files {
		key, err := readPublicKey(p.c.Context(), file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// image makes the image of one box ready, with its identity and its configuration.
func (p *pxeProducts) image(ctx context.Context, i pxe.Image) (pxe.Stream, error) {
	path, sum, err := i.Product.Files.Image(i.Product.Board.Name)
	if err != nil {
		return nil, err
	}
	if _, err := p.trusted(i.Product.Files.Dir); err != nil { // it was, when the box was armed
		return nil, err
	}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	img, err := flash.OpenImage(ctx, path, flash.Trust{Keys: keys, Must: p.mustSign(), Unsigned: p.o.unsigned}, func(flash.Progress) {})
	if err != nil {
		return nil, err
	}
	if img.SHA256 != sum { // somebody built or fetched another one in this moment
		img.Close()
		return nil, fmt.Errorf("%s: it is not what was verified when the box was armed\nhint: arm the box again", path)
	}
	data, err := flashOptions{identity: i.Box.Identity, config: i.Box.Config}.data(p.c, img)
	if err != nil {
		img.Close()
		return nil, err
	}
	return &pxeStream{img: img, data: data, o: flash.StreamOptions{Request: i.Request, Seed: i.Seed}}, nil
}

// pxeStream is an image with the data partition of one box.
type pxeStream struct {
	img  *flash.Image
	data *flash.Data // nil for the image's own
	o    flash.StreamOptions
}

func (s *pxeStream) Send(ctx context.Context, out io.Writer) (string, error) {
	o := s.o
	if s.data != nil { // a nil *flash.Data is no nil io.ReaderAt
		o.Data = s.data
	}
	return flash.Stream(ctx, s.img, o, out)
}

func (s *pxeStream) Close() error {
	err := s.img.Close()
	if s.data != nil {
		err = errors.Join(err, s.data.Close())
	}
	return err
}
