package writestream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sectorOf is a sector full of c; a boot sector with the signature.
func sectorOf(c byte, signed bool) []byte {
	b := bytes.Repeat([]byte{c}, Sector)
	b[Sector-2], b[Sector-1] = c, c
	if signed {
		b[Sector-2], b[Sector-1] = 0x55, 0xaa
	}
	return b
}

// order is a record as tests write it down.
type order struct {
	kind Kind
	at   int64
	data []byte
}

// good is the smallest install there is.
var good = []order{
	{Write, 0, sectorOf(0, false)}, {kind: Sync},
	{Write, Sector, sectorOf(7, false)}, {Write, 4 * Sector, sectorOf(0, false)}, {kind: Verify},
	{Write, 0, sectorOf(9, true)}, {kind: Verify},
}

func encode(list []order, h Header) (stream []byte, receipt string, err error) {
	var out bytes.Buffer
	e, err := NewEncoder(&out, h)
	if err != nil {
		return nil, "", err
	}
	for _, o := range list {
		if o.kind == Write {
			err = e.Write(o.at, o.data)
		} else {
			err = e.Step(o.kind)
		}
		if err != nil {
			return out.Bytes(), "", err
		}
	}
	receipt, err = e.End()
	return out.Bytes(), receipt, err
}

var header = Header{Size: 8 * Sector, Total: 4 * Sector}

func mustEncode(t testing.TB) ([]byte, string) {
	t.Helper()
	stream, receipt, err := encode(good, header)
	if err != nil {
		t.Fatal(err)
	}
	return stream, receipt
}

func decode(r io.Reader) ([]order, error) {
	d, err := NewDecoder(r)
	if err != nil {
		return nil, err
	}
	var list []order
	for {
		r, err := d.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, order{r.Kind, r.At, bytes.Clone(r.Bytes)})
	}
}

func TestThereAndBack(t *testing.T) {
	stream, receipt := mustEncode(t)
	got, err := decode(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	want := append(append([]order{}, good...), order{kind: End})
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(order{})); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if len(stream) > 1300 {
		t.Errorf("the stream has %d bytes: zeros were sent", len(stream))
	}
	// The receipt as its comment has it.
	h := sha256.New()
	for _, o := range good {
		if o.kind == Write {
			sum := sha256.Sum256(o.data)
			h.Write([]byte{0, 0, 0, 0, 0, 0, byte(o.at >> 8), byte(o.at)})
			h.Write(sum[:])
		}
	}
	if want := hex.EncodeToString(h.Sum(nil)); receipt != want {
		t.Errorf("receipt %s; want %s", receipt, want)
	}
}

// A stream with any one bit turned, or cut anywhere, has no end.
func TestDamage(t *testing.T) {
	stream, _ := mustEncode(t)
	for at := range stream {
		damaged := bytes.Clone(stream)
		damaged[at] ^= 0x10
		if _, err := decode(bytes.NewReader(damaged)); err == nil {
			t.Errorf("a stream whose byte %d of %d is another was taken", at, len(stream))
		}
		_, err := decode(bytes.NewReader(stream[:at]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a stream that was cut after %d of %d bytes: %v; want io.ErrUnexpectedEOF", at, len(stream), err)
		}
	}
}

func TestRules(t *testing.T) {
	wipe, sync, verify := order{Write, 0, sectorOf(0, false)}, order{kind: Sync}, order{kind: Verify}
	body, boot := order{Write, Sector, sectorOf(7, false)}, order{Write, 0, sectorOf(9, true)}
	for name, tc := range map[string]struct {
		list []order
		want string
	}{
		"no wipe":                       {[]order{body, sync, boot, verify}, "wipe of sector 0"},
		"a wipe that is none":           {[]order{{Write, 0, sectorOf(1, false)}, sync}, "wipe of sector 0"},
		"a write before the wipe is on": {[]order{wipe, body}, "before the wipe"},
		"a boot sector too early":       {[]order{wipe, sync, body, boot}, "before all else"},
		"a boot sector with more":       {[]order{wipe, sync, {Write, 0, append(sectorOf(9, true), sectorOf(7, false)...)}}, "with more behind it"},
		"a write after the boot sector": {[]order{wipe, sync, boot, sync, body}, "after the boot sector"},
		"no boot sector":                {[]order{wipe, sync, body, verify}, "before all is written"},
		"not verified":                  {[]order{wipe, sync, boot, sync}, "before all is written and verified"},
		"beyond the end":                {[]order{wipe, sync, {Write, 8 * Sector, sectorOf(1, false)}}, "at 4096 of 4096"},
		"half a sector":                 {[]order{wipe, sync, {Write, Sector, []byte("x")}}, "a write of 1 bytes"},
		"at half a sector":              {[]order{wipe, sync, {Write, 100, sectorOf(1, false)}}, "at 100"},
		"an empty write":                {[]order{wipe, sync, {Write, Sector, nil}}, "a write of 0 bytes"},
		"more than it tells of":         {[]order{wipe, sync, body, body, body, body}, "more writes"},
		"less than it tells of":         {[]order{wipe, sync, body, sync, boot, verify}, "an end after 1536 of 2048"},
		"an unknown kind":               {[]order{{kind: 'X'}}, `kind 'X'`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := encode(tc.list, header)
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want ErrFormat with %q", err, tc.want)
			}
		})
	}
	for _, h := range []Header{{}, {Size: 100, Total: Sector}, {Size: MaxSize + Sector, Total: Sector}, {Size: Sector, Total: 0}} {
		if _, _, err := encode(good, h); !errors.Is(err, ErrFormat) {
			t.Errorf("header %+v: %v; want ErrFormat", h, err)
		}
	}
}

func TestRequest(t *testing.T) {
	for query, want := range map[string]Request{
		"disk=sda&size=1024":               {Disk: "sda", Size: 1024},
		"disk=mmcblk0&size=1024&slot=1":    {Disk: "mmcblk0", Size: 1024, Slot: true},
		"disk=sda&size=4096&old=1024,2048": {Disk: "sda", Size: 4096, OldAt: 1024, OldSize: 2048},
	} {
		got, err := ParseRequest(query)
		if err != nil || got != want || got.Query() != query {
			t.Errorf("ParseRequest(%s) = %+v, %v; back %s", query, got, err, got.Query())
		}
	}
	for _, query := range []string{
		"", "disk=sda", "size=1024", "disk=../sda&size=1024", "disk=sda&size=1000", "disk=sda&size=-512",
		"disk=sda&size=1024&size=1024", "disk=sda&size=1024&slot=2", "disk=sda&size=1024&x=1",
		"disk=sda&size=1024&old=512", "disk=sda&size=1024&old=512,1024", "disk=%73da&size=1024",
	} {
		if r, err := ParseRequest(query); err == nil {
			t.Errorf("ParseRequest(%q) = %+v; want an error", query, r)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	stream, _ := mustEncode(f)
	f.Add(stream)
	f.Add(stream[:60])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		h := Header{Size: int64(binary.BigEndian.Uint64(data[8:])), Total: int64(binary.BigEndian.Uint64(data[16:]))}
		again, _, err := encode(list[:len(list)-1], h)
		if err != nil {
			t.Fatalf("what was taken cannot be made: %v", err)
		}
		if got, err := decode(bytes.NewReader(again)); err != nil || !cmp.Equal(list, got, cmp.AllowUnexported(order{})) {
			t.Errorf("what was taken and made again is another one: %v", err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add("disk=sda&size=4096&old=1024,2048")
	f.Fuzz(func(t *testing.T, query string) {
		r, err := ParseRequest(query)
		if err != nil {
			return
		}
		if back, err := ParseRequest(r.Query()); err != nil || back != r {
			t.Errorf("ParseRequest(%q) = %+v; back %+v, %v", query, r, back, err)
		}
	})
}
