package selftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/insomniacslk/dhcp/iana"

	"tench/release/netboot"
	"tench/release/writestream"
)

// diskSize is of the box's disk, in bytes.
const diskSize = 1 << 30

// bootInstaller boots as iPXE does and then speaks as the installer does. Once it
// has read back what it wrote, its token is dead and the box boots its disk.
func bootInstaller(c *client) (string, error) {
	if err := c.replay("ipxe-rom"); err != nil {
		return "", err
	}
	if err := c.file("boot.ipxe"); err != nil {
		return "", err
	}
	initrd, err := c.fetch("http://192.0.2.1/initrd")
	if err != nil {
		return "", err
	}
	file, err := netbootOf(initrd)
	if err != nil {
		return "", err
	}
	if err := c.install(file); err != nil {
		return "", err
	}
	code, _, err := c.http(http.MethodGet, file.Server+file.Path("image")+"?"+writestream.Request{Disk: "sda", Size: diskSize}.Query(), "")
	if err != nil || code != http.StatusGone {
		return "", errors.Join(err, fmt.Errorf("the token, once more, gets status %d", code))
	}
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	return "plan, image, done; then its disk, and no second install", c.file("")
}

// netbootOf finds netboot.json in an initramfs.
func netbootOf(initrd []byte) (netboot.File, error) {
	at := bytes.LastIndex(initrd, []byte(`{"server"`))
	if at < 0 {
		return netboot.File{}, errors.New("the initramfs has no netboot.json")
	}
	end := bytes.IndexByte(initrd[at:], '\n')
	if end < 0 {
		return netboot.File{}, errors.New("netboot.json has no end")
	}
	return netboot.Parse(initrd[at : at+end])
}

// install is what an installer says and asks.
func (c *client) install(file netboot.File) error {
	question, err := json.Marshal(netboot.Question{Disks: []netboot.Disk{
		{Name: "sda", Serial: "SERIAL-7", Size: diskSize, Content: `ext "somebody's"`}, {Name: "sdb", Size: diskSize, Content: "empty"}}})
	if err != nil {
		return err
	}
	if _, err := c.post(file, "progress", `{"stage":"disks"}`); err != nil {
		return err
	}
	answer, err := c.post(file, "plan", string(question))
	if err != nil {
		return err
	}
	var plan netboot.Plan
	if err := json.Unmarshal(answer, &plan); err != nil || plan.Disk != "sda" {
		return errors.Join(err, fmt.Errorf("the plan is %s, not the disk that boxes.toml names", cut(answer)))
	}
	url := file.Server + file.Path("image") + "?" + writestream.Request{Disk: plan.Disk, Size: diskSize}.Query()
	stream, err := c.fetch(url)
	if err != nil {
		return err
	}
	half := len(stream) / 2 // as if the line had broken there
	code, rest, err := c.http(http.MethodGet, url, "", "Range", fmt.Sprintf("bytes=%d-", half))
	if err != nil || code != http.StatusPartialContent || !bytes.Equal(rest, stream[half:]) {
		return errors.Join(err, fmt.Errorf("the rest of the image, from byte %d on, has status %d and %d bytes, not %d", half, code, len(rest), len(stream)-half))
	}
	receipt, err := receiptOf(stream)
	if err != nil {
		return fmt.Errorf("read the image of %d bytes: %w", len(stream), err)
	}
	for _, wrong := range []bool{true, false} {
		sum := receipt
		if wrong {
			sum = "0" + receipt[1:] + "x"
		}
		_, err := c.post(file, "done", fmt.Sprintf(`{"sha256":%q}`, sum))
		if wrong == (err == nil) {
			return errors.Join(err, fmt.Errorf("done with the receipt %.12q… (wrong: %v)", sum, wrong))
		}
	}
	return nil
}

// receiptOf reads a stream as an installer does that has got every byte back.
func receiptOf(stream []byte) (string, error) {
	d, err := writestream.NewDecoder(bytes.NewReader(stream))
	if err != nil {
		return "", err
	}
	receipt := writestream.NewReceipt()
	for {
		r, err := d.Next()
		if err != nil {
			return receipt.String(), end(err)
		}
		if r.Kind == writestream.Write {
			receipt.Add(r.At, r.Sum)
		}
	}
}

// post posts JSON.
func (c *client) post(file netboot.File, what, body string) ([]byte, error) {
	code, data, err := c.http(http.MethodPost, file.Server+file.Path(what), body)
	if err == nil && code != http.StatusOK && code != http.StatusNoContent {
		err = fmt.Errorf("POST %s: status %d, %s", what, code, cut(data))
	}
	return data, err
}

// end is err, unless it is the end of what was read.
func end(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
