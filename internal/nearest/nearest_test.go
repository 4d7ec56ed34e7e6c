package nearest

import "testing"

func TestOf(t *testing.T) {
	names := []string{"wan", "lan", "servers"}
	for word, want := range map[string]string{
		"wna": "wan", "lan": "lan", "server": "servers", "svrers": "servers", "modem": "", "": "",
	} {
		if got := Of(word, names); got != want {
			t.Errorf("Of(%q) = %q, want %q", word, got, want)
		}
	}
	if got := Of("wan", nil); got != "" {
		t.Errorf("Of without candidates = %q, want none", got)
	}
}
