package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head = `name = "linux"
version = "6.12.117"
series = "6.12"
licence = "GPL-2.0-only"

[[file]]
part = "source"
`

const everyLocation = head + `file = "linux.tar"
size = 10
sha256 = "` + sum1 + `"
unpack = "tar"
locations = [
  { url = "https://a.example/linux.tar" },
  { url = "http://a.example/linux.tar" },
  { url = "ftp://a.example:2121/pub/linux.tar" },
  { git = "https://a.example/linux.git", tag = "v6.12.117", commit = "0123456789012345678901234567890123456789" },
  { git = "file:///srv/linux.git", tag = "rel/6.12.117", commit = "0123456789012345678901234567890123456789" },
  { git = "../linux.git", tag = "v6.12.117", commit = "0123456789012345678901234567890123456789" },
  { debian = "linux-source-6.12", version = "6.12.117-1", arch = "all" },
  { debian-source = "linux-6.12", version = "1:6.12.117-1" },
  { path = "vendor/linux.tar" },
]

[file.signature]
openpgp = "keys/linux.asc"
allow-sha1 = true
file = "linux.tar.asc"
size = 20
sha256 = "` + sum2 + `"
locations = [{ url = "https://a.example/linux.tar.asc" }]
`

const sum2 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

const developedRecipe = head + "dir = \"/home/me/linux\"\n"

func TestParseLocations(t *testing.T) {
	r, err := Parse("r.toml", "linux", []byte(everyLocation))
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.Repeat("0123456789", 4)
	want := []Location{
		{URL: "https://a.example/linux.tar"}, {URL: "http://a.example/linux.tar"}, {URL: "ftp://a.example:2121/pub/linux.tar"},
		{Git: &GitTag{"https://a.example/linux.git", "v6.12.117", commit}},
		{Git: &GitTag{"file:///srv/linux.git", "rel/6.12.117", commit}},
		{Git: &GitTag{"../linux.git", "v6.12.117", commit}},
		{Debian: &DebianPackage{"linux-source-6.12", "6.12.117-1", "all"}},
		{DebianSource: &DebianSource{"linux-6.12", "1:6.12.117-1"}},
		{Path: "vendor/linux.tar"},
	}
	if diff := cmp.Diff(want, r.Files[0].Locations); diff != "" {
		t.Errorf("locations (-want +got)\n%s", diff)
	}
	signature := &Signature{Format: OpenPGP, Key: "keys/linux.asc", AllowSHA1: true, Name: "linux.tar.asc", Size: 20, SHA256: sum2,
		Locations: []Location{{URL: "https://a.example/linux.tar.asc"}}}
	if diff := cmp.Diff(signature, r.Files[0].Signature); diff != "" {
		t.Errorf("signature (-want +got)\n%s", diff)
	}
	r, err = Parse("r.toml", "linux", []byte(strings.Replace(everyLocation, "openpgp = \"keys/linux.asc\"\nallow-sha1 = true", `signify = "keys/linux.pub"`, 1)))
	if err != nil || r.Files[0].Signature.Format != Signify || r.Files[0].Signature.Key != "keys/linux.pub" {
		t.Errorf("Parse with signify = %+v, %v", r, err)
	}
	r, err = Parse("r.toml", "linux", []byte(developedRecipe))
	if diff := cmp.Diff([]File{{Part: "source", Dir: "/home/me/linux", Line: 6}}, r.Files); diff != "" || err != nil {
		t.Errorf("folder under development: %v (-want +got)\n%s", err, diff)
	}
}

func TestParseLocationErrors(t *testing.T) {
	const git = `git = "https://a.example/linux.git", tag = "v6.12.117", commit = "0123456789012345678901234567890123456789"`
	for name, tc := range map[string]struct{ old, new, want string }{
		"no kind":                  {`path = "vendor/linux.tar"`, `version = "1"`, `r.toml:21: a location has one of url, git, debian, debian-source, path; 0 are given`},
		"unknown kind":             {`path = "vendor/linux.tar"`, `hg = "x"`, `r.toml:21: unknown key`},
		"url without a host":       {`https://a.example/linux.tar"`, `https:///linux.tar"`, `r.toml:13: url: "https:///linux.tar" does not begin`},
		"url with a password":      {`https://a.example/linux.tar"`, `https://me:secret@a.example/linux.tar"`, `r.toml:13: url: "https://me:secret@a.example/linux.tar" has a user`},
		"ftp command in a url":     {`2121/pub/linux.tar`, `2121/pub%0d%0aDELE x`, `r.toml:15: url: "ftp://a.example:2121/pub%0d%0aDELE x" has a control character`},
		"url with an arch":         {`{ url = "https://a.example/linux.tar" }`, `{ url = "https://a.example/linux.tar", arch = "all" }`, `r.toml:13: arch: it does not belong to a location with url`},
		"git over ssh":             {git, strings.Replace(git, "https:", "ssh:", 1), `r.toml:16: git: "ssh://a.example/linux.git" is not https://`},
		"git with a helper":        {git, strings.Replace(git, "https://a.example", "ext::sh", 1), `r.toml:16: git: "ext::sh/linux.git" is not a path`},
		"git with an option":       {`"../linux.git"`, `"--upload-pack=x"`, `r.toml:18: git: "--upload-pack=x" is not a path`},
		"tag with an option":       {`tag = "v6`, `tag = "-v6`, `r.toml:16: tag: "-v6.12.117" is not the name of a tag`},
		"tag with two dots":        {`tag = "v6`, `tag = "v..6`, `r.toml:16: tag: "v..6.12.117" is not the name of a tag`},
		"tag like a lock":          {`tag = "v6.12.117"`, `tag = "v6.lock"`, `r.toml:16: tag: "v6.lock" is not the name of a tag`},
		"no commit":                {git, git[:strings.Index(git, ", commit")], `r.toml:16: commit: "" is not 40 digits`},
		"short commit":             {`commit = "0123`, `commit = "123`, `r.toml:16: commit: "123456789012345678901234567890123456789" is not 40 digits`},
		"source with an arch":      {`"1:6.12.117-1"`, `"1:6.12.117-1", arch = "all"`, `r.toml:20: arch: it does not belong to a location with debian-source`},
		"source is an option":      {`debian-source = "linux-6.12"`, `debian-source = "-x"`, `r.toml:20: debian-source: "-x" is not the name of a Debian package`},
		"binary package of source": {`arch = "all"`, `arch = "source"`, `r.toml:19: arch: "source" is not a Debian architecture`},
		"no path":                  {`"vendor/linux.tar"`, `""`, `r.toml:21: path: "" is not a path`},
		"both signatures":          {`allow-sha1`, "signify = \"x\"\nallow-sha1", `r.toml:24: signature: it is openpgp or signify, not both`},
		"signify with SHA-1":       {`openpgp`, "signify", `r.toml:26: allow-sha1: signify has no SHA-1`},
		"no key":                   {`openpgp = "keys/linux.asc"`, ``, `r.toml:24: signature: "" is not a key's file`},
		"key elsewhere":            {`"keys/linux.asc"`, `"../keys/linux.asc"`, `r.toml:24: signature: "../keys/linux.asc" is not a key's file`},
		"signature without a hash": {`sha256 = "` + sum2, `sha256 = "`, `r.toml:29: sha256: ""`},
		"huge signature":           {`size = 20`, `size = 100000`, `r.toml:28: size: 100000 is more than`},
		"signature from nowhere":   {`locations = [{ url = "https://a.example/linux.tar.asc" }]`, ``, `r.toml:24: locations: a file needs at least one`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(everyLocation, tc.old, tc.new, 1)
			if text == everyLocation {
				t.Fatalf("%q is not in the recipe", tc.old)
			}
			_, err := Parse("r.toml", "linux", []byte(text))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Parse = %v\nwant %s…", err, tc.want)
			}
		})
	}
}

func TestParseDevelopedErrors(t *testing.T) {
	rest := strings.TrimPrefix(everyLocation, head)
	for name, tc := range map[string]struct{ text, want string }{
		"empty":        {head + "dir = \"\"\n", `r.toml:8: dir: "" is not a path`},
		"with a hash":  {developedRecipe + "sha256 = \"" + sum1 + "\"\n", "r.toml:9: sha256: it does not belong to a [[file]] with dir"},
		"beside a tar": {developedRecipe + "[[file]]\npart = \"source\"\n" + rest, `r.toml:6: dir: the part "source" has another [[file]]`},
	} {
		_, err := Parse("r.toml", "linux", []byte(tc.text))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: Parse = %v\nwant %s…", name, err, tc.want)
		}
	}
}

func TestDevelop(t *testing.T) {
	r := Recipe{Name: "linux", Files: []File{{Part: "source", Name: "a"}, {Part: "extra", Name: "b"}, {Part: "source", Name: "c"}}}
	got, err := r.Develop("/home/me/linux")
	if diff := cmp.Diff([]File{{Part: "extra", Name: "b"}, {Part: "source", Dir: "/home/me/linux"}}, got.Files); diff != "" || err != nil {
		t.Errorf("Develop: %v (-want +got)\n%s", err, diff)
	}
	if len(r.Part("source")) != 2 {
		t.Error("Develop changes the recipe it is called on")
	}
	if _, err := (Recipe{Name: "grub"}).Develop("/x"); err == nil {
		t.Error("Develop of a recipe without a source = nil")
	}
}
