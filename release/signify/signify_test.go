package signify

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pair makes the key pair of a seed.
func pair(t testing.TB, seed int64) (PublicKey, SecretKey) {
	t.Helper()
	p, s, err := Generate(rand.New(rand.NewSource(seed)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

func noPassphrase() ([]byte, error) { return nil, errors.New("asked for a passphrase") }

func words(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

// file is the two lines that hold content.
func file(content string) string {
	return "untrusted comment: x\n" + base64.StdEncoding.EncodeToString([]byte(content)) + "\n"
}

func TestVerify(t *testing.T) {
	public, secret := pair(t, 1)
	other, _ := pair(t, 2)
	message := []byte("a release")
	sig := secret.Sign(message)
	forged := other
	forged.Number = public.Number
	for name, tc := range map[string]struct {
		key     PublicKey
		message string
		sig     string
		want    string
	}{
		"right":                   {public, "a release", string(sig), ""},
		"another message":         {public, "a relaese", string(sig), ErrBadSignature.Error()},
		"another key":             {other, "a release", string(sig), "signature: made by key " + public.Number.String() + ", but this is key " + other.Number.String()},
		"another key, our number": {forged, "a release", string(sig), ErrBadSignature.Error()},
		"empty file":              {public, "a release", "", `signature: line 1: "" does not begin with "untrusted comment: "`},
		"no comment":              {public, "a release", "RWQ\n", `signature: line 1: "RWQ" does not begin with "untrusted comment: "`},
		"one line":                {public, "a release", "untrusted comment: x", "signature: line 2: is missing"},
		"cut short":               {public, "a release", string(sig[:len(sig)-1]), "signature: line 2: does not end: the file is cut short"},
		"not base64":              {public, "a release", "untrusted comment: x\n****\n", "signature: line 2: is not base64"},
		"line ends of Windows":    {public, "a release", strings.ReplaceAll(string(sig), "\n", "\r\n"), "signature: line 2: is not base64"},
		"a public key":            {public, "a release", string(public.Marshal()), "signature: line 2: holds 42 bytes, a signature has 74"},
		"another algorithm":       {public, "a release", file("ED" + strings.Repeat("x", 72)), `signature: line 2: algorithm "ED", only "Ed" is known`},
		"with the message inside": {public, "a release", string(sig) + "a release", "signature: line 3: 9 bytes where the file should end"},
		"a long comment":          {public, "a release", "untrusted comment: " + strings.Repeat("x", 1005) + "\n", "signature: line 1: has 1024 bytes, more than 1023"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tc.key.Verify([]byte(tc.message), []byte(tc.sig)); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Verify (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecretKey(t *testing.T) {
	public, secret := pair(t, 1)
	secret.PublicFile = "release.pub"
	for name, passphrase := range map[string][]byte{"plain": nil, "encrypted": []byte("carps and tenches")} {
		t.Run(name, func(t *testing.T) {
			data, err := secret.Marshal(rand.New(rand.NewSource(3)), passphrase)
			if err != nil {
				t.Fatal(err)
			}
			ask := noPassphrase
			if passphrase != nil {
				ask = words(string(passphrase))
			}
			back, err := ParseSecretKey(data, ask)
			if err != nil {
				t.Fatal(err)
			}
			if back.Comment != "test secret key" || back.Number != public.Number {
				t.Errorf("ParseSecretKey: comment %q, number %s", back.Comment, back.Number)
			}
			if err := public.Verify([]byte("m"), back.Sign([]byte("m"))); err != nil {
				t.Error(err)
			}
			if want := "untrusted comment: signature from test secret key\n"; !strings.HasPrefix(string(back.Sign(nil)), want) {
				t.Errorf("Sign = %s, want %s", back.Sign(nil), want)
			}
		})
	}
	if want := "untrusted comment: verify with release.pub\n"; !strings.HasPrefix(string(secret.Sign(nil)), want) {
		t.Errorf("Sign = %s, want %s", secret.Sign(nil), want)
	}
	if _, err := secret.Marshal(rand.New(rand.NewSource(3)), []byte{}); err == nil {
		t.Error("Marshal with an empty passphrase = nil")
	}
}

func TestBadSecretKey(t *testing.T) {
	_, secret := pair(t, 1)
	_, other := pair(t, 2)
	marshal := func(s SecretKey, passphrase []byte) string {
		data, err := s.Marshal(rand.New(rand.NewSource(3)), passphrase)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	mixed := secret
	mixed.key = append(bytes.Clone(secret.key[:32]), other.key[32:]...)
	damage := func(at int, b string) string {
		content, err := base64.StdEncoding.DecodeString(strings.Split(marshal(secret, nil), "\n")[1])
		if err != nil {
			t.Fatal(err)
		}
		copy(content[at:], b)
		return file(string(content))
	}
	for name, tc := range map[string]struct {
		data string
		ask  func() ([]byte, error)
		want string
	}{
		"wrong passphrase":     {marshal(secret, []byte("right")), words("wrong"), "secret key: wrong passphrase"},
		"no passphrase given":  {marshal(secret, []byte("right")), words(""), "secret key: the passphrase is empty"},
		"cannot ask":           {marshal(secret, []byte("right")), noPassphrase, "asked for a passphrase"},
		"another kdf":          {damage(2, "XX"), noPassphrase, `secret key: line 2: passphrase's function "XX", only "BK" is known`},
		"endless rounds":       {damage(4, "\xff\xff\xff\xff"), noPassphrase, "secret key: line 2: 4294967295 rounds, at most 4096 are computed"},
		"damaged":              {damage(50, "\x00\x00"), noPassphrase, "secret key: line 2: the key does not have its checksum"},
		"halves of two keys":   {marshal(mixed, nil), noPassphrase, "secret key: line 2: the public half is of another key"},
		"public key":           {string(secret.Public().Marshal()), noPassphrase, "secret key: line 2: holds 42 bytes, a secret key has 104"},
		"a comment of another": {"comment: x\n", noPassphrase, `secret key: line 1: "comment: x" does not begin with "untrusted comment: "`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSecretKey([]byte(tc.data), tc.ask)
			if err == nil || err.Error() != tc.want {
				t.Errorf("ParseSecretKey = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestCommentInOneLine(t *testing.T) {
	public, _ := pair(t, 1)
	for comment, want := range map[string]string{
		"two\nlines":              "two",
		strings.Repeat("x", 2000): strings.Repeat("x", 1004),
	} {
		public.Comment = comment
		back, err := ParsePublicKey(public.Marshal())
		if err != nil || back.Comment != want {
			t.Errorf("comment %.10q… = %q, %v, want %q", comment, back.Comment, err, want)
		}
	}
}

// What is accepted is exactly what would be written.
func FuzzParsePublicKey(f *testing.F) {
	public, secret := pair(f, 1)
	f.Add(public.Marshal())
	f.Add(secret.Sign([]byte("m")))
	f.Add([]byte("untrusted comment: \n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := ParsePublicKey(data); err == nil && !bytes.Equal(k.Marshal(), data) {
			t.Errorf("ParsePublicKey(%q) is written as %q", data, k.Marshal())
		}
		if s, err := ParseSignature(data); err == nil && !bytes.Equal(encode(s.Comment, s.Number[:], s.sig), data) {
			t.Errorf("ParseSignature(%q) is written as another", data)
		}
	})
}

func FuzzParseSecretKey(f *testing.F) {
	_, secret := pair(f, 1)
	for _, passphrase := range [][]byte{nil, []byte("p")} {
		data, err := secret.Marshal(rand.New(rand.NewSource(3)), passphrase)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSecretKey(data, noPassphrase)
		if err != nil {
			return
		}
		if err := s.Public().Verify(data, s.Sign(data)); err != nil {
			t.Error(err)
		}
	})
}
