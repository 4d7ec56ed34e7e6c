package supervisor

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/supervisor/status"
)

const (
	testSBOM = `{"bomFormat":"CycloneDX","components":[{"name":"bird","version":"2.0.12"},
{"name":"linux","version":"6.12.117","licenses":[{"license":{"id":"GPL-2.0-only"}},{"expression":"MIT OR ISC"}]}]}
`
	testSBOMHash = "8bee100592e02b9c54811af62b9b8799aed0bf91dbf50278ac950be5b7c72a81"
)

func TestImageNodes(t *testing.T) {
	const build = `{"board":"apu2","release":"2026.11","epoch":1793491200}`
	whole := status.Node{Name: "image", State: "2026.11", OK: true,
		Detail: []string{"board apu2", "slot b", "epoch 2026-11-01T00:00:00Z", "SBOM of 2 components", "SHA-256 " + testSBOMHash[:shownHash] + "..."},
		Facts: map[string]string{"board": "apu2", "release": "2026.11", "slot": "b", "epoch": "2026-11-01T00:00:00Z",
			"sbom-components": "2", "sbom-sha256": testSBOMHash}}
	bare := status.Node{Name: "image", State: "2026.11", OK: true,
		Detail: []string{"board apu2", "slot b", "epoch 2026-11-01T00:00:00Z", "no SBOM"},
		Facts:  map[string]string{"board": "apu2", "release": "2026.11", "slot": "b", "epoch": "2026-11-01T00:00:00Z"}}
	broken := bare
	broken.OK, broken.Detail = false, bare.Detail[:3]
	broken.Cause = "sbom: read ROOT/etc/tench/sbom.json: unexpected end of JSON input"
	for name, tc := range map[string]struct {
		files map[string]string
		want  []status.Node
	}{
		"no image":    {map[string]string{}, nil},
		"whole":       {map[string]string{buildFile: build, "/proc/cmdline": "quiet tench.slot=b\n", SBOMFile: testSBOM}, []status.Node{whole}},
		"no SBOM":     {map[string]string{buildFile: build, "/proc/cmdline": "tench.slot=b"}, []status.Node{bare}},
		"broken SBOM": {map[string]string{buildFile: build, "/proc/cmdline": "tench.slot=b", SBOMFile: "{"}, []status.Node{broken}},
		"broken build": {map[string]string{buildFile: "{", "/proc/cmdline": ""}, []status.Node{{Name: "image", State: "unknown",
			Cause: "build.json: unexpected end of JSON input", Detail: []string{"epoch 1970-01-01T00:00:00Z", "no SBOM"},
			Facts: map[string]string{"release": "", "epoch": "1970-01-01T00:00:00Z"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			root := fakeRoot(t, tc.files)
			got := imageNodes(root)
			for i := range got {
				got[i].Cause = strings.ReplaceAll(got[i].Cause, root, "ROOT")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("imageNodes (-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadSBOM(t *testing.T) {
	root := fakeRoot(t, map[string]string{"sbom.json": testSBOM})
	got, err := ReadSBOM(root + "/sbom.json")
	if err != nil {
		t.Fatal(err)
	}
	want := SBOM{SHA256: testSBOMHash, Text: []byte(testSBOM), Components: []Component{
		{"bird", "2.0.12", ""}, {"linux", "6.12.117", "GPL-2.0-only, MIT OR ISC"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadSBOM (-want +got)\n%s", diff)
	}
}

func FuzzSBOM(f *testing.F) {
	f.Add([]byte(testSBOM))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseSBOM(data); err == nil && len(s.SHA256) != 64 {
			t.Errorf("the hash of %q is %q", data, s.SHA256)
		}
	})
}

func TestWatchdogOfTheBoard(t *testing.T) {
	const dir = "/sys/class/watchdog/watchdog0/"
	for name, tc := range map[string]struct {
		files map[string]string
		want  boards.Watchdog
		text  string
	}{
		"as promised": {map[string]string{dir + "identity": "SP5100 TCO timer\n", dir + "timeout": "30\n"}, boards.Watchdog{Driver: "sp5100", Timeout: 30},
			"ok  watchdog  SP5100 TCO timer, 30 s (sp5100 with 30 s expected)\n"},
		"any": {map[string]string{dir + "identity": "Geode\n", dir + "timeout": "30\n"}, boards.Watchdog{Timeout: 30},
			"ok  watchdog  Geode, 30 s (any of hardware with 30 s expected)\n"},
		"another driver": {map[string]string{dir + "identity": "i6300ESB timer\n", dir + "timeout": "30\n"}, boards.Watchdog{Driver: "sp5100", Timeout: 30},
			"OTHER  watchdog  i6300ESB timer, 30 s (sp5100 with 30 s expected)\n"},
		"the kernel's own": {map[string]string{dir + "identity": softDog + "\n", dir + "timeout": "30\n"}, boards.Watchdog{Timeout: 30},
			"OTHER  watchdog  Software Watchdog, 30 s (any of hardware with 30 s expected)\n"},
		"none":           {nil, boards.Watchdog{Timeout: 30}, "MISSING  watchdog  any of hardware with 30 s expected\n"},
		"no board.toml":  {nil, boards.Watchdog{}, ""},
		"longer timeout": {map[string]string{dir + "identity": "Geode\n", dir + "timeout": "60\n"}, boards.Watchdog{Timeout: 30}, "OTHER  watchdog  Geode, 60 s (any of hardware with 30 s expected)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := bundle{root: fakeRoot(t, tc.files)}.signals(boards.Board{Watchdog: tc.want})
			if diff := cmp.Diff(tc.text, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
