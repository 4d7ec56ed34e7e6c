package tftp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var compare = cmp.AllowUnexported(request{}, option{}, terms{}, reply{})

func TestParseRequest(t *testing.T) {
	tests := []struct {
		name, packet string
		want         request
		err          error
	}{
		{name: "OpenBSD's loader", packet: "\x00\x01/etc/boot.conf\x00octet\x00",
			want: request{name: "/etc/boot.conf", mode: "octet"}},
		{name: "iPXE", packet: "\x00\x01pxelinux.0\x00octet\x00blksize\x001432\x00tsize\x000\x00",
			want: request{name: "pxelinux.0", mode: "octet", options: []option{{"blksize", "1432"}, {"tsize", "0"}}}},
		{name: "capitals", packet: "\x00\x01a\x00OCTET\x00BlkSize\x001432\x00",
			want: request{name: "a", mode: "octet", options: []option{{"blksize", "1432"}}}},
		{name: "padded with zeros", packet: "\x00\x01a\x00octet\x00tsize\x000\x00\x00\x00\x00",
			want: request{name: "a", mode: "octet", options: []option{{"tsize", "0"}}}},
		{name: "an option twice counts once", packet: "\x00\x01a\x00octet\x00tsize\x000\x00TSIZE\x007\x00",
			want: request{name: "a", mode: "octet", options: []option{{"tsize", "0"}}}},
		{name: "to write", packet: "\x00\x02a\x00octet\x00", want: request{write: true, name: "a", mode: "octet"}},
		{name: "no name", packet: "\x00\x01\x00octet\x00", err: errMalformed},
		{name: "no mode", packet: "\x00\x01a\x00", err: errMalformed},
		{name: "cut off in the mode", packet: "\x00\x01a\x00oct", err: errMalformed},
		{name: "an option without a value", packet: "\x00\x01a\x00octet\x00tsize\x00", err: errMalformed},
		{name: "cut off in a value", packet: "\x00\x01a\x00octet\x00tsize\x000", err: errMalformed},
		{name: "too many options", packet: "\x00\x01a\x00octet\x00" + options(maxOptions+1), err: errMalformed},
		{name: "an ACK", packet: "\x00\x04\x00\x01", err: errNoRequest},
		{name: "an ERROR", packet: "\x00\x05\x00\x08aborted\x00", err: errNoRequest},
		{name: "one byte", packet: "\x00", err: errNoRequest},
		{name: "nothing", packet: "", err: errNoRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseRequest([]byte(tt.packet))
			if !errors.Is(err, tt.err) {
				t.Fatalf("parseRequest(%q) = %v, want %v", tt.packet, err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got, compare); diff != "" {
				t.Errorf("parseRequest(%q) (-want +got):\n%s", tt.packet, diff)
			}
		})
	}
}

// options are n options with names of their own.
func options(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("o" + strings.Repeat("x", i) + "\x001\x00")
	}
	return b.String()
}

func TestParseReply(t *testing.T) {
	tests := []struct {
		name, packet string
		want         reply
		ok           bool
	}{
		{name: "ACK", packet: "\x00\x04\x12\x34", want: reply{op: opACK, block: 0x1234}, ok: true},
		{name: "EDK2 after its size probe", packet: "\x00\x05\x00\x08User aborted the transfer\x00",
			want: reply{op: opERROR, text: "error 8: User aborted the transfer"}, ok: true},
		{name: "OpenBSD's, without a text", packet: "\x00\x05\x00\x03\x00", want: reply{op: opERROR, text: "error 3: "}, ok: true},
		{name: "a text that is none", packet: "\x00\x05\x00\x00\x1b[2J\xff", want: reply{op: opERROR, text: "error 0: ?[2J?"}, ok: true},
		{name: "a long text", packet: "\x00\x05\x00\x00" + strings.Repeat("x", 400),
			want: reply{op: opERROR, text: "error 0: " + strings.Repeat("x", 100)}, ok: true},
		{name: "DATA", packet: "\x00\x03\x00\x01x"},
		{name: "three bytes", packet: "\x00\x04\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseReply([]byte(tt.packet))
			if diff := cmp.Diff(tt.want, got, compare); diff != "" || ok != tt.ok {
				t.Errorf("parseReply(%q) = %v (-want +got):\n%s", tt.packet, ok, diff)
			}
		})
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		"\x00\x01/etc/boot.conf\x00octet\x00", "\x00\x01a\x00octet\x00blksize\x001432\x00tsize\x000\x00\x00\x00",
		"\x00\x02a\x00netascii\x00", "\x00\x01", "\x00\x01\x00\x00", "\x00\x05\x00\x01x\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		parseReply(p)
		r, err := parseRequest(p)
		if err != nil {
			return
		}
		again, err := parseRequest(appendRequest(nil, r))
		if err != nil || !r.equal(again) {
			t.Errorf("parseRequest(%q) = %+v, and written anew %+v, %v", p, r, again, err)
		}
		if got := negotiate(r, 1<<40, 1468); got.block < 8 || got.block > 1468 || got.window < 1 || got.window > maxWindow {
			t.Errorf("negotiate(%+v) = %+v: out of bounds", r, got)
		}
	})
}

func TestErrorsEndWithAZero(t *testing.T) {
	got := appendError(nil, errorNotFound, "file not found")
	if want := []byte("\x00\x05\x00\x01file not found\x00"); !bytes.Equal(got, want) {
		t.Errorf("appendError = %q, want %q", got, want)
	}
}
