package dhcp

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testRecord() record {
	return record{BootID: "b1", MAC: "52:54:00:12:34:56", At: 5 * time.Second, Lease: testGrant()}
}

func TestRecordRoundTrip(t *testing.T) {
	dir := t.TempDir()
	want := testRecord()
	want.Wall = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	if err := newStore(dir, "wan").save(want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := newStore(dir, "wan").load()
	if err != nil || !ok {
		t.Fatalf("load: %v, %v", ok, err)
	}
	if diff := cmp.Diff(want, got, netips); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "dhcp-wan.json" {
		t.Errorf("left in the folder: %v", left)
	}
}

// TestRecordSparesTheFlash: a renewal alone writes once an hour.
func TestRecordSparesTheFlash(t *testing.T) {
	dir := t.TempDir()
	s, r := newStore(dir, "wan"), testRecord()
	path := filepath.Join(dir, "dhcp-wan.json")
	writes := 0
	save := func() {
		t.Helper()
		if err := s.save(r); err != nil {
			t.Fatal(err)
		}
		// What is written is removed, so that the next write shows.
		if os.Remove(path) == nil {
			writes++
		}
	}
	expect := func(what string, want int) {
		t.Helper()
		if writes != want {
			t.Errorf("%s: %d writes, want %d", what, writes, want)
		}
		writes = 0
	}
	save()
	expect("first lease", 1)
	for range 24 * 60 { // a lease of two minutes, renewed for a day
		r.At += time.Minute
		save()
	}
	expect("a day of renewals", 24)
	r.Lease.DNS = append(r.Lease.DNS, r.Lease.Server)
	save()
	expect("another name server", 1)
	r.BootID = "b2"
	save()
	expect("another boot", 1)
}

func TestRecordsThatMakeNoSense(t *testing.T) {
	for name, content := range map[string]string{
		"empty":         "",
		"cut short":     `{"boot-id": "b1", "lease": {"addr`,
		"no lease":      `{"boot-id": "b1"}`,
		"bad address":   `{"lease": {"address": "10.0.0.300/24"}}`,
		"times swapped": `{"lease": {"address": "10.0.2.15/24", "server": "10.0.2.2", "duration": 20000000000, "t1": 9, "t2": 5}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "dhcp-wan.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if r, ok, err := newStore(dir, "wan").load(); ok || err == nil {
				t.Errorf("load = %v, %v, %v, want an error", r, ok, err)
			}
		})
	}
	if _, ok, err := newStore(t.TempDir(), "wan").load(); ok || err != nil {
		t.Errorf("load without a file = %v, %v, want neither", ok, err)
	}
}
