package netboot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const whole = `{"server":"http://192.0.2.1:8080","token":"abcdefgh-123","box":"gw0","mode":"install"}`

func TestParse(t *testing.T) {
	f, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := File{Server: "http://192.0.2.1:8080", Token: "abcdefgh-123", Box: "gw0", Mode: Install}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if got := f.Path("plan"); got != "/b/abcdefgh-123/plan" {
		t.Errorf("Path = %s", got)
	}
	for name, tc := range map[string]struct{ old, new, want string }{
		"unknown key":       {`"box"`, `"bx":"","box"`, "unknown field"},
		"https":             {"http:", "https:", "is not http://ADDRESS:PORT"},
		"a name":            {"192.0.2.1:8080", "boot.lan", "is not http://ADDRESS:PORT"},
		"a path":            {"8080", "8080/x", "is not http://ADDRESS:PORT"},
		"short token":       {"abcdefgh-123", "abc", "8 to 128 letters"},
		"token with a line": {"abcdefgh-123", `abcdefgh\r\nHost: x`, "8 to 128 letters"},
		"box":               {"gw0", "gw 0", "no name of a box"},
		"no host name":      {"gw0", "gw0-", "no name of a box"},
		"more behind":       {"}", "} {}", "more behind its end"},
		"hardware":          {`"mode"`, `"hardware":"a\u001b[2J","mode"`, "is no name of hardware"},
		"mode":              {"install", "wipe", "is not install or run"},
		"not JSON":          {"{", "", "netboot.json: "},
		"too long":          {"gw0", strings.Repeat("g", MaxFile), "more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(strings.Replace(whole, tc.old, tc.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse = %v; want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "Host: x") {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for server, want := range map[string]string{
		"http://192.0.2.1":              "192.0.2.1:80",
		"http://192.0.2.1/":             "192.0.2.1:80",
		"http://[2001:db8::1]":          "[2001:db8::1]:80",
		"http://[2001:db8::1]:8080":     "[2001:db8::1]:8080",
		"http://192.0.2.1:0":            "",
		"192.0.2.1:80":                  "",
		"http://192.0.2.1:80/elsewhere": "",
	} {
		got, err := File{Server: server}.Address()
		if want == "" && err == nil || want != "" && got.String() != want {
			t.Errorf("Address of %s = %v, %v; want %q", server, got, err, want)
		}
	}
}
