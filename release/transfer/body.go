package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"tench/release/slotimage"
)

// HelloBody is what the box says first.
type HelloBody struct {
	Version int    `json:"version"`
	Board   string `json:"board"`   // e.g. "alix2d3"
	Running string `json:"running"` // the slot that was booted, "a" or "b"
	Target  string `json:"target"`  // the slot that is written
	Size    int64  `json:"size"`    // of a slot, bytes
	Release string `json:"release"` // that runs
	Epoch   int64  `json:"epoch"`   // of it
	// Least is the epoch below which an update is a downgrade.
	Least int64    `json:"least"`
	Keys  []string `json:"keys"` // the public keys that may sign, as signify's .pub files
	// Partial is an update that broke off: its image's first Bytes are in the
	// target slot, but for its first block, which is written last.
	Partial Partial `json:"partial"`
	// Unwell is what keeps the box from being healthy now, for people to read:
	// with that the update could not be confirmed.
	Unwell []string `json:"unwell,omitempty"`
}

// Partial is as much of an update as a slot has.
type Partial struct {
	SHA256 string `json:"sha256,omitempty"` // of the whole image
	Bytes  int64  `json:"bytes,omitempty"`  // a whole number of blocks
}

// OfferBody is what the desk wants to send.
type OfferBody struct {
	Ticket string `json:"ticket"`
	Size   int64  `json:"size"` // of the image, bytes
}

// StepBody is what the box does at the moment.
type StepBody struct {
	Text  string `json:"text"`            // e.g. "read slot b back"
	Done  int64  `json:"done,omitempty"`  // bytes
	Total int64  `json:"total,omitempty"` // bytes; 0 where there is nothing to count
}

// DoneBody is how it ended: the slot is armed.
type DoneBody struct {
	Slot    string `json:"slot"`
	Release string `json:"release"`
	Epoch   int64  `json:"epoch"`
	Reboot  bool   `json:"reboot"` // the box reboots now
}

// jsonMessage makes a message of a body. Only what cannot be written in JSON,
// such as a channel, is an error, so that there is none.
func jsonMessage(kind Kind, body any) Message {
	data, err := json.Marshal(body)
	if err != nil {
		panic("transfer: " + err.Error())
	}
	return Message{kind, data}
}

// HelloMessage and the like make messages.
func HelloMessage(b HelloBody) Message { return jsonMessage(Hello, b) }
func OfferMessage(b OfferBody) Message { return jsonMessage(Offer, b) }
func StepMessage(b StepBody) Message   { return jsonMessage(Step, b) }
func DoneMessage(b DoneBody) Message   { return jsonMessage(Done, b) }

// FailMessage tells the other side why it ends. What is too long is cut.
func FailMessage(err error) Message {
	text := []byte(err.Error())
	return Message{Fail, text[:min(len(text), limits[Fail])]}
}

// AskMessage asks for the hashes of a slot.
func AskMessage(slot string) Message { return Message{Ask, []byte(slot)} }

// decode reads a body. A key that is not known is no error: a newer side may say
// more, as long as the version is the same.
func decode[T any](m Message, what string, check func(T) error) (T, error) {
	var body T
	d := json.NewDecoder(bytes.NewReader(m.Body))
	err := d.Decode(&body)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err == nil {
		err = check(body)
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("transfer: %s: %w", what, err)
	}
	return body, nil
}

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)
	sumRE  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseHello reads what the box said first.
func ParseHello(m Message) (HelloBody, error) {
	return decode(m, "hello", func(b HelloBody) error {
		if b.Version != Version {
			return fmt.Errorf("the box speaks version %d of the protocol, this tench %d\nhint: use the tench of the release that runs on the box, %q", b.Version, Version, b.Release)
		}
		for _, name := range []string{b.Board, b.Release} {
			if !nameRE.MatchString(name) {
				return fmt.Errorf("%q is no name of a board or a release", name)
			}
		}
		if !letter(b.Running) || !letter(b.Target) || b.Running == b.Target {
			return fmt.Errorf("slot %q runs and slot %q is written", b.Running, b.Target)
		}
		if err := checkSize(b.Size); err != nil {
			return err
		}
		if p := b.Partial; p != (Partial{}) && (!sumRE.MatchString(p.SHA256) || p.Bytes < 0 || p.Bytes > b.Size || p.Bytes%slotimage.BlockSize != 0) {
			return fmt.Errorf("%d bytes of update %q are in the slot", p.Bytes, p.SHA256)
		}
		return nil
	})
}

// ParseOffer reads what the desk wants to send.
func ParseOffer(m Message) (OfferBody, error) {
	return decode(m, "offer", func(b OfferBody) error {
		if len(b.Ticket) > slotimage.MaxTicket {
			return fmt.Errorf("ticket of %d bytes, more than %d", len(b.Ticket), slotimage.MaxTicket)
		}
		return checkSize(b.Size)
	})
}

// ParseStep reads what the box does.
func ParseStep(m Message) (StepBody, error) {
	b, err := decode(m, "step", func(b StepBody) error {
		if b.Done < 0 || b.Total < b.Done {
			return fmt.Errorf("%d of %d bytes", b.Done, b.Total)
		}
		return nil
	})
	b.Text = Plain(b.Text)
	return b, err
}

// ParseDone reads how it ended.
func ParseDone(m Message) (DoneBody, error) {
	return decode(m, "done", func(b DoneBody) error {
		if !letter(b.Slot) || !nameRE.MatchString(b.Release) {
			return fmt.Errorf("slot %q, release %q", b.Slot, b.Release)
		}
		return nil
	})
}

// checkSize admits whole blocks up to MaxImage.
func checkSize(n int64) error {
	if n <= 0 || n > MaxImage || n%slotimage.BlockSize != 0 {
		return fmt.Errorf("a size of %d bytes: it must be whole blocks of %d, at most %d", n, slotimage.BlockSize, MaxImage)
	}
	return nil
}

func letter(slot string) bool { return slot == "a" || slot == "b" }
