package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
)

func TestParseFragment(t *testing.T) {
	tests := []struct {
		name, text string
		want       []Symbol
		wantErr    string
	}{
		{"all kinds of lines", "# comment\n\nCONFIG_A=y\nCONFIG_B=\"x \\\" y\"  \nCONFIG_C=0x1f\nCONFIG_D=-5\n# CONFIG_E is not set\nCONFIG_F=n\n",
			[]Symbol{{"A", "y", "f", 3}, {"B", `"x \" y"`, "f", 4}, {"C", "0x1f", "f", 5}, {"D", "-5", "f", 6}, {"E", "n", "f", 7}, {"F", "n", "f", 8}}, ""},
		{"module", "CONFIG_A=m\n", nil, "f:1: A=m: the kernel has no modules"},
		{"twice", "CONFIG_A=y\n\n# CONFIG_A is not set\n", []Symbol{{"A", "y", "f", 1}}, "f:3: A is already set in line 1"},
		{"no CONFIG_", "A=y\n", nil, `f:1: "A=y" is not CONFIG_NAME=value`},
		{"comment behind a value", "CONFIG_A=y # why\n", nil, "f:1: A=y # why: a value is y, n, a number"},
		{"no value", "CONFIG_A=\n", nil, "f:1: A=: a value is"},
		{"open string", "CONFIG_A=\"x\n", nil, "f:1: A=\"x: a value is"},
		{"unset line without CONFIG_", "# A is not set\n", nil, "f:1: \"# A is not set\" is a comment"},
		{"unset line with too little space", "#CONFIG_A is not set\n", nil, "f:1: \"#CONFIG_A is not set\" is a comment"},
		{"two mistakes", "x\ny\n", nil, "f:2: \"y\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFragment("f", []byte(tt.text))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			checkError(t, err, tt.wantErr)
		})
	}
}

func TestMergeLastFragmentWins(t *testing.T) {
	first := fragment(t, "CONFIG_A=y\nCONFIG_B=1\n")[0]
	second := fragment(t, "# CONFIG_A is not set\nCONFIG_C=y\n")[0]
	first.Name, second.Name = "first", "second"
	got, err := Merge([]Fragment{first, second})
	if err != nil {
		t.Fatal(err)
	}
	want := []Symbol{{"A", "n", "second", 1}, {"B", "1", "first", 2}, {"C", "y", "second", 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Merge (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff("# CONFIG_A is not set\nCONFIG_B=1\nCONFIG_C=y\n", string(renderSymbols(got))); diff != "" {
		t.Errorf("renderSymbols (-want +got)\n%s", diff)
	}
}

func TestFragments(t *testing.T) {
	dir, own := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "base.config"), "")
	write(t, filepath.Join(dir, "net.config"), "")
	b := boards.Board{Name: "small", Dir: own, Kernel: boards.Kernel{Fragments: []string{"base", "net"}}}

	got, err := Fragments(b, dir)
	if err != nil || len(got) != 2 || got[1].Name != "net.config" {
		t.Errorf("Fragments = %v, %v", got, err)
	}
	write(t, filepath.Join(own, "kernel.config"), "")
	got, err = Fragments(b, dir)
	if err != nil || len(got) != 3 || got[2].Name != "boards/small/kernel.config" {
		t.Errorf("Fragments with the board's own = %v, %v", got, err)
	}
	b.Kernel.Fragments = []string{"bse"}
	_, err = Fragments(b, dir)
	checkError(t, err, `did you mean "base"?`)
}

func TestOurFragmentsParse(t *testing.T) {
	list, err := boards.List("../../boards")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		frags, err := Fragments(b, "../../release/recipes/linux/fragments")
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := Merge(frags); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
}

func TestWhy(t *testing.T) {
	k, err := readKconfig("testdata/kconfig", map[string]string{"SRCARCH": "x86"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		wanted string // SYMBOL=value
		config string // space-separated
		want   string
	}{
		{"parent symbol is off", "PPPOE=y", "NET=y", "it depends on PPP, which is n"},
		{"parent menu is off", "PPP=y", "", "it depends on NET, which is n"},
		{"several are off", "MPPE=y", "", "it depends on NET, which is n, and PPP, which is n"},
		{"one of two would do", "PPPOE=y", "NET=y PPP=y LEGACY=y", "it depends on VLAN || !LEGACY, which is n"},
		{"only as a module", "ONLY_MODULE=y", "MODULES=y", "it depends on m, which there is not for this CPU"},
		{"comparison", "BIG=y", `CPUS=4 NAME="x"`, `it depends on CPUS>8, but CPUS is 4, and NAME!="x", but NAME is "x"`},
		{"compiler", "HARDENED=y", "", "it depends on $(cc-option,-fhardened (really)), which this machine's tools seem not to offer"},
		{"no such symbol", "PPOE=y", "", "there is no such symbol for this CPU; the nearest name is PPPOE"},
		{"no name is near", "WIRELESS=y", "", "there is no such symbol for this CPU"},
		{"text in help is no symbol", "NOT_A_SYMBOL=y", "", "there is no such symbol for this CPU"},
		{"choice", "HZ_100=y", "HZ_250=y", "it is one of a choice, and HZ_250 is the one that is y"},
		{"default of a choice", "HZ_250=n", "HZ_250=y", "it is the default of its choice; name another one of HZ_100, HZ_250"},
		{"number for a switch", "PPP=1", "", "its type is tristate, so it takes y or n"},
		{"switch for a number", "CPUS=y", "CPUS=2", "its type is int, so it takes a number"},
		{"number for a text", "NAME=5", `NAME="x"`, `its type is string, so it takes a "string"`},
		{"text for a hex number", `OFFSET="x"`, "", "its type is hex, so it takes a number such as 0x1f"},
		{"selected", "CRYPTO_LIB=n", "MPPE=y CRYPTO_LIB=y", "it is selected by MPPE"},
		{"selected under a condition that holds", "ARC4=n", "MPPE=y ARC4=y EXPERT=y", "it is selected by MPPE"},
		{"selected under a condition that does not hold", "ARC4=n", "MPPE=y ARC4=y", ""},
		{"only to be selected", "CRYPTO_LIB=y", "", "it cannot be set by hand, only be selected by MPPE"},
		{"no prompt, on", "DEFAULTED=n", "DEFAULTED=y", "it cannot be set by hand here: its default decides"},
		{"no prompt, off", "MOST=5", "", "it cannot be set by hand: its default decides"},
		{"prompt is hidden, on", "HIDDEN_PROMPT=n", "HIDDEN_PROMPT=y", "it cannot be set by hand here: its default decides"},
		{"prompt is hidden, off", "HIDDEN_PROMPT=y", "", "it can be set only with EXPERT, which is n"},
		{"out of range", "CPUS=9", "CPUS=2 EXPERT=y", "its range is 1 to 8"},
		{"out of a range that a symbol ends", "CPUS=99", "CPUS=2 NET=y MOST=64 EXPERT=y", "its range is 2 to 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name, value, _ := strings.Cut(tt.wanted, "=")
			c := config{}
			for _, f := range strings.Fields(tt.config) {
				n, v, _ := strings.Cut(f, "=")
				c[n] = v
			}
			if got := k.why(Symbol{Name: name, Value: value}, c); got != tt.want {
				t.Errorf("why %s = %q\nwant %q", tt.wanted, got, tt.want)
			}
		})
	}
}

func TestGateError(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".config")
	write(t, file, "CONFIG_NET=y\n# CONFIG_PPP is not set\nCONFIG_CPUS=2\n")
	wanted := []Symbol{
		{"NET", "y", "net.config", 1}, {"PPPOE", "y", "net.config", 104},
		{"CPUS", "99", "base.config", 7}, {"VLAN", "n", "net.config", 3},
	}
	err := Gate(board, Source{Tree: "testdata/kconfig"}, file, wanted)
	want := `kernel config: PPPOE=y is wanted by net.config:104 but is n: it depends on PPP, which is n
kernel config: CPUS=99 is wanted by base.config:7 but is 2: its range is 2 to MOST
hint: change the fragment, or name there what the symbol depends on`
	if err == nil {
		t.Fatal("Gate found nothing")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("Gate (-want +got)\n%s", diff)
	}
}

func TestBrokenKconfigIsAnError(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"end without a beginning", "endmenu\n", "Kconfig:1: endmenu without its menu"},
		{"wrong end", "menu \"x\"\nendif\n", "Kconfig:2: endif without its if"},
		{"bad expression", "config A\n\tdepends on B &&\n", "Kconfig:2: expression \"B &&\": a symbol is missing"},
		{"file that reads itself", "source \"Kconfig\"\n", "Kconfig: it is its own source"},
		{"missing file", "source \"no/Kconfig\"\n", "no/Kconfig: no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "Kconfig"), tt.text)
			_, err := readKconfig(dir, nil)
			checkError(t, err, tt.want)
		})
	}
}

func TestExpr(t *testing.T) {
	c := config{"A": "y", "N": "16", "S": `"text"`}
	tests := []struct {
		text string
		want bool
	}{
		{"A", true}, {"B", false}, {"y", true}, {"n", false}, {"m", false}, {"!B", true},
		{"A && B", false}, {"A || B", true}, {"B && B || A", true}, {"B && (B || A)", false},
		{"!A || !B", true}, {"!(A || B)", false}, {"A=y", true}, {"B=n", true}, {"B!=n", false},
		{"N > 9", true}, {"N<=0x10", true}, {"N < 16", false}, {"N >= 17", false}, {"N=16", true},
		{`S="text"`, true}, {`S!="text"`, false}, {"$(cc-option,-x (y)) && A", true}, {"$(x)=y", true},
	}
	for _, tt := range tests {
		e, err := parseExpr(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if got := e.eval(c); got != tt.want {
			t.Errorf("%s = %v, want %v", tt.text, got, tt.want)
		}
	}
}

func FuzzParseFragment(f *testing.F) {
	f.Add([]byte("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		symbols, err := ParseFragment("f", data)
		if err != nil {
			return
		}
		again, err := ParseFragment("f", renderSymbols(symbols))
		if err != nil {
			t.Fatalf("what was rendered does not parse: %v", err)
		}
		for i := range again {
			again[i].Line = symbols[i].Line
		}
		if diff := cmp.Diff(symbols, again); diff != "" {
			t.Errorf("round trip (-want +got)\n%s", diff)
		}
	})
}

func FuzzParseExpr(f *testing.F) {
	f.Add(`A && (B || !C) && D>="5" || $(x,(y))=y`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseExpr(text)
		if err != nil {
			return
		}
		again, err := parseExpr(e.String())
		if err != nil {
			t.Fatalf("%q was printed as %q, which does not parse: %v", text, e, err)
		}
		if again.String() != e.String() {
			t.Errorf("%q was printed as %q and then as %q", text, e, again)
		}
	})
}

func FuzzKconfig(f *testing.F) {
	data, err := os.ReadFile("testdata/kconfig/Kconfig")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Kconfig"), string(data))
		k, err := readKconfig(dir, nil)
		if err != nil {
			return
		}
		for name := range k.symbols {
			k.why(Symbol{Name: name, Value: "y"}, config{})
			k.why(Symbol{Name: name, Value: "n"}, config{name: "y"})
		}
	})
}
