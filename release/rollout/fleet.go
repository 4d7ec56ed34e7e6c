package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// All updates hosts one at a time, and stops at the first that is not well
// afterwards: the others are left untouched. Of a failover group, whoever stands
// by goes first, so that the traffic moves once, and to a box that was seen to
// work.
func All(ctx context.Context, hosts []string, o Options) ([]Result, error) {
	for i, host := range hosts {
		if slices.Contains(hosts[:i], host) {
			return nil, fmt.Errorf("%s is named twice", host)
		}
	}
	hosts, err := o.order(ctx, hosts)
	if err != nil {
		return nil, err
	}
	var results []Result
	for i, host := range hosts {
		r := o.one(ctx, host)
		results = append(results, r)
		if r.Error == "" {
			continue
		}
		for _, rest := range hosts[i+1:] {
			results = append(results, Result{Host: rest, State: Untouched})
		}
		err := fmt.Errorf("%s: %s", host, r.Error)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return results, err
	}
	return results, nil
}

// ranks are the roles in a failover group by whose turn it is. Whoever has no
// role comes between.
var ranks = map[string]int{"standby": 0, "backup": 0, "": 1, "active": 2, "master": 2}

// order sorts hosts by their roles, and leaves those of one rank as they were
// named.
func (o Options) order(ctx context.Context, hosts []string) ([]string, error) {
	if len(hosts) == 1 {
		return hosts, nil
	}
	rank := map[string]int{}
	for _, host := range hosts {
		o.Report.Start(host, "ask for its role")
		role, err := o.role(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("%s: ask for its role: %w", host, err)
		}
		rank[host] = ranks[role]
	}
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(a, b string) int { return rank[a] - rank[b] })
	return hosts, nil
}

// node is what is looked at of the tree that `tenchd status --json` prints.
type node struct {
	Facts    map[string]string `json:"facts"`
	Children []node            `json:"children"`
}

// role is the fact "role" of the first node that has a role which is known. A
// box that is active in one group and stands by in another counts as active.
func (n node) role() string {
	role := ""
	if _, known := ranks[n.Facts["role"]]; known {
		role = n.Facts["role"]
	}
	for _, c := range n.Children {
		if r := c.role(); r != "" && (role == "" || ranks[r] > ranks[role]) {
			role = r
		}
	}
	return role
}

func (o Options) role(ctx context.Context, host string) (string, error) {
	line, err := o.Dial(ctx, host)
	if err != nil {
		return "", err
	}
	defer line.Close()
	var root node
	if err := ask(ctx, line, "status --json", &root); err != nil {
		return "", err
	}
	return root.role(), nil
}

// maxAnswer is the longest answer to a question, in bytes.
const maxAnswer = 4 << 20

// ask runs a command of the box that answers in JSON.
func ask(ctx context.Context, line Line, command string, answer any) error {
	out := &limited{left: maxAnswer}
	if err := line.Run(ctx, command, nil, out); err != nil {
		return fmt.Errorf("run tenchd %s there: %w", command, err)
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return fmt.Errorf("tenchd %s: %w", command, err)
	}
	return nil
}

// limited keeps the first bytes that are written to it.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.Buffer.Write(p[:n])
	return len(p), nil
}
