package cache

// Explain says in words why a step with inputs new has another product than
// the one with inputs old: one cause a line, none if the two are the same. No
// old inputs at all means that the step was never built.
func Explain(old, new []Input) []string {
	if len(old) == 0 {
		return []string{"never built before"}
	}
	before := map[string]string{}
	for _, in := range old {
		before[in.Name] = in.Hash
	}
	var causes []string
	for _, in := range new {
		hash, known := before[in.Name]
		delete(before, in.Name)
		switch {
		case !known:
			causes = append(causes, "new input "+in.Name)
		case hash != in.Hash:
			causes = append(causes, in.Name+" changed")
		}
	}
	for _, in := range old {
		if _, gone := before[in.Name]; gone {
			causes = append(causes, in.Name+" is no longer an input")
		}
	}
	return causes
}
