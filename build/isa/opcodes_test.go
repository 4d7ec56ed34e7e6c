package isa

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A Geode LX for GNU as: a 586 with CMOV, the FPU of the Pentium Pro and MMX, and
// what AMD added to MMX, with CLFLUSH.
const (
	plainGAS = "-march=i586+687+cmov+mmx+3dnow"
	geodeGAS = plainGAS + "+3dnowa+clflush"
)

// noGroup are instructions that belong to no group of ours: older than SSE, or
// harmless on a CPU without them (TZCNT, WBNOINVD, PREFETCHWT1), or 3DNow!.
var noGroup = regexp.MustCompile(`^(sysenter|sysexit[dl]?|syscall|sysret[dl]?|rdpmc|cmpxchg8b|xstore.*|xcrypt.*|xsha.*|montmul|` +
	`tzcnt|wbnoinvd|prefetchwt1|ud[012].*|rsm|pf.*|pi2f.|pswapd|swapgs)$`)

// TestOpcodes walks through all opcodes behind 0F, 0F 38 and 0F 3A and through the
// FPU's, with each prefix, with memory and registers. What objdump reads, GNU as
// is asked to make again for a Geode LX: what it refuses has to be found, what it
// takes not, and what is no instruction to objdump is none to us.
func TestOpcodes(t *testing.T) {
	codes := everyOpcode()
	texts := disassemble(t, codes)
	geode, plain := refusedByGAS(t, texts, geodeGAS), refusedByGAS(t, texts, plainGAS)
	groups := map[Group]int{}
	for i, code := range codes {
		text, group := texts[i], classify(code, 32)
		name, _, _ := strings.Cut(text, " ")
		switch {
		case strings.Contains(text, "(bad)"):
			// With a prefix, what is one with memory or with registers alone may be both to us.
			plainly := code[0] == 0x0F && code[1] != 0x38 && code[1] != 0x3A
			if group != "" && (plainly || strings.Contains(texts[i^1], "(bad)")) && !extended(code) {
				t.Errorf("% x: group %q, but it is no instruction", code, group)
			}
			continue
		case noGroup.MatchString(name), prefixed.MatchString(text):
			continue
		}
		groups[group]++
		// as has no reason where a register is unknown to a CPU.
		lacking := geode[i] || strings.Contains(text, "%xmm")
		if got := group == SSE || group == ENDBR || group == NOPL; got != lacking {
			t.Errorf("% x: %s: group %q, want one that a Geode lacks: %v", code, text, group, lacking)
		}
		more := plain[i] && !lacking
		if got := group == MMXExt || group == CLFlush; got != more {
			t.Errorf("% x: %s: group %q, want one that a Geode has: %v", code, text, group, more)
		}
	}
	for _, group := range []Group{SSE, MMXExt, CLFlush, NOPL, ENDBR} {
		if groups[group] == 0 {
			t.Errorf("no instruction was of the group %q", group)
		}
	}
}

// extended are opcodes that the reg field of ModRM is a part of. Some of their
// instructions are not defined, and are taken for what the others are.
func extended(code []byte) bool {
	_, code = afterPrefixes(code, 32)
	return code[0] == 0x0F && bytes.IndexByte([]byte{0x01, 0x1A, 0x1B, 0x71, 0x72, 0x73, 0x78, 0xAE, 0xC7}, code[1]) >= 0
}

// prefixed is how objdump shows a prefix that the instruction has no use for.
var prefixed = regexp.MustCompile(`^(data16|repz|repnz|rep|lock|bnd|xacquire|xrelease)\b`)

// everyOpcode is one instruction of each kind, filled up with NOPs: with memory,
// and behind it the same with registers.
func everyOpcode() [][]byte {
	var list [][]byte
	add := func(reg int, rm byte, before ...byte) {
		for _, modrm := range []byte{byte(reg << 3), 0xC0 | byte(reg<<3) | rm} {
			code := append(slices.Clone(before), modrm)
			list = append(list, append(code, bytes.Repeat([]byte{0x90}, 12-len(code))...))
		}
	}
	for _, prefix := range []string{"", "\x66", "\xF3", "\xF2"} {
		for op := range 0x100 {
			for reg := range 8 {
				add(reg, 1, append([]byte(prefix), 0x0F, byte(op))...)
			}
			for _, opcodeMap := range []byte{0x38, 0x3A} {
				add(0, 0, append([]byte(prefix), 0x0F, opcodeMap, byte(op))...)
			}
		}
		for modrm := range 0x40 {
			add(modrm>>3, byte(modrm&7), append([]byte(prefix), 0x0F, 0x01)...)
			add(modrm>>3, byte(modrm&7), append([]byte(prefix), 0x0F, 0x1E)...)
		}
	}
	for op := 0xD8; op <= 0xDF; op++ {
		for reg := range 8 {
			add(reg, 1, byte(op))
		}
	}
	return list
}

// disassemble returns objdump's text of each instruction.
func disassemble(t *testing.T, codes [][]byte) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "code")
	var all []byte
	for _, code := range codes {
		all = append(all, code...)
	}
	if err := os.WriteFile(path, all, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("objdump", "-D", "-b", "binary", "-m", "i386", "--no-show-raw-insn", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, len(codes))
	for _, m := range regexp.MustCompile(`(?m)^ *([0-9a-f]+):\t(.*)$`).FindAllStringSubmatch(string(out), -1) {
		at, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if size := int64(len(codes[0])); at%size == 0 {
			texts[at/size] = strings.TrimSpace(m[2])
		}
	}
	return texts
}

// refusedByGAS tells which of the lines GNU as knows, but not for a CPU.
func refusedByGAS(t *testing.T, lines []string, cpu string) map[int]bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.s")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("as", "--32", cpu, "-o", os.DevNull, path).CombinedOutput() // it refuses many
	refused := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^[^:\n]*:(\d+): Error: (.*)$`).FindAllStringSubmatch(string(out), -1) {
		line, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m[2], "not supported on") || strings.Contains(m[2], "unsupported instruction") {
			refused[line-1] = true
		}
	}
	if len(refused) == 0 {
		t.Fatalf("as refuses nothing:\n%s", out)
	}
	return refused
}
