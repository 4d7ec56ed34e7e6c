package track

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
)

func TestStoredForItsOwnerAlone(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	path := filepath.Join(d.o.Dir, "52-54-00-00-00-01.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: %v, %v, want mode 0600", path, info.Mode(), err)
	}
	if dir, err := os.Stat(d.o.Dir); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v, want mode 0700", d.o.Dir, dir.Mode(), err)
	}
	got, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(i, got); diff != "" {
		t.Errorf("on disk (-want +got):\n%s", diff)
	}
}

func TestOpen(t *testing.T) {
	tests := []struct{ name, file, data, err string }{
		{"torn", "52-54-00-00-00-01.json", `{"box":"52:54:00`, "hint: remove it"},
		{"empty", "52-54-00-00-00-01.json", ``, "hint: remove it"},
		{"without a token", "52-54-00-00-00-01.json", `{"box":"52:54:00:00:00:01","state":"armed","mode":"install"}`, "no token"},
		{"a stage that there is not", "52-54-00-00-00-01.json", `{"box":"52:54:00:00:00:01","token":"00000000000000000000000000000000","reached":"asleep"}`, "no such stage"},
		{"another box's", "52-54-00-00-00-02.json", `{"box":"52:54:00:00:00:01","token":"00000000000000000000000000000000","state":"armed","mode":"install"}`, "another's"},
		{"what a power cut left", ".52-54-00-00-00-01.json123", `{`, ""},
		{"a note", "README", `hello`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.Close()
			if err := os.WriteFile(filepath.Join(d.o.Dir, tt.file), []byte(tt.data), 0o600); err != nil {
				t.Fatal(err)
			}
			table, err := New(d.o)
			if tt.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				table.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("New: %v, want an error about %q that names the file", err, tt.err)
			}
		})
	}
}

// The directory may be somebody's home.
func TestOpenLeavesWhatIsNotOurs(t *testing.T) {
	d := newDesk(t)
	d.Close()
	left := map[string]bool{".bashrc": true, ".json": true, "package.json": true, ".52-54-00-00-00-01": true,
		".52-54-00-00-00-01.json123": false, ".52-54-00-00-00-01.toml123": false}
	for name := range left {
		if err := os.WriteFile(filepath.Join(d.o.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.open()
	for name, want := range left {
		if _, err := os.Stat(filepath.Join(d.o.Dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want that it is there: %v", name, err, want)
		}
	}
}

func TestOneTableADirectory(t *testing.T) {
	d := newDesk(t)
	if _, err := New(d.o); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a second table in the directory: %v, want an error with a hint", err)
	}
}

func TestWhatCannotBeKept(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	if err := os.RemoveAll(d.o.Dir); err != nil { // root may write into what is read-only
		t.Fatal(err)
	}
	other := install0
	other.Box, other.Name = gw1, "gw1"
	if _, err := d.Arm(other); err == nil {
		t.Error("armed what cannot be kept: no error")
	}
	if got := d.state(gw1); got != "not armed" {
		t.Errorf("gw1 is %q, want that it is not armed", got)
	}
	d.hear(gw0, bios...)
	d.flush()
	if last := d.log[len(d.log)-1]; last.Kind != event.Trouble || last.Box != gw0 {
		t.Errorf("the table said last %+v, want trouble", last)
	}
	if _, err := d.Begin(i.Token); err == nil {
		t.Error("begun, and not kept: no error")
	}
	if _, err := d.Done(i.Token, "aa"); err == nil {
		t.Error("done, and not kept: no error, so the box would not say it again")
	}
}

func TestRunKeepsWhatEventsChange(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	d.hear(gw0, bios...)
	stop()
	<-ended
	got, err := read(d.path(gw0))
	if err != nil || got.State != StateBooting || got.Reached != Starting {
		t.Errorf("on disk: %s, at %q, %v; want booting, starting", got.State, got.Reached, err)
	}
}
