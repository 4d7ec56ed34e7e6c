// Package tench is the root of the module. It holds no code: see cmd/tench for
// the host tool, cmd/tenchd for the box, and ARCHITECTURE.md for the rest.
package tench
