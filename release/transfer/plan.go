package transfer

import "tench/release/slotimage"

// Op is a part of the image and where the box has it from.
type Op struct {
	Kind   Kind // Data, Copy, Keep or Zero
	Offset int  // in the image, bytes
	Length int  // bytes; whole blocks but for Data
	First  int  // Copy: the first block of the slot that runs
}

// Have is what the box has already.
type Have struct {
	Running []Sum // of the slot that runs
	Target  []Sum // of the slot that is written
}

// Whole sends all but the blocks from the second on that are there already, up
// to the first bytes of a broken update.
func Whole(image []byte, there int64) []Op {
	ops := plan{image: image}
	for at := 0; at < len(image); at += blockSize {
		kind := Data
		switch {
		case at > 0 && int64(at) < there:
			kind = Keep
		case slotimage.Blank(image[at : at+blockSize]):
			kind = Zero
		}
		ops.add(Op{Kind: kind, Offset: at, Length: blockSize})
	}
	return ops.list
}

// Plan sends what the box does not have. A block of the slot that is written is
// kept where it lies; blocks of the slot that runs may lie anywhere, as a kernel
// that grew moves all that is behind it.
func Plan(image []byte, have Have) []Op {
	p := plan{image: image, running: map[uint32][]int{}, have: have}
	for i, s := range have.Running {
		p.running[s.Weak] = append(p.running[s.Weak], i)
	}
	for at := 0; at < len(image); {
		at = p.next(at)
	}
	return p.list
}

type plan struct {
	image   []byte
	have    Have
	running map[uint32][]int // blocks by weak sum
	list    []Op
	window  rolling // of the bytes from rolled on
	rolled  int     // where window begins; valid if fresh
	fresh   bool
}

// next plans what is at at, and returns where it ends.
func (p *plan) next(at int) int {
	rest := p.image[at:]
	if at%blockSize == 0 {
		block := rest[:blockSize]
		n := at / blockSize
		switch {
		case slotimage.Blank(block):
			return p.add(Op{Kind: Zero, Offset: at, Length: blockSize})
		// The first block is never kept: the box wipes it before it writes.
		case n > 0 && n < len(p.have.Target) && p.have.Target[n] == sumOf(block):
			return p.add(Op{Kind: Keep, Offset: at, Length: blockSize})
		}
	}
	if len(rest) >= blockSize {
		if first, ok := p.find(at); ok {
			return p.add(Op{Kind: Copy, Offset: at, Length: blockSize, First: first})
		}
	}
	return p.add(Op{Kind: Data, Offset: at, Length: 1})
}

// find looks for the block at at in the slot that runs. The block behind the
// one that was copied last is tried first: runs stay in one piece.
func (p *plan) find(at int) (int, bool) {
	block := p.image[at : at+blockSize]
	if p.fresh && p.rolled == at-1 {
		p.window.roll(p.image[at-1], block[blockSize-1])
	} else {
		p.window = newRolling(block)
	}
	p.rolled, p.fresh = at, true
	candidates := p.running[p.window.sum()]
	if len(candidates) == 0 {
		return 0, false
	}
	hash := strong(block)
	follows := -1
	if n := len(p.list); n > 0 && p.list[n-1].Kind == Copy {
		follows = p.list[n-1].First + p.list[n-1].Length/blockSize
	}
	found := -1
	for _, i := range candidates {
		if p.have.Running[i].Strong == hash && (found < 0 || i == follows) {
			found = i
		}
	}
	return found, found >= 0
}

// add joins an op to the one before, where it goes on with it, and returns where
// it ends.
func (p *plan) add(op Op) int {
	if n := len(p.list); n > 0 {
		last := &p.list[n-1]
		goesOn := op.Kind != Copy || op.First == last.First+last.Length/blockSize
		if last.Kind == op.Kind && goesOn {
			last.Length += op.Length
			return op.Offset + op.Length
		}
	}
	p.list = append(p.list, op)
	return op.Offset + op.Length
}

// Cost is how many bytes the ops take on the line, without SSH's own.
func Cost(ops []Op) int64 {
	total := int64(headerSize) // End
	for _, op := range ops {
		if op.Kind != Data {
			total += headerSize + rangeSize
			continue
		}
		total += int64(op.Length) + int64((op.Length+chunk-1)/chunk)*headerSize
	}
	return total
}
