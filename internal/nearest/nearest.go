// Package nearest finds what somebody meant who mistyped a name.
package nearest

import "github.com/agext/levenshtein"

// Of returns the candidate closest to word, or "" when none is close enough to
// be what was meant: as many letters as a third of it has, and one more, may
// differ. Of several that are equally close it is the first in the alphabet,
// whatever their order.
func Of(word string, candidates []string) string {
	best, bestDist := "", len(word)/3+2
	for _, c := range candidates {
		if d := levenshtein.Distance(word, c, nil); d < bestDist || d == bestDist && best != "" && c < best {
			best, bestDist = c, d
		}
	}
	return best
}
