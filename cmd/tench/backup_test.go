package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"tench/backup"
	"tench/backup/sealed"
)

// sampleBackup is of a box whose lan is named by its MAC address.
func sampleBackup() backup.Archive {
	return backup.Archive{
		About: backup.About{Board: "apu2", Release: "2026.11", Ports: []backup.Port{
			{Label: "LAN", Name: "eth1", Path: "pci-0000:00:11.0", MAC: "52:54:00:00:00:11"}}},
		Generations: []backup.Generation{
			{Number: 6, Data: []byte("hostname = \"old\"\n")},
			{Number: 7, Data: []byte("hostname = \"gw0\"\n[interface.lan]\ndevice = \"52:54:00:00:00:11\"\n")},
		},
		Current: 7,
		Identity: []backup.File{
			{Path: "authorized_keys", Data: []byte("")},
			{Path: "name", Data: []byte("gw0\n")},
			{Path: "secrets/wan", Data: []byte("s3cret")},
		},
	}
}

// writeBackup is the script command "backup FILE PASSPHRASE": a backup that can
// be opened in no time.
func writeBackup(ts *testscript.TestScript, _ bool, args []string) {
	to, err := age.NewScryptRecipient(args[1])
	ts.Check(err)
	to.SetWorkFactor(10)
	data, err := sealed.Seal(sampleBackup(), to)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// sender is a box that sends data, and then ends.
type sender struct {
	data []byte
	end  error
}

func (s sender) Run(_ context.Context, command string, _ io.Reader, w io.Writer) error {
	if command != "backup" {
		return fmt.Errorf("unknown command %q", command)
	}
	for chunk := range slices.Chunk(s.data, 1000) {
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	return s.end
}

func (sender) Close() error { return nil }

func TestSaveBackup(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to := []age.Recipient{key.Recipient()}
	var stream bytes.Buffer
	if err := backup.Write(&stream, sampleBackup()); err != nil {
		t.Fatal(err)
	}
	whole := stream.Bytes()
	for _, tc := range []struct {
		name string
		box  sender
		want string // part of the error; "" for none
	}{
		{"a whole archive", sender{whole, nil}, ""},
		{"the line breaks", sender{whole[:3000], errors.New("the connection was lost")}, "the connection was lost"},
		{"the line breaks, and nobody says so", sender{whole[:3000], nil}, "not whole"},
		{"the box says nothing", sender{nil, nil}, "this is no backup"},
		{"the box sends something else", sender{bytes.Repeat([]byte("tench: ready\n"), 100), nil}, "invalid tar header"},
		{"the box never ends", sender{make([]byte, backup.MaxTotal+1), nil}, "sends more than 16777216 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "gw0.age")
			if err := os.WriteFile(file, []byte("the one before"), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := saveBackup(t.Context(), tc.box, file, to)
			data, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("there are %d files; want one", len(entries))
			}
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("saveBackup = %v; want an error with %q", err, tc.want)
				}
				if string(data) != "the one before" {
					t.Errorf("the backup from before is gone")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
			}
			if bytes.Contains(data, []byte("s3cret")) || bytes.Contains(data, []byte("gw0")) {
				t.Error("the file has plain text in it")
			}
			if _, err := sealed.Open(bytes.NewReader(data), key); err != nil {
				t.Error(err)
			}
		})
	}
}
