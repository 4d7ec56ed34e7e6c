package build

import (
	"context"
	"errors"

	"tench/boards"
	"tench/build/source"
	"tench/release"
)

// Need is a board that is to be built from a release.
type Need struct {
	Release release.Release
	Board   boards.Board
}

// eachPart calls do for every part of a recipe that is needed, and for those of
// the loaders for netboot, each once. Of o it takes all but the release.
func eachPart(ctx context.Context, needs []Need, o Options, do func(*plan, part) error) error {
	have := map[string]bool{}
	for _, n := range needs {
		o.Release = n.Release.Name
		p, err := newPlan(n.Board, o)
		if err != nil {
			return err
		}
		needed, err := p.needed()
		if err != nil {
			return err
		}
		for _, part := range append(needed, p.namedLoaderParts()...) {
			id := part.recipe.Dir + " " + part.name
			if have[id] {
				continue
			}
			have[id] = true
			if err := errors.Join(ctx.Err(), do(p, part)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Fetch fetches and verifies every source that is needed, each once, and
// returns the files, with their signatures where recipes name some. Without a
// network it first lists all that this machine lacks.
func Fetch(ctx context.Context, needs []Need, o Options) ([]source.Fetched, error) {
	if o.Offline {
		var missing []source.Missing
		err := eachPart(ctx, needs, o, func(p *plan, n part) error {
			missing = append(missing, p.missing([]part{n})...)
			return nil
		})
		if err := errors.Join(err, source.OfflineError(missing)); err != nil {
			return nil, err
		}
	}
	var files []source.Fetched
	err := eachPart(ctx, needs, o, func(p *plan, n part) error {
		got, err := p.withSignature(ctx, n)
		files = append(files, got...)
		return err
	})
	return files, err
}

// withSignature fetches a part, and the signature that vouches for it. The
// patches of a source come with the source, since they go with its version, and
// with a signature of their own where the recipe names one.
func (p *plan) withSignature(ctx context.Context, n part) ([]source.Fetched, error) {
	var files []source.Fetched
	switch patches := n.recipe.Quilt.Part; {
	case patches == "" || n.name != "source" && n.name != patches:
		got, err := p.source(ctx, n.recipe.Name, n.name)
		if err != nil {
			return nil, err
		}
		files = append(files, got)
	case n.name == patches:
		return nil, nil
	default:
		src, quilt, err := p.sourceAndQuilt(ctx, n.recipe)
		if err != nil {
			return nil, err
		}
		files = append(files, src, quilt)
	}
	for _, got := range files {
		for _, f := range n.recipe.Files {
			if f.Signature == nil || f.SHA256 != got.SHA256 {
				continue
			}
			// It is in the store: the file was checked with it.
			r := n.recipe
			r.Files = []release.File{f.Signature.File(f.Part)}
			signature, err := p.dl.Fetch(ctx, r, f.Part, source.Options{Offline: true, Strict: true})
			if err != nil {
				return nil, err
			}
			files = append(files, signature)
		}
	}
	return files, nil
}

// Update is what the locations of a part of a recipe have beyond its pin.
type Update struct {
	Recipe     release.Recipe
	Part       string
	Candidates []source.Candidate // in the order of the recipe
}

// Updates asks every location of what is needed for newer versions. Nothing is
// changed by it.
func Updates(ctx context.Context, needs []Need, o Options) ([]Update, error) {
	var list []Update
	err := eachPart(ctx, needs, o, func(p *plan, n part) error {
		detail := n.recipe.Name + " " + n.name
		return o.timed(ctx, StepReport{Step: "ask", Detail: detail, Outcome: Asked}, func() error {
			found := p.dl.Newer(ctx, n.recipe, n.name, source.Options{Offline: o.Offline})
			list = append(list, Update{n.recipe, n.name, found})
			return ctx.Err()
		})
	})
	return list, err
}
