package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build/disk"
	"tench/build/flash"
	"tench/identity"
	"tench/release"
	"tench/release/signify"
)

// flashOptions are the flags of tench flash.
type flashOptions struct {
	identity string   // directory of the box's identity; "" for none
	config   string   // file of the first generation; "" for the image's
	restore  string   // backup of the box whose place it takes; "" for none
	secrets  []string // files of keys that open the backup
	keys     []string // files of public keys, one of which must have signed
	unsigned bool     // take what is signed by a stranger
	fixed    string   // handle of a fixed or large disk
	was      string   // board that the stick may be of
	answer   string   // instead of asking
	json     bool
	release  string // of the board that stands for its image
}

func flashCommand() *cobra.Command {
	var o flashOptions
	c := &cobra.Command{
		Use:   "flash [IMAGE [DEVICE]]",
		Short: "Write an image to a stick, with the box's identity and configuration",
		Long: `flash writes an image to a USB stick, a card or a disk. Without DEVICE it lists
those that there are, and why one would not be written. IMAGE is a file, packed
with zstd or not, or a board, which stands for its image in out/BOARD; SHA256
beside it must have its hash, and where SHA256.sig is, a key must have signed it
that is known here: of --key, or else one of the .pub files of tench key new here
and at the top of the checkout, or an update key of --identity.

It never writes to a disk that is in use, also through LVM, RAID or encryption;
to a fixed disk or one beyond 256 GiB only when --fixed names it. It asks for the
last four characters of the serial number, and of a device that has none, for its
name and size.

Only what the image holds is written, and read back from the device; the data
partition that a stick of ours had, with its secrets, is cleared. What makes the
stick boot goes first and comes last: after ctrl-C or a power cut it does not half
boot.

A DEVICE that is no device is a new file: the image of this one box, mode 0600.`,
		Example: `  tench flash apu2                       which devices are there?
  tench flash apu2 /dev/sdb
  tench flash apu2 /dev/sdb --identity gw0 --config gw0.toml
  tench flash apu2 /dev/sdb --restore gw0.age      in the place of a box that died (tench backup)
  tench flash tench-apu2.img.zst /dev/disk/by-id/usb-SanDisk_Ultra_4C5300012309-0:0 --key tench.pub
  tench flash vm gw0.img --identity gw0  the image of one box, for a virtual machine`,
		Args:              between(0, 2),
		ValidArgsFunction: completeFlash,
		RunE: func(c *cobra.Command, args []string) error {
			v := newFlashView(c, o.json)
			err := runFlash(c, o, v, args)
			if err != nil {
				v.failed(err)
			}
			return err
		},
	}
	oneRelease(c, &o.release)
	f := c.Flags()
	f.StringVar(&o.identity, "identity", "", "put the identity in this `directory` onto the stick (tench identity new)")
	f.StringVar(&o.config, "config", "", "the box's first router.toml `file` (default: the image's)")
	f.StringVar(&o.restore, "restore", "", "make the box of this backup `file` again: identity, secrets, all generations")
	identityFileFlag(c, &o.secrets)
	f.StringArrayVar(&o.keys, "key", nil, "the image must be signed by the key in this .pub `file`; may be repeated")
	f.BoolVar(&o.unsigned, "unsigned", false, "take an image that is signed by a key that is not known here")
	f.StringVar(&o.fixed, "fixed", "", "write to the fixed or large disk with this `serial` number")
	f.StringVar(&o.was, "was", "", "write over a stick of this other `board`")
	f.StringVar(&o.answer, "yes-serial", "", "do not ask: the last four `characters` of the serial number")
	f.BoolVar(&o.json, "json", false, "a JSON object a line, for scripts; needs --yes-serial")
	_ = c.RegisterFlagCompletionFunc("was", completeMoreBoards) // an error is a flag that is not there
	c.MarkFlagsMutuallyExclusive("key", "unsigned")
	c.MarkFlagsMutuallyExclusive("restore", "identity")
	c.MarkFlagsMutuallyExclusive("restore", "config")
	return c
}

// completeFlash offers boards and files, then devices.
func completeFlash(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		names, _ := completeMoreBoards(c, args, typed)
		return names, cobra.ShellCompDirectiveDefault
	case 1:
		list, err := thisMachine.Devices()
		if err != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		var paths []string
		for _, d := range list {
			if d.Refuse(flash.Request{Fixed: d.Handle()}) == nil {
				paths = append(paths, d.Path+"\t"+strings.TrimSpace(d.Model+" "+d.Serial))
			}
		}
		return paths, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

var thisMachine = flash.Machine{Root: "/"}

func runFlash(c *cobra.Command, o flashOptions, v *flashView, args []string) error {
	image := ""
	if len(args) > 0 {
		var err error
		if image, err = o.image(args[0]); err != nil {
			return err
		}
	}
	if len(args) < 2 {
		return listDevices(v, o, image)
	}
	if o.json && o.answer == "" {
		return usageError{errors.New("flash: --json asks nothing\nhint: --yes-serial XXXX says which device")}
	}
	target, err := findTarget(args[1], o)
	if err != nil {
		return err
	}
	img, err := openFlashImage(c.Context(), o, v, image)
	if err != nil {
		return err
	}
	defer img.Close()
	data, err := o.data(c, img)
	if err != nil {
		return err
	}
	if data != nil {
		defer data.Close()
	}
	write := flash.Options{Now: time.Now, Report: v.progress}
	if data != nil { // a nil *flash.Data is no nil io.ReaderAt
		write.Data = data
	}
	if target == nil {
		return flashFile(c.Context(), v, img, write, args[1])
	}
	// Checking the image took a while: another stick may be there by now.
	d, err := thisMachine.Find(absolute(args[1]))
	if err != nil {
		return err
	}
	return flashDevice(c, o, v, img, write, d)
}

// image is the path of the image that an argument stands for.
func (o flashOptions) image(arg string) (string, error) {
	info, err := os.Stat(arg)
	if err == nil && !info.IsDir() {
		return arg, nil
	}
	t, b, boardErr := findBoard([]string{arg})
	switch {
	case boardErr != nil && err == nil:
		return "", fmt.Errorf("flash: %s is a directory\nhint: name an image's file or a board", arg)
	case boardErr != nil:
		return "", fmt.Errorf("flash: %w", noFileNoBoard(arg, err, boardErr, "an image's file"))
	}
	r, err := t.release(o.release)
	if err != nil {
		return "", err
	}
	path := filepath.Join(t.out(r, b), release.ImageName(b.Name))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("flash: %w", notBuilt(r, b, path))
	}
	return path, nil
}

// listDevices shows the devices there are. Whether an image fits is known only
// of one that is not packed.
func listDevices(v *flashView, o flashOptions, image string) error {
	r := flash.Request{Fixed: o.fixed}
	if info, err := os.Stat(image); err == nil && !strings.HasSuffix(image, packedEnd) {
		r.Size = info.Size()
	}
	list, err := thisMachine.Devices()
	if err != nil {
		return err
	}
	return v.devices(list, r)
}

// findTarget is the device at path; nil where a new file is meant. What cannot be
// written is refused before an image is read for it.
func findTarget(path string, o flashOptions) (*flash.Device, error) {
	info, err := os.Stat(path)
	isNew := errors.Is(err, os.ErrNotExist) && !strings.HasPrefix(absolute(path), "/dev/")
	if isNew || err == nil && info.Mode().IsRegular() {
		return nil, nil
	}
	d, err := thisMachine.Find(absolute(path))
	if err != nil {
		return nil, err
	}
	return &d, d.Refuse(flash.Request{Fixed: o.fixed})
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// openFlashImage checks the image.
func openFlashImage(ctx context.Context, o flashOptions, v *flashView, path string) (*flash.Image, error) {
	trust := flash.Trust{Must: len(o.keys) > 0, Unsigned: o.unsigned}
	files := o.keys
	if len(files) == 0 {
		files = releaseKeys()
	}
	for _, file := range files {
		key, err := readPublicKey(ctx, file)
		if err != nil {
			return nil, err
		}
		trust.Keys = append(trust.Keys, key)
	}
	if o.identity != "" && len(o.keys) == 0 {
		more, err := identity.LoadUpdateKeys(o.identity)
		if err != nil {
			return nil, err
		}
		trust.Keys = append(trust.Keys, more...)
	}
	img, err := flash.OpenImage(ctx, path, trust, v.progress)
	if err != nil {
		return nil, err
	}
	v.image(img, signedBy(img.SignedBy))
	return img, nil
}

func signedBy(key *signify.PublicKey) string {
	if key == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", key.Number, printable(key.Comment))
}

// data makes a data partition with what the flags name; nil for the image's own.
func (o flashOptions) data(c *cobra.Command, img *flash.Image) (*flash.Data, error) {
	ctx := c.Context()
	if o.restore != "" {
		a, err := openBackup(c, o.restore, o.secrets)
		if err != nil {
			return nil, err
		}
		adviseBackup(c.ErrOrStderr(), a)
		return img.MakeData(ctx, disk.RestoredBox(a), io.Discard)
	}
	if o.identity == "" && o.config == "" {
		return nil, nil
	}
	router, err := o.router(c, img)
	if err != nil {
		return nil, err
	}
	files := disk.NewBox(router)
	if o.identity != "" {
		id, err := identity.Load(o.identity)
		if err != nil {
			return nil, err
		}
		files = flash.DataFiles(router, id)
	}
	return img.MakeData(ctx, files, io.Discard)
}

// router is the box's first router.toml, checked against its board.
func (o flashOptions) router(c *cobra.Command, img *flash.Image) ([]byte, error) {
	if o.config == "" {
		return img.RouterConfig(c.Context())
	}
	t, err := findTree()
	if err != nil {
		return nil, err
	}
	b, err := boards.Load(t.boards(), img.Board)
	if err != nil {
		return nil, err
	}
	return checkedFile(c, o.config, b)
}

// flashFile writes the image of one box to a new file.
func flashFile(ctx context.Context, v *flashView, img *flash.Image, write flash.Options, path string) error {
	f, err := flash.NewImageFile(path, img.Size)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := flash.Write(ctx, img, f, write)
	var unfinished *flash.Unfinished
	if errors.As(err, &unfinished) {
		return unfinished.Err // the file is gone
	}
	if err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("flash: %w", err)
	}
	v.done(path, r, "")
	return nil
}

// flashDevice asks, and writes the image to a device.
func flashDevice(c *cobra.Command, o flashOptions, v *flashView, img *flash.Image, write flash.Options, d flash.Device) error {
	if err := d.Refuse(flash.Request{Size: img.Size, Fixed: o.fixed}); err != nil {
		return err
	}
	// From here on nobody else can mount it.
	open, err := flash.OpenDevice(d)
	if err != nil {
		return err
	}
	defer open.Close()
	contents := flash.Look(open, d)
	if contents.Tench != nil {
		if err := flash.RefuseLabel(d.Path, *contents.Tench, img.Label, o.was); err != nil {
			return err
		}
	}
	v.device(d, contents)
	if err := confirm(c, o, d); err != nil {
		return err
	}
	write.Probe, write.Old = true, contents
	r, err := flash.Write(c.Context(), img, open, write)
	if err != nil {
		return err
	}
	v.done(d.Path, r, flashingNote(img.Board))
	return nil
}

// flashingNote is what board.toml says of its media; "" outside of the checkout.
func flashingNote(board string) string {
	t, err := findTree()
	if err != nil {
		return ""
	}
	b, err := boards.Load(t.boards(), board)
	if err != nil {
		return ""
	}
	return b.Flashing
}
