//go:build !linux || nolab

package main

// labCommands are none: the lab needs Linux, and castoff's image starts no
// processes and so has none, see Dockerfile.
type labCommands struct{}
